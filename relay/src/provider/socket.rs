//! A WebSocket, for as long as the request.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::{sleep_until, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use super::request::{Carried, Fed};
use super::{Input, Output, Target, Way};

/// The longest message: sound in text for several seconds.
const MESSAGE_MAX_BYTES: usize = 1 << 20;
/// Messages that the socket has not taken yet; beyond them nothing more is taken from the agent, whose request then clogs.
const UNSENT_MAX: usize = 64;
/// How many bytes the library takes at a time. It makes room for so many with every read, and fills that with zeros, which with its default of
/// 128 KiB is most of what a read costs.
const READ_BUFFER_BYTES: usize = 8 * 1024;
/// A close frame may take this long there and back.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A WebSocket that is open.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) stream: Stream,
    status: u16,
    /// The provider's own name for it.
    request_id: Option<String>,
    /// What came before anything was asked, oldest first.
    pub(super) early: VecDeque<Message>,
}

impl Opened {
    /// Closes it in order, if the other side does so soon.
    pub(super) async fn close(mut self) {
        let _ = timeout(CLOSE_WITHIN, self.stream.close(None)).await;
    }
}

/// Opens a WebSocket there.
pub(super) async fn open(target: &Target) -> Result<Opened, Error> {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .max_message_size(Some(MESSAGE_MAX_BYTES))
        .max_frame_size(Some(MESSAGE_MAX_BYTES));
    let (stream, response) = connect_async_with_config(request(target)?, Some(config), true).await?;
    let request_id = response.headers().get("dg-request-id").and_then(|id| id.to_str().ok());
    Ok(Opened {
        stream,
        status: response.status().as_u16(),
        request_id: request_id.map(str::to_owned),
        early: VecDeque::new(),
    })
}

pub(super) async fn carry(mut carried: Carried, way: Way, target: Target, mut fed: Fed) {
    let Some(mut opened) = connect(&mut carried, way, target).await else { return };
    let (mut flushed, mut is_fed) = (true, true);
    loop {
        let takes = is_fed && carried.to_send.len() < UNSENT_MAX;
        let due = carried.due();
        let goes_on = tokio::select! {
            biased;
            // There is no more of it than the socket takes, while a provider may have something to say at any time.
            feed = fed.next(), if takes => match feed {
                Some(feed) => carried.handle(Input::Feed(&feed)).await,
                None => {
                    is_fed = false;
                    true
                }
            },
            came = next(&mut opened, &mut carried.to_send, &mut flushed) => match came {
                Next::Room => true,
                Next::Message(came) => match came {
                Some(Ok(Message::Text(text))) => carried.handle(Input::Text(&text)).await,
                Some(Ok(Message::Binary(bytes))) => carried.handle(Input::Binary(&bytes)).await,
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => true,
                Some(Ok(Message::Close(Some(frame)))) if u16::from(frame.code) != 1000 => {
                    let cause = format!("closed with {}: {}", u16::from(frame.code), frame.reason);
                    carried.handle(Input::Lost(&cause)).await
                }
                Some(Ok(Message::Close(_))) | None => carried.handle(Input::End).await,
                Some(Err(error)) => carried.handle(Input::Lost(&error.to_string())).await,
                }
            },
            () = sleep_until(due) => carried.handle(Input::Timeout).await,
        };
        // Whoever never pauses is held to the same times: a ping is no answer.
        let is_late = goes_on && carried.due() <= tokio::time::Instant::now();
        if !goes_on || is_late && !carried.handle(Input::Timeout).await {
            break;
        }
    }
    opened.close().await;
}

/// Opens the WebSocket, or takes one that was opened ahead. `None` if that was its end.
async fn connect(carried: &mut Carried, way: Way, target: Target) -> Option<Opened> {
    // Polled in place: nothing else waits for what it may hold.
    let mut connecting = std::pin::pin!(reach(way, target));
    let opened = loop {
        let due = carried.due();
        tokio::select! {
            biased;
            connected = &mut connecting => match connected {
                Ok(opened) => break opened,
                Err(error) => {
                    refused(carried, error).await;
                    return None;
                }
            },
            () = sleep_until(due) => {
                if !carried.handle(Input::Timeout).await {
                    return None;
                }
            }
        }
    };
    let head = Input::Head {
        status: opened.status,
        retry_after: None,
        request_id: opened.request_id.as_deref(),
        media_type: "",
    };
    carried.handle(head).await.then_some(opened)
}

/// A WebSocket that was opened ahead, if there is one, and otherwise a new one.
async fn reach(way: Way, target: Target) -> Result<Opened, Error> {
    if let Some(ahead) = way.ahead {
        let is_late = !ahead.is_open();
        if let Some(opened) = ahead.opened().await {
            if is_late {
                way.connections.socket_is_late();
            }
            return Ok(opened);
        }
    }
    way.connections.opens_socket();
    open(&target).await
}

fn request(target: &Target) -> Result<Request, Error> {
    let mut request = target.url.as_str().into_client_request()?;
    for (name, value) in &target.headers {
        request
            .headers_mut()
            .insert(*name, HeaderValue::from_str(value).map_err(|error| Error::HttpFormat(error.into()))?);
    }
    Ok(request)
}

/// The provider answered the opening with an ordinary HTTP answer, or not at all.
async fn refused(carried: &mut Carried, error: Error) {
    let Error::Http(response) = error else {
        carried.handle(Input::Lost(&error.to_string())).await;
        return;
    };
    let header = |name| response.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let head = Input::Head {
        status: response.status().as_u16(),
        retry_after: header("retry-after").and_then(|seconds| seconds.trim().parse().ok()),
        request_id: header("dg-request-id"),
        media_type: header("content-type").unwrap_or_default(),
    };
    let body = response.body().as_deref().unwrap_or_default();
    if carried.handle(head).await && carried.handle(Input::Bytes(body)).await {
        carried.handle(Input::End).await;
    }
}

/// What happens next on a WebSocket.
enum Next {
    /// A message came, an error, or the end.
    Message(Option<Result<Message, Error>>),
    /// There was no room for more to be sent, and now there is.
    Room,
}

/// The next message; writes meanwhile what waits. Dropping the future loses nothing.
async fn next(
    Opened { stream, early, .. }: &mut Opened,
    to_send: &mut VecDeque<Output>,
    flushed: &mut bool,
) -> Next {
    let was_full = to_send.len() >= UNSENT_MAX;
    poll_fn(|context| {
        if let Err(error) = write(stream, to_send, flushed, context) {
            return Poll::Ready(Next::Message(Some(Err(error))));
        }
        if let Some(message) = early.pop_front() {
            return Poll::Ready(Next::Message(Some(Ok(message))));
        }
        match stream.poll_next_unpin(context) {
            Poll::Ready(message) => Poll::Ready(Next::Message(message)),
            // Whoever feeds it was not listened to as long as it was full.
            Poll::Pending if was_full && to_send.len() < UNSENT_MAX => Poll::Ready(Next::Room),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

fn write(
    stream: &mut Stream,
    to_send: &mut VecDeque<Output>,
    flushed: &mut bool,
    context: &mut Context<'_>,
) -> Result<(), Error> {
    while !to_send.is_empty() {
        match stream.poll_ready_unpin(context) {
            Poll::Pending => return Ok(()),
            Poll::Ready(ready) => ready?,
        }
        let message = match to_send.pop_front() {
            Some(Output::Text(text)) => Message::Text(text.into()),
            Some(Output::Binary(bytes)) => Message::Binary(bytes),
            Some(Output::Event(_)) | None => continue,
        };
        stream.start_send_unpin(message)?;
        *flushed = false;
    }
    if !*flushed && let Poll::Ready(done) = stream.poll_flush_unpin(context) {
        done?;
        *flushed = true;
    }
    Ok(())
}

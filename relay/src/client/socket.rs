//! A WebSocket that is opened, used and forgotten as the machine says.

use std::collections::VecDeque;
use std::future::{Future, pending};
use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::Once;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use protocol::SUBPROTOCOL;
use protocol::client::Answer;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{self, Error};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};

/// What the system may hold that is not on its way: half a second of audio. Left alone it takes megabytes, and whether a slow line moves is not
/// seen before those are through.
#[cfg(any(target_os = "android", target_os = "linux"))]
const NOT_SENT_MAX_BYTES: u32 = 16 * 1024;

use super::trust::Trust;
use crate::operations::outbound;

type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;
type Connecting = Pin<Box<dyn Future<Output = Result<Stream, Error>> + Send>>;

/// What a socket has to tell.
pub(super) enum Message {
    Opened,
    Text(String),
    Binary(Bytes),
    Closed {
        code: u16,
        cause: Option<String>,
        /// Status and body of what the request for a WebSocket was answered with.
        answer: Option<(u16, String)>,
    },
    /// Something queued is on its way.
    Written,
}

#[derive(Default)]
enum State {
    #[default]
    None,
    Connecting(Connecting),
    Open(Box<Stream>),
}

/// At most one connection, and what waits to be written on it.
#[derive(Default)]
pub(super) struct Socket {
    state: State,
    queue: VecDeque<tungstenite::Message>,
    queued: usize,
}

impl Socket {
    /// Begins to open a connection; whichever was there is forgotten. Whoever answers over TLS has to show a certificate of `trust`, or without
    /// it one that everybody trusts.
    pub(super) fn connect(&mut self, url: &str, trust: Option<&Trust>) {
        self.forget();
        // Two libraries bring a provider each, so the choice is made here.
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(outbound::provide_cryptography);
        let request = url.into_client_request().map(|mut request| {
            request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(SUBPROTOCOL));
            request
        });
        let connector = trust.map(Trust::connector);
        #[expect(clippy::disallowed_methods, reason = "it holds nothing that others wait for")]
        let connecting = Box::pin(async move {
            // The end of a chunk is not to wait until its beginning is acknowledged.
            let stream = connect_async_tls_with_config(request?, None, true, connector).await?.0;
            set_options(&stream);
            Ok(stream)
        });
        self.state = State::Connecting(connecting);
    }

    pub(super) fn text(&mut self, text: String) {
        self.push(text.len(), tungstenite::Message::text(text));
    }

    pub(super) fn binary(&mut self, frame: Bytes) {
        self.push(frame.len(), tungstenite::Message::Binary(frame));
    }

    /// Closes and forgets the connection; the close frame is sent on a best effort.
    pub(super) fn close(&mut self, code: u16) {
        if let State::Open(mut stream) = std::mem::take(&mut self.state) {
            let frame = CloseFrame { code: code.into(), reason: "".into() };
            // The connection is not waited for: it may be dead, which is why it is closed.
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            if stream.poll_ready_unpin(&mut context).is_ready()
                && stream.start_send_unpin(tungstenite::Message::Close(Some(frame))).is_ok()
            {
                let _ = stream.poll_flush_unpin(&mut context);
            }
        }
        self.forget();
    }

    /// Bytes that wait.
    pub(super) fn buffered(&self) -> usize {
        self.queued
    }

    /// The next thing that happens. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Message {
        match &mut self.state {
            State::None => pending().await,
            State::Connecting(connecting) => match connecting.await {
                Ok(stream) => {
                    self.state = State::Open(Box::new(stream));
                    Message::Opened
                }
                Err(Error::Http(response)) => {
                    let status = response.status().as_u16();
                    let body = response.body().as_deref().unwrap_or_default();
                    let body = &body[..body.len().min(Answer::BODY_MAX_BYTES)];
                    let answer = Some((status, String::from_utf8_lossy(body).into_owned()));
                    self.forget();
                    // The machine says in words what it means.
                    Message::Closed { code: 1006, cause: None, answer }
                }
                Err(error) => self.closed(1006, Some(in_words(&error))),
            },
            State::Open(stream) => {
                let (queue, queued) = (&mut self.queue, &mut self.queued);
                let event = std::future::poll_fn(|context| {
                    use std::task::Poll::{Pending, Ready};
                    while !queue.is_empty() {
                        match stream.poll_ready_unpin(context) {
                            Ready(Ok(())) => {}
                            Ready(Err(error)) => return Ready(Err(error)),
                            Pending => break,
                        }
                        if let Some(message) = queue.pop_front() {
                            *queued = queued.saturating_sub(message.len());
                            if let Err(error) = stream.start_send_unpin(message) {
                                return Ready(Err(error));
                            }
                        }
                    }
                    if let Ready(Err(error)) = stream.poll_flush_unpin(context) {
                        return Ready(Err(error));
                    }
                    match stream.poll_next_unpin(context) {
                        Ready(message) => Ready(message.transpose()),
                        Pending => Pending,
                    }
                })
                .await;
                match event {
                    Ok(Some(tungstenite::Message::Text(text))) => Message::Text(text.to_string()),
                    Ok(Some(tungstenite::Message::Binary(frame))) => Message::Binary(frame),
                    Ok(Some(tungstenite::Message::Close(frame))) => {
                        self.closed(frame.map_or(1005, |frame| frame.code.into()), None)
                    }
                    Ok(Some(_)) => Message::Written,
                    Ok(None) => self.closed(1006, None),
                    Err(error) => self.closed(1006, Some(in_words(&error))),
                }
            }
        }
    }

    fn push(&mut self, bytes: usize, message: tungstenite::Message) {
        self.queued += bytes;
        self.queue.push_back(message);
    }

    fn closed(&mut self, code: u16, cause: Option<String>) -> Message {
        self.forget();
        Message::Closed { code, cause, answer: None }
    }

    fn forget(&mut self) {
        self.state = State::None;
        self.queue.clear();
        self.queued = 0;
    }
}

/// What a person can do something with: the system's own words without its numbers.
fn in_words(error: &Error) -> String {
    let Error::Io(error) = error else { return error.to_string() };
    let says = match error.kind() {
        ErrorKind::ConnectionRefused => "nothing listens at this address (connection refused)",
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => "the other side cut the connection",
        ErrorKind::TimedOut => "the address did not answer in time",
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => "there is no way to this address",
        _ => return error.to_string().split(" (os error").next().unwrap_or_default().to_owned(),
    };
    says.to_owned()
}

/// Little waits inside the system.
#[cfg(any(target_os = "android", target_os = "linux"))]
fn set_options(stream: &Stream) {
    let stream = match stream.get_ref() {
        MaybeTlsStream::Plain(stream) => stream,
        MaybeTlsStream::Rustls(stream) => stream.get_ref().0,
        _ => return,
    };
    if let Err(error) = socket2::SockRef::from(stream).set_tcp_notsent_lowat(NOT_SENT_MAX_BYTES) {
        tracing::debug!(%error, "TCP_NOTSENT_LOWAT");
    }
}

#[cfg(not(any(target_os = "android", target_os = "linux")))]
fn set_options(_: &Stream) {}

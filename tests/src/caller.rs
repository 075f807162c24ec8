//! Somebody who speaks, pauses and goes on when told to, however often the relay closes the connection.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use protocol::client::{Client, Config, Event, Input, Output, State};
use protocol::{CloseCode, RelayMessage, SUBPROTOCOL, Time, Usage};
use relay::records::store::{SqlStore, Store};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use crate::sound::voice;
use crate::token_but;

type Tokens = Box<dyn FnMut(usize) -> Result<String, String> + Send>;
type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A chunk of 100 ms.
const CHUNK: usize = 1_600;
/// A word and a pause, over and over: turns.
const WORD: Duration = Duration::from_millis(1_800);
const PHRASE: Duration = Duration::from_secs(3);

/// What a caller is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Speak,
    Pause,
    HangUp,
}

/// A caller, and the call that goes on in a task of its own.
#[derive(Debug)]
pub struct Caller {
    orders: mpsc::Sender<Order>,
    state: watch::Receiver<State>,
    call: JoinHandle<Told>,
}

/// What had come of a call's sound when a relay went on with it, in samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resumption {
    /// How much had been sent before, at most.
    pub sent: u64,
    /// How much was committed.
    pub committed: u64,
}

/// What a call was like.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Its sessions; more than one if it could not be resumed.
    pub sessions: Vec<String>,
    /// Samples that were spoken.
    pub spoken: u64,
    /// Of those, samples that were dropped before the relay had them.
    pub missing: u64,
    /// Close codes of the connections that were lost.
    pub closes: Vec<u16>,
    /// How long it was without a connection, each time that it lost one or left it.
    pub away: Vec<Duration>,
    /// Each time that a relay went on with it.
    pub resumptions: Vec<Resumption>,
    /// How often a token was asked for.
    pub asked_for_tokens: usize,
    /// Codes of the errors that were told.
    pub errors: Vec<String>,
    /// Why it ended.
    pub ended: Option<CloseCode>,
    /// What the caller was told to have used.
    pub usage: Usage,
}

impl Told {
    /// How many samples may be paid for more than once at most, by `docs/records.md`: what is sent again is free, and metered only when it is sent
    /// for a third time, because it was not committed since.
    #[must_use]
    pub fn may_be_paid_again(&self) -> u64 {
        self.resumptions.windows(2).map(|pair| pair[0].sent.saturating_sub(pair[1].committed)).sum()
    }

    /// Checks that it was one session which ended as its caller wanted, and that each word is paid for once.
    ///
    /// # Panics
    /// When that is not so.
    pub async fn check_paid_once(&self, store: &SqlStore) {
        assert_eq!(
            (self.sessions.len(), self.missing, self.ended),
            (1, 0, Some(CloseCode::Normal)),
            "{self:?}"
        );
        let session = store.session(&self.sessions[0]).await.expect("read").expect("stored");
        let ledger = store.ledger(&session.id).await.expect("read");
        let samples: u64 = ledger.iter().map(|row| row.quantity).sum();
        assert_eq!((samples, session.audio_samples), (self.spoken, self.spoken), "{self:?}");
    }
}

impl Caller {
    /// Calls under this name, and speaks once told to.
    #[must_use]
    pub fn call(url: &str, name: &str) -> Caller {
        let token = token_but(&json!({ "sub": name }));
        Caller::with_tokens(url, name, move |_| Ok(token.clone()))
    }

    /// Calls with the tokens that `tokens` gives when asked for the first, the second and so on; or the message of why there is none.
    #[must_use]
    pub fn with_tokens(
        url: &str,
        name: &str,
        tokens: impl FnMut(usize) -> Result<String, String> + Send + 'static,
    ) -> Caller {
        let (orders, told) = mpsc::channel(8);
        let (tell, state) = watch::channel(State::Idle);
        let config = Config {
            client: "caller/1".into(),
            buffer: Duration::from_secs(60),
            seed: name.bytes().fold(7_u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte))),
            ..Config::default()
        };
        let call = Call {
            client: Client::new(config),
            started: Instant::now(),
            url: url.to_owned(),
            tokens: Box::new(tokens),
            socket: None,
            connecting: None,
            speech: phrase(),
            told: Told::default(),
            tell,
            away_since: None,
            sent: 0,
        };
        Caller { orders, state, call: tokio::spawn(call.run(told)) }
    }

    /// Waits until the relay has greeted; again, if the connection was lost.
    pub async fn connected(&mut self) {
        let _ = self.state.wait_for(|state| matches!(state, State::Connected | State::Closed)).await;
    }

    /// Waits until the connection is lost.
    pub async fn lost(&mut self) {
        let _ = self.state.wait_for(|state| *state != State::Connected).await;
    }

    /// Begins to speak, or goes on.
    pub async fn speak(&self) {
        let _ = self.orders.send(Order::Speak).await;
    }

    /// Says nothing for a while: no audio is sent.
    pub async fn pause(&self) {
        let _ = self.orders.send(Order::Pause).await;
    }

    /// Hangs up: what was said is still sent, then the call ends.
    pub async fn hang_up(&self) {
        let _ = self.orders.send(Order::HangUp).await;
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// When the caller did.
    pub async fn end(self) -> Told {
        self.call.await.expect("no panic")
    }
}

fn phrase() -> Vec<i16> {
    let mut phrase = voice(PHRASE.as_secs_f64());
    phrase[(WORD.as_secs_f64() * 16_000.0) as usize..].fill(0);
    phrase
}

struct Call {
    client: Client,
    started: Instant,
    url: String,
    tokens: Tokens,
    socket: Option<Stream>,
    connecting: Option<JoinHandle<Result<Stream, Error>>>,
    speech: Vec<i16>,
    told: Told,
    tell: watch::Sender<State>,
    /// Since when it has been without a connection, if it had one before.
    away_since: Option<Instant>,
    /// How many samples were sent by now, at most.
    sent: u64,
}

impl Call {
    async fn run(mut self, mut orders: mpsc::Receiver<Order>) -> Told {
        let mut ticks = interval(Duration::from_millis(100));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut speaking = false;
        self.handle(Input::Start).await;
        while self.told.ended.is_none() {
            let due = self
                .client
                .poll_timeout()
                .map_or(Duration::from_secs(3_600), |time| Duration::from_micros(time.as_micros()));
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::HangUp) => {
                        speaking = false;
                        self.handle(Input::Close { finish: true }).await;
                    }
                    order => speaking = order == Some(Order::Speak),
                },
                _ = ticks.tick() => if speaking {
                    self.speak().await;
                },
                message = next(&mut self.socket) => self.handle_message(message).await,
                opened = opened(&mut self.connecting) => {
                    self.connecting = None;
                    match opened {
                        Ok(stream) => {
                            self.socket = Some(stream);
                            self.handle(Input::Opened).await;
                        }
                        Err(_) => self.closed(1006).await,
                    }
                }
                () = sleep_until(self.started + due) => {
                    // Whatever is sent is waited for.
                    self.handle(Input::Buffered(0)).await;
                    self.handle(Input::Timeout).await;
                }
            }
        }
        self.told
    }

    async fn speak(&mut self) {
        let from = self.told.spoken as usize % self.speech.len();
        let chunk = self.speech[from..from + CHUNK].to_vec();
        self.told.spoken += CHUNK as u64;
        self.handle(Input::Buffered(0)).await;
        self.handle(Input::Chunk(&chunk)).await;
    }

    async fn handle_message(&mut self, message: Option<Result<Message, Error>>) {
        match message {
            Some(Ok(Message::Text(text))) => {
                if let Ok(RelayMessage::Resumed(resumed)) = RelayMessage::parse(&text) {
                    let committed = resumed.committed.position.into();
                    self.told.resumptions.push(Resumption { sent: self.sent, committed });
                }
                self.handle(Input::Text(&text)).await;
            }
            Some(Ok(Message::Binary(frame))) => self.handle(Input::Binary(&frame)).await,
            Some(Ok(Message::Close(frame))) => {
                self.closed(frame.map_or(1005, |frame| frame.code.into())).await;
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => self.closed(1006).await,
        }
    }

    async fn closed(&mut self, code: u16) {
        self.socket = None;
        self.told.closes.push(code);
        self.handle(Input::Closed { code }).await;
    }

    async fn handle(&mut self, input: Input<'_>) {
        let now = Time::from_micros(u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX));
        self.client.handle_input(now, input);
        while let Some(output) = self.client.poll_output() {
            match output {
                Output::RequestToken => {
                    let token = (self.tokens)(self.told.asked_for_tokens);
                    self.told.asked_for_tokens += 1;
                    let token = token.as_ref().map(String::as_str).map_err(String::as_str);
                    self.client.handle_input(now, Input::Token(token));
                }
                Output::Connect => {
                    let mut request = self.url.as_str().into_client_request().expect("a URL");
                    request
                        .headers_mut()
                        .insert("sec-websocket-protocol", SUBPROTOCOL.parse().expect("a header"));
                    self.socket = None;
                    self.connecting = Some(tokio::spawn(async move {
                        Ok(connect_async_with_config(request, None, true).await?.0)
                    }));
                }
                Output::AskWhy => self.client.handle_input(now, Input::Why(None)),
                Output::Disconnect { .. } => (self.socket, self.connecting) = (None, None),
                Output::Text(text) => send(&mut self.socket, Message::text(text)).await,
                Output::Binary(frame) => {
                    self.sent = self.told.spoken;
                    send(&mut self.socket, Message::binary(frame.to_vec())).await;
                }
                Output::Play { .. } | Output::EndOfReply | Output::FlushPlayout | Output::HoldPlayout(_) => {}
                Output::Event(event) => match &event {
                    Event::Session(info) if !self.told.sessions.contains(&info.session_id) => {
                        self.told.sessions.push(info.session_id.clone());
                    }
                    Event::Error(error) => self.told.errors.push(error.code.clone()),
                    Event::Gap(gap) => self.told.missing += u64::from(gap.samples),
                    Event::Ended { code, usage } => {
                        (self.told.ended, self.told.usage) = (Some(*code), *usage);
                    }
                    Event::State(state) => {
                        if *state == State::Connected {
                            self.told.away.extend(self.away_since.take().map(|since| since.elapsed()));
                        } else if matches!(state, State::Reconnecting { .. }) {
                            self.away_since.get_or_insert_with(Instant::now);
                        }
                        let _ = self.tell.send(*state);
                    }
                    _ => {}
                },
            }
        }
    }
}

/// What cannot be sent is lost with its connection, and sent again over the next.
async fn send(socket: &mut Option<Stream>, message: Message) {
    if let Some(socket) = socket {
        let _ = socket.send(message).await;
    }
}

async fn next(socket: &mut Option<Stream>) -> Option<Result<Message, Error>> {
    match socket {
        Some(socket) => socket.next().await,
        None => std::future::pending().await,
    }
}

async fn opened(connecting: &mut Option<JoinHandle<Result<Stream, Error>>>) -> Result<Stream, Error> {
    match connecting {
        Some(connecting) => connecting.await.expect("no panic"),
        None => std::future::pending().await,
    }
}

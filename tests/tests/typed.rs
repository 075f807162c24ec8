//! What is typed with the native client, against a relay whose agent answers in text: the link of the real one, in front of a script.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use protocol::relay::{Attachment, Config, Handshake, Input, Link, Output, Saying};
use protocol::{
    AgentState, CloseCode, Codec, Features, Limits, Mark, Prices, Role, SUBPROTOCOL, Time, Transcript,
    Upward, Usage,
};
use relay::client::{Options, Report, converse};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;

/// A relay that takes what `features` names.
struct Scripted {
    link: Option<Link>,
    features: &'static [&'static str],
    began: Instant,
    turn: u32,
    /// Breaks the connection, once, instead of answering the second text.
    breaks: bool,
    texts: Vec<String>,
    connections: u32,
}

impl Scripted {
    fn now(&self) -> Time {
        Time::from_micros(u64::try_from(self.began.elapsed().as_micros()).expect("not that long"))
    }

    fn config(&self) -> Config {
        Config {
            session_id: "s".into(),
            conversation_id: "c".into(),
            limits: Limits {
                session_ms: 60_000,
                idle_ms: 60_000,
                chunk_min_bytes: 100,
                chunk_max_bytes: 100_000,
                burst_ms: 65_000,
                budget_nano_usd: 0,
            },
            control_per_second: 20,
            prices: Prices::default(),
            agent_codec: Codec::PcmS16le24000,
            recording: false,
            heartbeat: Duration::from_secs(15),
            resume_window: Duration::from_secs(60),
            agent: Some("parrot".into()),
            features: self.features,
        }
    }

    fn say(&mut self, role: Role, text: String) {
        self.turn += 1;
        let (seq, turn, start, end) = (0, self.turn, 0, 0);
        let said = Transcript { seq, turn, role, text, last: true, start, end };
        self.handle(Input::Say(&Saying::Transcript(said)));
    }

    fn handle(&mut self, input: Input<'_>) {
        let now = self.now();
        self.link.as_mut().expect("attached").handle_input(now, input);
    }

    /// One connection, to its end.
    async fn serve(&mut self, stream: tokio::net::TcpStream) {
        self.connections += 1;
        #[expect(clippy::result_large_err, reason = "as the library has it")]
        let choose = |_: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
            response.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(SUBPROTOCOL));
            Ok(response)
        };
        let mut socket = accept_hdr_async(stream, choose).await.expect("a WebSocket");
        let Some(Ok(Message::Text(text))) = socket.next().await else { panic!("no hello") };
        let hello = Handshake::new(self.now()).handle_text(&text).expect("a hello");
        assert_eq!(hello.agent.as_deref(), Some("parrot"));
        let attachment = if self.link.is_some() { Attachment::Resume } else { Attachment::New };
        let (now, config) = (self.now(), self.config());
        self.link.get_or_insert_with(|| Link::new(now, config, hello.start));
        let token = format!("r{}", self.connections);
        self.handle(Input::Attach { hello: &hello, attachment, resume_token: &token });
        loop {
            let (mut out, mut typed, mut bye, mut close) = (Vec::new(), Vec::new(), false, false);
            let link = self.link.as_mut().expect("attached");
            while let Some(output) = link.poll_output() {
                match output {
                    Output::Text(text) => out.push(Message::text(text)),
                    Output::Binary(frame) => out.push(Message::Binary(frame)),
                    Output::Message { mark, message: Upward::Text { text } } => typed.push((mark, text)),
                    Output::Bye => bye = true,
                    Output::Close(_) => close = true,
                    _ => {}
                }
            }
            for message in out {
                socket.send(message).await.expect("sent");
            }
            if close {
                let _ = socket.close(None).await;
                return;
            }
            if !typed.is_empty() || bye {
                for (mark, text) in typed {
                    self.texts.push(text.clone());
                    self.handle(Input::Commit(Mark { seq: mark.seq + 1, ..mark }));
                    self.say(Role::User, text.clone());
                    self.handle(Input::Say(&Saying::Agent(AgentState::Thinking)));
                    self.say(Role::Agent, format!("{text}?"));
                    self.handle(Input::Say(&Saying::Agent(AgentState::Listening)));
                }
                if self.texts.len() == 2 && std::mem::take(&mut self.breaks) {
                    return self.handle(Input::Closed);
                }
                if bye {
                    self.handle(Input::End { code: CloseCode::Normal, usage: Usage::default() });
                }
                continue;
            }
            match socket.next().await {
                Some(Ok(Message::Text(text))) => self.handle(Input::Text(&text)),
                Some(Ok(Message::Binary(frame))) => self.handle(Input::Binary(frame)),
                _ => return self.handle(Input::Closed),
            }
        }
    }
}

async fn call(
    features: &'static [&'static str],
    breaks: bool,
    texts: &[&str],
    lines: &[&str],
) -> (Report, Scripted) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("ws://{}/v1/call", listener.local_addr().expect("bound"));
    let began = Instant::now();
    let mut relay =
        Scripted { link: None, features, began, turn: 0, breaks, texts: Vec::new(), connections: 0 };
    let (sender, receiver) = tokio::sync::mpsc::channel(4);
    for line in lines {
        sender.send((*line).to_owned()).await.expect("room");
    }
    drop(sender);
    let options = Options {
        texts: texts.iter().map(|text| (*text).to_owned()).collect(),
        agent: Some("parrot".into()),
        longest: Duration::from_secs(30),
        ..Options::new(url, "a token".into(), Vec::new())
    };
    let mut calling = Box::pin(converse(options, Some(receiver), |_| {}));
    let report = loop {
        tokio::select! {
            report = &mut calling => break report,
            accepted = listener.accept() => {
                let serving = relay.serve(accepted.expect("a connection").0);
                tokio::select! {
                    report = &mut calling => break report,
                    () = serving => {}
                }
            }
        }
    };
    (report, relay)
}

#[tokio::test]
async fn each_text_is_answered_before_the_next_one_is_typed_through_a_broken_connection() {
    let (report, relay) = call(Features::RELAY, true, &["one", "two"], &["three"]).await;
    assert!(report.is_good(), "{report:?}");
    assert_eq!(relay.texts, ["one", "two", "three"]);
    let said: Vec<&str> = report.turns.iter().map(|turn| turn.text.as_str()).collect();
    assert_eq!(said, ["one", "one?", "two", "two?", "three", "three?"]);
    assert_eq!((report.typed, report.answered, report.reconnects, report.spoken), (3, 3, 1, 0));
    assert_eq!(report.answer_latencies.len(), 3);
}

#[tokio::test]
async fn a_relay_that_takes_no_texts_ends_the_call_with_the_reason() {
    let (report, relay) = call(&[], false, &["one"], &[]).await;
    assert!(!report.is_good());
    assert_eq!(report.errors.len(), 1, "{:?}", report.errors);
    assert!(report.errors[0].starts_with("not_supported: "), "{:?}", report.errors);
    assert_eq!(relay.texts, Vec::<String>::new());
}

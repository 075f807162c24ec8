//! No use of the client's API cuts a call: whatever an application does, in any order and at any rate, the relay's machine takes it.

#[path = "../examples/simulate/random.rs"]
#[expect(dead_code, reason = "the storm needs some of it")]
mod random;

use std::time::Duration;

use bytes::Bytes;
use protocol::client::{self, Client, Event, State};
use protocol::relay::{self, Attachment, Handshake, Link};
use protocol::{CloseCode, Codec, Features, Limits, Mark, Prices, RelayMessage, Time, Usage};
use random::Random;

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// What a relay takes of a user's resumes in a minute, and of control messages in a second.
const RESUMES_PER_MINUTE: usize = 120;
const CONTROL_PER_SECOND: u32 = 20;
/// One way over the network.
const TRAVEL: Duration = Duration::from_millis(10);
const CHUNK_TIME: Duration = Duration::from_millis(20);
const STORM: Duration = Duration::from_secs(20);

/// What an application does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Act {
    Mute,
    Woke,
    Online,
    Offline,
    Toggle,
    Played,
    Token,
}

const ACTS: [Act; 7] =
    [Act::Mute, Act::Woke, Act::Online, Act::Offline, Act::Toggle, Act::Played, Act::Token];

/// A client, a relay, and a network that carries everything and only takes its time.
struct Call {
    now: Time,
    client: Client,
    link: Link,
    /// Counts connections; what belongs to an earlier one is not delivered.
    connection: u32,
    attached: bool,
    to_client: Vec<(Time, u32, Packet)>,
    to_relay: Vec<(Time, u32, Packet)>,
    attempts: Vec<Time>,
    closes: Vec<CloseCode>,
    samples: u32,
    ended: Option<CloseCode>,
}

enum Packet {
    Opened,
    Text(String),
    Binary(Bytes),
    Closed(u16),
}

impl Call {
    fn new(seed: u64) -> Call {
        let config = relay::Config {
            session_id: "s".into(),
            conversation_id: "c".into(),
            limits: Limits {
                session_ms: 3_600_000,
                idle_ms: 600_000,
                chunk_min_bytes: 100,
                chunk_max_bytes: 100_000,
                burst_ms: 65_000,
                budget_nano_usd: 0,
            },
            control_per_second: CONTROL_PER_SECOND,
            prices: Prices::default(),
            agent_codec: Codec::PcmS16le24000,
            recording: false,
            heartbeat: Duration::from_secs(15),
            resume_window: Duration::from_secs(120),
            agent: None,
            features: Features::RELAY,
        };
        let mut call = Call {
            now: Time::from_millis(5_000),
            client: Client::new(client::Config { seed, ..client::Config::default() }),
            link: Link::new(Time::from_millis(5_000), config, Mark::default()),
            connection: 0,
            attached: false,
            to_client: Vec::new(),
            to_relay: Vec::new(),
            attempts: Vec::new(),
            closes: Vec::new(),
            samples: 0,
            ended: None,
        };
        call.client(client::Input::Start);
        call.pass(Duration::from_secs(2));
        assert_eq!(call.client.state(), State::Connected);
        call
    }

    fn client(&mut self, input: client::Input<'_>) {
        self.client.handle_input(self.now, input);
        let due = self.now + TRAVEL;
        let mut asked = false;
        while let Some(output) = self.client.poll_output() {
            let packet = match output {
                client::Output::RequestToken => {
                    asked = true;
                    continue;
                }
                client::Output::Connect => {
                    self.connection += 1;
                    self.attempts.push(self.now);
                    self.to_client.push((due + TRAVEL, self.connection, Packet::Opened));
                    continue;
                }
                client::Output::Text(text) => Packet::Text(text),
                client::Output::Binary(frame) => Packet::Binary(Bytes::from_owner(frame)),
                client::Output::Disconnect { code } => {
                    self.to_relay.push((due, self.connection, Packet::Closed(code)));
                    self.to_client.clear();
                    continue;
                }
                client::Output::Event(Event::Ended { code, .. }) => {
                    self.ended = Some(code);
                    continue;
                }
                _ => continue,
            };
            self.to_relay.push((due, self.connection, packet));
        }
        if asked {
            self.client(client::Input::Token(Ok("jwt")));
        }
    }

    fn relay(&mut self, input: relay::Input<'_>) {
        self.link.handle_input(self.now, input);
        let due = self.now + TRAVEL;
        let mut hung_up = false;
        while let Some(output) = self.link.poll_output() {
            match output {
                relay::Output::Text(text) => {
                    self.to_client.push((due, self.connection, Packet::Text(text)));
                }
                relay::Output::Binary(frame) => {
                    self.to_client.push((due, self.connection, Packet::Binary(frame)));
                }
                relay::Output::Close(code) => {
                    self.closes.push(code);
                    self.attached = false;
                    self.to_client.push((due, self.connection, Packet::Closed(code.code())));
                }
                relay::Output::Bye => hung_up = true,
                _ => {}
            }
        }
        if hung_up {
            self.relay(relay::Input::End { code: CloseCode::Normal, usage: Usage::default() });
        }
    }

    fn arrived_at_relay(&mut self, connection: u32, packet: Packet) {
        match packet {
            Packet::Text(text) if !self.attached && connection == self.connection => {
                let hello = Handshake::new(self.now).handle_text(&text).expect("a greeting");
                let attachment = if hello.resume.is_some() { Attachment::Resume } else { Attachment::New };
                self.attached = true;
                let token = format!("token-{connection}");
                self.relay(relay::Input::Attach { hello: &hello, attachment, resume_token: &token });
            }
            Packet::Closed(_) if self.attached => {
                self.attached = false;
                self.relay(relay::Input::Closed);
            }
            Packet::Text(text) if self.attached => self.relay(relay::Input::Text(&text)),
            Packet::Binary(frame) if self.attached => self.relay(relay::Input::Binary(frame)),
            _ => {}
        }
    }

    /// Lets time pass; somebody speaks.
    fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let packets = self.to_client.iter().chain(&self.to_relay).map(|(due, ..)| *due);
            let timers = self.client.poll_timeout().into_iter().chain(self.link.poll_timeout());
            let Some(next) = packets.chain(timers).min().filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            while let Some(first) = self.to_relay.iter().position(|(due, ..)| *due <= self.now) {
                let (_, connection, packet) = self.to_relay.remove(first);
                self.arrived_at_relay(connection, packet);
            }
            while let Some(first) = self.to_client.iter().position(|(due, ..)| *due <= self.now) {
                let (_, connection, packet) = self.to_client.remove(first);
                if connection == self.connection {
                    self.arrived_at_client(packet);
                }
            }
            if self.client.poll_timeout().is_some_and(|due| due <= self.now) {
                self.client(client::Input::Buffered(0));
                self.client(client::Input::Timeout);
            }
            if self.link.poll_timeout().is_some_and(|due| due <= self.now) {
                self.relay(relay::Input::Timeout);
            }
        }
        self.now = end;
    }

    fn arrived_at_client(&mut self, packet: Packet) {
        match packet {
            Packet::Opened => self.client(client::Input::Opened),
            Packet::Text(text) => {
                assert!(!matches!(RelayMessage::parse(&text), Ok(RelayMessage::ErrorMessage(_))), "{text}");
                self.client(client::Input::Text(&text));
            }
            Packet::Binary(frame) => self.client(client::Input::Binary(&frame)),
            Packet::Closed(code) => self.client(client::Input::Closed { code }),
        }
    }

    fn act(&mut self, act: Act, muted: &mut bool) {
        match act {
            Act::Mute => {
                *muted = !*muted;
                self.client(client::Input::Mute(*muted));
            }
            Act::Woke => self.client(client::Input::Woke),
            Act::Online => self.client(client::Input::Online),
            Act::Offline => self.client(client::Input::Offline),
            Act::Toggle => {
                self.client(client::Input::Offline);
                self.client(client::Input::Online);
            }
            Act::Played => {
                self.samples += 10;
                self.client(client::Input::Played(self.samples));
            }
            Act::Token => self.client(client::Input::Token(Ok("another"))),
        }
    }

    /// The most attempts that began within any minute.
    fn most_attempts_in_a_minute(&self) -> usize {
        let within = |from: Time| {
            self.attempts.iter().filter(|at| **at >= from && at.since(from) < Duration::from_secs(60)).count()
        };
        self.attempts.iter().map(|from| within(*from)).max().unwrap_or_default()
    }
}

/// Acts at random, so many a second, while somebody speaks and the agent does; then the call goes on and ends in order.
fn storm(seed: u64, acts: &[Act], per_second: u64) {
    let mut random = Random::new(seed);
    let mut call = Call::new(seed);
    let (mut muted, end) = (false, call.now + STORM);
    let (mut next_chunk, mut next_act) = (call.now, call.now);
    while call.now < end {
        if next_chunk <= call.now {
            next_chunk = next_chunk + CHUNK_TIME;
            if !muted {
                call.client(client::Input::Buffered(0));
                call.client(client::Input::Chunk(&[1; 320]));
            }
            call.relay(relay::Input::Audio(&[2; 480]));
        }
        if next_act <= call.now {
            next_act = next_act + Duration::from_micros(random.between(0, 2_000_000 / per_second));
            call.act(acts[random.between(0, acts.len() as u64 - 1) as usize], &mut muted);
        }
        let next = next_chunk.min(next_act).max(call.now + Duration::from_micros(1));
        let span = next.since(call.now);
        call.pass(span);
    }
    let says = format!("seed {seed}, {acts:?}, {per_second} a second");
    assert_eq!((&call.closes[..], call.ended), (&[][..], None), "{says}");
    assert!(call.most_attempts_in_a_minute() <= RESUMES_PER_MINUTE / 2, "{says}: {}", call.attempts.len());
    // The storm is over: a network that is there is used soon, whatever came before.
    call.client(client::Input::Online);
    call.pass(Duration::from_millis(1_200));
    assert_eq!(call.client.state(), State::Connected, "{says}");
    call.client(client::Input::Closed { code: 1012 });
    call.relay(relay::Input::Closed);
    call.attached = false;
    let State::Reconnecting { retry_in, .. } = call.client.state() else { panic!("{says}") };
    assert!(retry_in <= Duration::from_secs(4), "{says}: the backoff ran away: {retry_in:?}");
    call.pass(Duration::from_secs(30));
    assert_eq!(call.client.state(), State::Connected, "{says}");
    call.client(client::Input::Close { finish: true });
    call.pass(Duration::from_secs(2));
    assert_eq!((call.ended, &call.closes[..]), (Some(CloseCode::Normal), &[CloseCode::Normal][..]), "{says}");
}

#[test]
fn whatever_an_application_does_at_any_rate_the_relay_takes_it() {
    for seed in 0..12 {
        for per_second in [3, 30, 1_000] {
            storm(seed, &ACTS, per_second);
        }
    }
}

#[test]
fn whatever_an_application_does_over_and_over_the_relay_takes_it() {
    for act in ACTS {
        for per_second in [1, 5, 20, 400] {
            if act == Act::Offline {
                continue;
            }
            storm(7, &[act], per_second);
        }
    }
}

#[test]
fn a_network_that_comes_and_goes_fifty_times_in_half_a_second_costs_a_reconnect_or_two() {
    let mut call = Call::new(3);
    let before = call.attempts.len();
    for _ in 0..50 {
        call.client(client::Input::Offline);
        call.pass(Duration::from_millis(5));
        call.client(client::Input::Online);
        call.pass(Duration::from_millis(5));
    }
    call.pass(Duration::from_secs(2));
    assert!(call.attempts.len() - before <= 2, "{} reconnects", call.attempts.len() - before);
    assert_eq!(call.client.state(), State::Connected);
}

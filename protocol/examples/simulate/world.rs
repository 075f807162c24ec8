//! One call over a terrible network, on simulated time: both real machines, a user who speaks, an agent who answers, a relay
//! that crashes, and the proof at the end.

use std::time::Duration;

use protocol::client::{self, Client, Event, State};
use protocol::relay::{self, Attachment, Handshake, Link, Saying};
use protocol::{
    AgentState, CloseCode, Codec, Limits, Mark, Prices, RelayMessage, Role, Time, Transcript, Usage,
};

use crate::network::{Connection, Packet};
use crate::random::Random;

/// What happened in a call, for the totals.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) chunks: u64,
    pub(crate) connections: u64,
    pub(crate) crashes: u64,
    pub(crate) failed_resumes: u64,
    pub(crate) gaps: u64,
    pub(crate) missing_samples: u64,
}

/// What a call is like.
#[derive(Debug)]
struct Scenario {
    chunk: u32,
    chunks: u32,
    faults: bool,
    crash_percent: u64,
    /// Outages during which no connection can be made: from, length.
    outage: Option<(Time, Duration)>,
    resume_window: Duration,
}

/// What the relay's side has of the uplink: stretches of the user's timeline, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Audio { from: u32, to: u32 },
    Gap { from: u32, to: u32 },
}

impl Heard {
    fn range(self) -> (u32, u32) {
        match self {
            Heard::Audio { from, to } | Heard::Gap { from, to } => (from, to),
        }
    }
}

/// What outlives a crash of the relay.
#[derive(Debug, Default)]
struct Stored {
    session_id: String,
    epoch: u32,
    committed: Mark,
    resume_tokens: Vec<String>,
}

/// What the agent said in this epoch, frame by frame, and what of it the client played or showed.
#[derive(Debug, Default)]
struct Downlink {
    position: u32,
    said: Vec<String>,
    heard: Vec<String>,
}

pub(crate) struct World {
    random: Random,
    now: Time,
    scenario: Scenario,
    client: Client,
    link: Option<Link>,
    stored: Option<Stored>,
    connections: Vec<Connection>,
    /// The connection the client uses, and the one the session uses.
    client_connection: Option<u32>,
    relay_connection: Option<u32>,
    /// Connections whose `hello` has not come.
    greeting: Vec<u32>,
    next_id: u32,
    tokens: u32,

    spoken: u32,
    next_chunk: Time,
    next_answer: Time,
    expected: Mark,
    heard: Vec<Heard>,
    told_gaps: Vec<(u32, u32)>,
    downlink: Downlink,
    hung_up: bool,
    ended: Option<CloseCode>,
    tally: Tally,
}

const CHUNK_TIME: Duration = Duration::from_millis(100);

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let chunk = [20, 160, 1_600][random.between(0, 2) as usize];
        let start = Time::from_micros(random.between(0, 1 << 40));
        let faults = random.percent(90);
        let scenario = Scenario {
            chunk,
            chunks: random.between(5, 60) as u32,
            faults,
            crash_percent: if faults { random.between(0, 3) } else { 0 },
            outage: (faults && random.percent(30)).then(|| {
                let from = start + Duration::from_millis(random.between(0, 3_000));
                (from, Duration::from_millis(random.between(500, 20_000)))
            }),
            resume_window: Duration::from_millis([2_000, 60_000][random.between(0, 1) as usize]),
        };
        let config = client::Config {
            buffer: Duration::from_secs([1, 3, 30][random.between(0, 2) as usize]),
            seed: random.next(),
            ..client::Config::default()
        };
        World {
            now: start,
            scenario,
            client: Client::new(config),
            link: None,
            stored: None,
            connections: Vec::new(),
            client_connection: None,
            relay_connection: None,
            greeting: Vec::new(),
            next_id: 0,
            tokens: 0,
            spoken: 0,
            next_chunk: start + CHUNK_TIME,
            next_answer: start + CHUNK_TIME,
            expected: Mark::default(),
            heard: Vec::new(),
            told_gaps: Vec::new(),
            downlink: Downlink::default(),
            hung_up: false,
            ended: None,
            tally: Tally::default(),
            random,
        }
    }

    /// Runs the call to its end and checks it.
    pub(crate) fn run(mut self) -> Result<Tally, String> {
        let deadline = self.now + Duration::from_secs(1_800);
        self.input(client::Input::Start)?;
        while self.ended.is_none() {
            let next = self.next_time();
            if next > deadline {
                return Err(format!("the call did not end; client {:?}", self.client.state()));
            }
            self.now = self.now.max(next);
            self.step()?;
        }
        self.check()?;
        Ok(self.tally)
    }

    fn next_time(&self) -> Time {
        let network = self.connections.iter().filter_map(Connection::due);
        let machines =
            self.client.poll_timeout().into_iter().chain(self.link.as_ref().and_then(Link::poll_timeout));
        let people = (!self.hung_up).then_some(self.next_chunk).into_iter().chain([self.next_answer]);
        network.chain(machines).chain(people).min().unwrap_or(self.now)
    }

    fn step(&mut self) -> Result<(), String> {
        if self.client.poll_timeout().is_some_and(|due| due <= self.now) {
            self.input(client::Input::Timeout)?;
        }
        if self.link.as_ref().and_then(Link::poll_timeout).is_some_and(|due| due <= self.now) {
            self.relay_input(relay::Input::Timeout)?;
        }
        self.deliver()?;
        if !self.hung_up && self.next_chunk <= self.now {
            self.next_chunk = self.next_chunk + CHUNK_TIME;
            self.speak()?;
        }
        if self.next_answer <= self.now {
            self.next_answer = self.now + Duration::from_millis(self.random.between(50, 800));
            self.answer()?;
            self.misfortune()?;
        }
        Ok(())
    }

    fn deliver(&mut self) -> Result<(), String> {
        for index in 0..self.connections.len() {
            let id = self.connections[index].id;
            while let Some(packet) = self.connections[index].arrived_at_relay(self.now) {
                self.arrived_at_relay(id, packet)?;
            }
            while let Some(packet) = self.connections[index].arrived_at_client(self.now) {
                if self.client_connection == Some(id) {
                    self.arrived_at_client(packet)?;
                }
            }
        }
        let (client, relay, greeting) =
            (self.client_connection, self.relay_connection, self.greeting.clone());
        self.connections.retain(|connection| {
            connection.due().is_some()
                || client == Some(connection.id)
                || relay == Some(connection.id)
                || greeting.contains(&connection.id)
        });
        Ok(())
    }

    fn arrived_at_client(&mut self, packet: Packet) -> Result<(), String> {
        match packet {
            Packet::Opened => self.input(client::Input::Opened),
            Packet::Text(text) => self.input(client::Input::Text(&text)),
            Packet::Binary(frame) => self.input(client::Input::Binary(&frame)),
            Packet::Closed(code) => {
                self.client_connection = None;
                self.input(client::Input::Closed { code })
            }
        }
    }

    fn arrived_at_relay(&mut self, id: u32, packet: Packet) -> Result<(), String> {
        if let Some(place) = self.greeting.iter().position(|waiting| *waiting == id) {
            if let Packet::Text(text) = &packet {
                self.greeting.swap_remove(place);
                return self.greet(id, text);
            }
            if matches!(packet, Packet::Closed(_)) {
                self.greeting.swap_remove(place);
            }
            return Ok(());
        }
        if self.relay_connection != Some(id) {
            return Ok(());
        }
        match packet {
            Packet::Opened => Ok(()),
            Packet::Text(text) => self.relay_input(relay::Input::Text(&text)),
            Packet::Binary(frame) => self.relay_input(relay::Input::Binary(&frame)),
            Packet::Closed(_) => {
                self.relay_connection = None;
                self.relay_input(relay::Input::Closed)
            }
        }
    }

    /// What a relay's driver does with a connection's first message.
    fn greet(&mut self, id: u32, text: &str) -> Result<(), String> {
        let hello =
            Handshake::new(self.now).handle_text(text).map_err(|refusal| format!("refused: {refusal:?}"))?;
        self.tokens += 1;
        let token = format!("token-{}", self.tokens);
        let used = hello.resume.as_ref().map(|resume| resume.resume_token.clone()).unwrap_or_default();
        let known = self.stored.as_ref().filter(|stored| {
            hello.resume.as_ref().is_some_and(|resume| resume.session_id == stored.session_id)
                && match &self.link {
                    Some(link) => link.accepts(&used),
                    None => stored.resume_tokens.contains(&used),
                }
        });
        let attachment = match (known, &hello.resume) {
            (Some(stored), _) => {
                let (epoch, committed) = (stored.epoch, stored.committed);
                if self.link.is_none() {
                    let config = self.relay_config(&stored.session_id.clone());
                    self.link = Some(Link::recovered(self.now, config, epoch + 1, committed));
                    self.downlink = Downlink::default();
                }
                Attachment::Resume
            }
            (None, resume) => {
                let session_id = format!("session-{id}");
                self.link = Some(Link::new(self.now, self.relay_config(&session_id), hello.start));
                self.stored = Some(Stored { session_id, committed: hello.start, ..Stored::default() });
                self.downlink = Downlink::default();
                if resume.is_some() { Attachment::Instead } else { Attachment::New }
            }
        };
        self.tally.failed_resumes += u64::from(attachment == Attachment::Instead);
        if let Some(old) = self.relay_connection.replace(id) {
            self.close_relay_end(old, CloseCode::Replaced.code());
        }
        self.relay_input(relay::Input::Attach { hello: &hello, attachment, resume_token: &token })?;
        if attachment != Attachment::Resume {
            self.forget_from(hello.start)?;
        }
        if let (Some(stored), Some(link)) = (&mut self.stored, &self.link) {
            stored.epoch = link.epoch();
            stored.resume_tokens = vec![token, used];
        }
        Ok(())
    }

    fn relay_config(&self, session_id: &str) -> relay::Config {
        relay::Config {
            session_id: session_id.into(),
            limits: Limits {
                session_ms: 3_600_000,
                idle_ms: 600_000,
                chunk_min_bytes: 2,
                chunk_max_bytes: 100_000,
                burst_ms: 65_000,
                budget_nano_usd: 0,
            },
            prices: Prices::default(),
            agent_codec: Codec::PcmS16le24000,
            recording: false,
            heartbeat: Duration::from_secs(15),
            resume_window: self.scenario.resume_window,
        }
    }

    /// A relay lost its memory (or a new session began): what it heard beyond this place it will hear again.
    fn forget_from(&mut self, mark: Mark) -> Result<(), String> {
        while let Some(last) = self.heard.pop() {
            let (from, to) = last.range();
            if from < mark.position {
                let to = to.min(mark.position);
                self.heard.push(match last {
                    Heard::Audio { .. } => Heard::Audio { from, to },
                    Heard::Gap { .. } => Heard::Gap { from, to },
                });
                break;
            }
        }
        let end = self.heard.last().map_or(0, |last| last.range().1);
        if end != mark.position {
            return Err(format!("the relay goes on at {} but has only heard {end}", mark.position));
        }
        self.expected = mark;
        Ok(())
    }

    fn input(&mut self, input: client::Input<'_>) -> Result<(), String> {
        self.client.handle_input(self.now, input);
        let mut token_wanted = false;
        while let Some(output) = self.client.poll_output() {
            let send = |packet, connections: &mut Vec<Connection>, random: &mut Random| {
                let connection = connections.iter_mut().find(|one| Some(one.id) == self.client_connection);
                if let Some(connection) = connection {
                    connection.send_to_relay(self.now, packet, random);
                }
            };
            match output {
                client::Output::RequestToken => token_wanted = true,
                client::Output::Text(text) => {
                    send(Packet::Text(text.into()), &mut self.connections, &mut self.random);
                }
                client::Output::Binary(frame) => {
                    send(Packet::Binary(frame.to_vec()), &mut self.connections, &mut self.random);
                }
                client::Output::Disconnect { code } => {
                    send(Packet::Closed(code), &mut self.connections, &mut self.random);
                    self.client_connection = None;
                }
                client::Output::Connect => {
                    self.tally.connections += 1;
                    self.next_id += 1;
                    let id = self.next_id;
                    self.client_connection = Some(id);
                    let faults = self.scenario.faults && !self.hung_up;
                    let mut connection = Connection::new(id, &mut self.random, faults);
                    let away = self
                        .scenario
                        .outage
                        .is_some_and(|(from, length)| self.now >= from && self.now.since(from) < length);
                    if away {
                        connection.cut(self.now, &mut self.random);
                    } else {
                        connection.send_to_client(self.now, Packet::Opened, &mut self.random);
                        self.greeting.push(id);
                    }
                    self.connections.push(connection);
                }
                client::Output::Play { codec, position, payload } => {
                    self.downlink.heard.push(format!("{} {position} {}", codec.name(), payload.len()));
                }
                client::Output::EndOfReply => self.downlink.heard.push("end of reply".into()),
                client::Output::FlushPlayout => self.downlink.heard.push("flush".into()),
                client::Output::Event(Event::Transcript(turn)) => self.downlink.heard.push(turn.text),
                client::Output::Event(Event::Agent(state)) => self.downlink.heard.push(format!("{state:?}")),
                client::Output::Event(Event::Gap(gap)) => {
                    self.tally.gaps += 1;
                    self.tally.missing_samples += u64::from(gap.samples);
                    self.told_gaps.push((gap.position, gap.position + gap.samples));
                }
                client::Output::Event(Event::Ended { code, .. }) => self.ended = Some(code),
                client::Output::Event(_) => {}
            }
        }
        if token_wanted {
            return self.input(client::Input::Token(Ok("a token")));
        }
        Ok(())
    }

    fn relay_input(&mut self, input: relay::Input<'_>) -> Result<(), String> {
        let Some(link) = &mut self.link else { return Ok(()) };
        link.handle_input(self.now, input);
        let (mut heard, mut bye, mut over, mut goes_on) = (Vec::new(), false, false, None);
        while let Some(output) = link.poll_output() {
            let connection = self.connections.iter_mut().find(|one| Some(one.id) == self.relay_connection);
            match (output, connection) {
                (relay::Output::Text(text), Some(connection)) => {
                    if let Ok(RelayMessage::Resumed(resumed)) = RelayMessage::parse(text) {
                        goes_on = Some(resumed.received);
                    }
                    connection.send_to_client(self.now, Packet::Text(text.into()), &mut self.random);
                }
                (relay::Output::Binary(frame), Some(connection)) => {
                    connection.send_to_client(self.now, Packet::Binary(frame.to_vec()), &mut self.random);
                }
                (relay::Output::Close(code), Some(connection)) => {
                    connection.send_to_client(self.now, Packet::Closed(code.code()), &mut self.random);
                    self.relay_connection = None;
                }
                (relay::Output::Audio { mark, payload }, _) => {
                    check_samples(mark, payload)?;
                    heard.push((mark, mark.position + (payload.len() / 2) as u32, false));
                }
                (relay::Output::Gap(gap), _) => heard.push((gap.from, gap.to.position, true)),
                (relay::Output::Bye, _) => bye = true,
                (relay::Output::Ended(CloseCode::Abnormal), _) => over = true,
                (relay::Output::Ended(code), _) => {
                    return Err(format!("the relay ended the session: {code:?}"));
                }
                _ => {}
            }
        }
        if let Some(mark) = goes_on {
            self.forget_from(mark)?;
        }
        for (mark, to, missing) in heard {
            self.hear(mark, to, missing)?;
        }
        if over {
            // Nobody came back: the session's row is ended, and a resume will fail.
            self.link = None;
            self.stored = None;
        }
        if bye {
            self.relay_input(relay::Input::End { code: CloseCode::Normal, usage: Usage::default() })?;
        }
        Ok(())
    }

    fn hear(&mut self, mark: Mark, to: u32, missing: bool) -> Result<(), String> {
        let from = mark.position;
        let end = self.heard.last().map_or(0, |last| last.range().1);
        if from != end {
            return Err(format!("heard {from}..{to} after {end}"));
        }
        self.heard.push(if missing { Heard::Gap { from, to } } else { Heard::Audio { from, to } });
        self.expected = Mark { seq: mark.seq + 1, position: to };
        // Sometimes the transcript reaches up to here, or everything so far was silence.
        if !missing && self.random.percent(20) {
            let committed = self.expected;
            if let Some(stored) = self.stored.as_mut().filter(|_| self.random.percent(50)) {
                stored.committed = committed;
            }
            self.relay_input(relay::Input::Commit(committed))?;
        }
        Ok(())
    }

    fn speak(&mut self) -> Result<(), String> {
        if self.spoken == self.scenario.chunks * self.scenario.chunk {
            self.hung_up = true;
            return self.input(client::Input::Close);
        }
        if self.client.state() == State::Idle {
            return Ok(());
        }
        let samples: Vec<i16> =
            (self.spoken..self.spoken + self.scenario.chunk).map(|position| position as i16).collect();
        self.spoken += self.scenario.chunk;
        self.tally.chunks += 1;
        self.input(client::Input::Buffered(0))?;
        self.input(client::Input::Chunk(&samples))
    }

    /// The agent says something, if it may.
    fn answer(&mut self) -> Result<(), String> {
        if !self.link.as_ref().is_some_and(Link::has_room) {
            return Ok(());
        }
        match self.random.between(0, 4) {
            0 => self.say("Speaking", &Saying::Agent(AgentState::Speaking)),
            1 => self.say("flush", &Saying::Flush),
            2 => {
                let text = format!("turn {}", self.downlink.said.len());
                let (seq, turn, start, end) = (0, 0, 0, 0);
                let turn =
                    Transcript { seq, turn, role: Role::Agent, text: text.clone(), last: true, start, end };
                self.say(&text, &Saying::Transcript(turn))
            }
            _ => {
                let samples = vec![7; self.random.between(1, 300) as usize];
                let said = format!(
                    "{} {} {}",
                    Codec::PcmS16le24000.name(),
                    self.downlink.position,
                    samples.len() * 2
                );
                self.downlink.said.push(said);
                self.downlink.position += samples.len() as u32;
                self.relay_input(relay::Input::Audio(&samples))
            }
        }
    }

    fn say(&mut self, said: &str, saying: &Saying) -> Result<(), String> {
        self.downlink.said.push(said.into());
        self.relay_input(relay::Input::Say(saying))
    }

    /// Cuts, network changes, sleep, crashes.
    fn misfortune(&mut self) -> Result<(), String> {
        if !self.scenario.faults || self.hung_up {
            return Ok(());
        }
        if self.random.percent(5) {
            let using = self.client_connection;
            if let Some(connection) = self.connections.iter_mut().find(|one| Some(one.id) == using) {
                connection.cut(self.now, &mut self.random);
            }
        }
        if self.random.percent(3) {
            self.input(client::Input::Offline)?;
        }
        if self.random.percent(10) {
            let online = self.random.percent(50);
            self.input(if online { client::Input::Online } else { client::Input::Woke })?;
        }
        let crash = self.scenario.crash_percent;
        if self.link.is_some() && self.random.percent(crash) {
            self.tally.crashes += 1;
            self.link = None;
            self.greeting.clear();
            if let Some(id) = self.relay_connection.take() {
                self.close_relay_end(id, 1006);
            }
            for connection in &mut self.connections {
                connection.cut(self.now, &mut self.random);
            }
        }
        Ok(())
    }

    fn close_relay_end(&mut self, id: u32, code: u16) {
        if let Some(connection) = self.connections.iter_mut().find(|one| one.id == id) {
            connection.send_to_client(self.now, Packet::Closed(code), &mut self.random);
        }
    }

    /// What was heard is what was said, each sample once, in order, but for the gaps that were announced, to the sample.
    fn check(&self) -> Result<(), String> {
        if self.ended != Some(CloseCode::Normal) {
            return Err(format!("the call ended with {:?}", self.ended));
        }
        let missing = merge(self.heard.iter().filter_map(|heard| match *heard {
            Heard::Gap { from, to } => Some((from, to)),
            Heard::Audio { .. } => None,
        }));
        let told = merge(self.told_gaps.iter().copied());
        let length: u64 = self.told_gaps.iter().map(|(from, to)| u64::from(to - from)).sum();
        if length != told.iter().map(|(from, to)| u64::from(to - from)).sum::<u64>() {
            return Err(format!("missing audio was told twice: {:?}", self.told_gaps));
        }
        let end = self.heard.last().map_or(0, |last| last.range().1);
        let unheard = if end < self.spoken { vec![(end, self.spoken)] } else { Vec::new() };
        let missing = merge(missing.into_iter().chain(unheard));
        if !missing.iter().all(|gap| told.iter().any(|known| known.0 <= gap.0 && gap.1 <= known.1)) {
            return Err(format!("missing {missing:?} but told {told:?}"));
        }
        if told != missing && !self.heard_all_but_acknowledgement(&told, &missing) {
            return Err(format!("told {told:?} but missing {missing:?}"));
        }
        if !self.downlink.said.starts_with(&self.downlink.heard) {
            return Err(format!("said {:?}, heard {:?}", self.downlink.said, self.downlink.heard));
        }
        Ok(())
    }

    /// A call that is hung up while the relay cannot be reached cannot know whether its last words arrived: it says so of all it
    /// has no acknowledgement for, and only at the very end.
    fn heard_all_but_acknowledgement(&self, told: &[(u32, u32)], missing: &[(u32, u32)]) -> bool {
        let Some((last, others)) = told.split_last() else { return false };
        last.1 == self.spoken && missing.starts_with(others)
    }
}

/// The user's voice is its own position, so a sample in the wrong place is seen.
fn check_samples(mark: Mark, payload: &[u8]) -> Result<(), String> {
    for (index, bytes) in payload.chunks_exact(2).enumerate() {
        let position = mark.position + index as u32;
        if i16::from_le_bytes([bytes[0], bytes[1]]) != position as i16 {
            return Err(format!("a wrong sample at {position}"));
        }
    }
    Ok(())
}

fn merge(ranges: impl Iterator<Item = (u32, u32)>) -> Vec<(u32, u32)> {
    let mut ranges: Vec<_> = ranges.filter(|(from, to)| from < to).collect();
    ranges.sort_unstable();
    let mut merged: Vec<(u32, u32)> = Vec::new();
    for (from, to) in ranges {
        match merged.last_mut().filter(|last| from <= last.1) {
            Some(last) => last.1 = last.1.max(to),
            None => merged.push((from, to)),
        }
    }
    merged
}

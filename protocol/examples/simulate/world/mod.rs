//! One call over a terrible network, on simulated time: both real machines, a user who speaks, an agent who answers, a relay
//! that crashes, and the proof at the end.

mod ends;
mod proof;

use std::time::Duration;

use protocol::client::{self, Client, State};
use protocol::relay::{self, Link, Saying};
use protocol::{AgentState, CloseCode, Codec, Mark, Role, Time, Transcript, Upward};

use proof::{Heard, Typed};

use crate::network::Connection;
use crate::random::Random;

/// What happened in a call, for the totals.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// The relay has answered at least once.
    connected: bool,
    pub(crate) chunks: u64,
    pub(crate) connections: u64,
    pub(crate) crashes: u64,
    pub(crate) failed_resumes: u64,
    pub(crate) limited: u64,
    pub(crate) slow: u64,
    pub(crate) gaps: u64,
    pub(crate) missing_samples: u64,
    pub(crate) texts: u64,
    pub(crate) refused_texts: u64,
    pub(crate) undelivered: u64,
    pub(crate) old_relays: u64,
}

/// What a call is like.
#[derive(Debug)]
struct Scenario {
    chunk: u32,
    chunks: u32,
    faults: bool,
    /// Lines carry hardly what is said, and stand still for a while: nothing of the end may be lost, however late it comes.
    slow: bool,
    /// The client sees what a line has not carried; else the system takes everything at once, as under a browser.
    sees_unsent: bool,
    /// Control messages the relay takes: as many as by default, which must be enough, or too few, which must cost time only.
    control_per_second: u32,
    /// How often the user mutes or unmutes, of each chunk's time.
    mute_percent: u64,
    /// How often they type, and how many characters at most.
    type_percent: u64,
    longest_text: u64,
    /// How often a relay is one of the first version, which takes no texts.
    old_percent: u64,
    crash_percent: u64,
    /// Outages during which no connection can be made: from, length.
    outage: Option<(Time, Duration)>,
    resume_window: Duration,
    /// Samples the client's replay buffer holds.
    buffer: u32,
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
    /// How much was heard when the user hung up; nothing of an epoch that began later.
    before_hanging_up: usize,
}

impl Downlink {
    /// What the client is to hear: of the agent's audio nothing that comes when the user has hung up.
    fn wanted(&self) -> Vec<&String> {
        let audio = Codec::PcmS16le24000.name();
        let wanted = self.said.iter().enumerate();
        wanted
            .filter(|(place, said)| *place < self.before_hanging_up || !said.starts_with(audio))
            .map(|(_, said)| said)
            .collect()
    }
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
    typed: Vec<Typed>,
    typed_bytes: u32,
    muted: bool,
    next_chunk: Time,
    next_answer: Time,
    expected: Mark,
    heard: Vec<Heard>,
    told_gaps: Vec<(u32, u32)>,
    downlink: Downlink,
    hung_up: bool,
    ended: Option<CloseCode>,
    /// When the client's question why no socket could be opened will be answered.
    asked: Option<Time>,
    /// The relay closed the client's connection with 1000: nothing of what it said may be missing.
    closed_in_order: bool,
    tally: Tally,
}

/// As a relay has it by default.
const CONTROL_PER_SECOND: u32 = 20;
const CHUNK_TIME: Duration = Duration::from_millis(100);

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let slow = random.percent(10);
        let chunk = if slow { 1_600 } else { [20, 160, 1_600][random.between(0, 2) as usize] };
        let start = Time::from_micros(random.between(0, 1 << 40));
        let faults = !slow && random.percent(90);
        let buffer_seconds = if slow {
            [30, 60][random.between(0, 1) as usize]
        } else {
            [1, 3, 30][random.between(0, 2) as usize]
        };
        let control_per_second = [CONTROL_PER_SECOND, CONTROL_PER_SECOND, 3][random.between(0, 2) as usize];
        // A slow line carries little more than what is said, and a relay that takes few messages takes few texts.
        let types_little = slow || control_per_second < CONTROL_PER_SECOND;
        let scenario = Scenario {
            chunk,
            chunks: random.between(5, if slow { 900 } else { 60 }) as u32,
            faults,
            slow,
            sees_unsent: random.percent(50),
            control_per_second,
            mute_percent: [0, 5, 60][random.between(0, 2) as usize],
            type_percent: [0, 10, 50, 100][random.between(0, if types_little { 1 } else { 3 }) as usize],
            longest_text: [20, 300, 4_000][random.between(0, if slow { 0 } else { 2 }) as usize],
            old_percent: if random.percent(20) { 50 } else { 0 },
            crash_percent: if faults { random.between(0, 3) } else { 0 },
            outage: (faults && random.percent(30)).then(|| {
                let from = start + Duration::from_millis(random.between(0, 3_000));
                (from, Duration::from_millis(random.between(500, 20_000)))
            }),
            buffer: buffer_seconds as u32 * 16_000,
            resume_window: Duration::from_millis(if slow {
                120_000
            } else {
                [2_000, 60_000][random.between(0, 1) as usize]
            }),
        };
        let config = client::Config {
            buffer: Duration::from_secs(buffer_seconds),
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
            typed: Vec::new(),
            typed_bytes: 0,
            muted: false,
            next_chunk: start + CHUNK_TIME,
            next_answer: start + CHUNK_TIME,
            expected: Mark::default(),
            heard: Vec::new(),
            told_gaps: Vec::new(),
            downlink: Downlink::default(),
            hung_up: false,
            ended: None,
            asked: None,
            closed_in_order: false,
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
        self.tally.slow = u64::from(self.scenario.slow);
        Ok(self.tally)
    }

    fn next_time(&self) -> Time {
        let network = self.connections.iter().filter_map(Connection::due);
        let machines =
            self.client.poll_timeout().into_iter().chain(self.link.as_ref().and_then(Link::poll_timeout));
        let people = (!self.hung_up)
            .then_some(self.next_chunk)
            .into_iter()
            .chain([self.next_answer])
            .chain(self.asked);
        network.chain(machines).chain(people).min().unwrap_or(self.now)
    }

    fn step(&mut self) -> Result<(), String> {
        if self.client.poll_timeout().is_some_and(|due| due <= self.now) {
            self.look_at_socket()?;
            self.input(client::Input::Timeout)?;
        }
        if self.link.as_ref().and_then(Link::poll_timeout).is_some_and(|due| due <= self.now) {
            self.relay_input(relay::Input::Timeout)?;
        }
        self.deliver()?;
        if self.asked.is_some_and(|due| due <= self.now) {
            self.answer_why()?;
        }
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

    fn speak(&mut self) -> Result<(), String> {
        if self.spoken == self.scenario.chunks * self.scenario.chunk {
            self.hung_up = true;
            self.downlink.before_hanging_up = self.downlink.heard.len();
            return self.input(client::Input::Close { finish: true });
        }
        if self.random.percent(self.scenario.mute_percent) {
            self.muted = !self.muted;
            self.input(client::Input::Mute(self.muted))?;
        }
        if self.random.percent(self.scenario.type_percent) {
            self.type_text()?;
        }
        if self.client.state() == State::Idle || self.muted {
            return Ok(());
        }
        let samples: Vec<i16> =
            (self.spoken..self.spoken + self.scenario.chunk).map(|position| position as i16).collect();
        self.spoken += self.scenario.chunk;
        self.tally.chunks += 1;
        self.look_at_socket()?;
        self.input(client::Input::Chunk(&samples))
    }

    /// A text that begins with its number. One that is refused was not typed.
    fn type_text(&mut self) -> Result<(), String> {
        let length = self.random.between(0, self.scenario.longest_text - 10) as usize;
        let text = format!("{} {}", self.typed.len(), "ü".repeat(length));
        let bytes = text.len() as u32 + 80;
        match self.client.handle_message(self.now, &Upward::Text { text }) {
            Ok(()) => {
                self.tally.texts += 1;
                self.typed.push(Typed { position: self.spoken, undelivered: false });
                self.typed_bytes += bytes;
            }
            Err(client::NotTaken::Full | client::NotTaken::NotSupported) => self.tally.refused_texts += 1,
            Err(cause) => return Err(format!("a text was refused: {cause:?}")),
        }
        self.drain()
    }

    fn look_at_socket(&mut self) -> Result<(), String> {
        let using = self.connections.iter().find(|one| Some(one.id) == self.client_connection);
        let unsent = using.filter(|_| self.scenario.sees_unsent).map_or(0, |one| one.unsent(self.now));
        self.input(client::Input::Buffered(unsent))
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
}

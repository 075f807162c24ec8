//! What a relay's driver does with a session: one input, then everything that its machine wants.

mod agent;
mod outputs;

use std::collections::VecDeque;

use ::relay::agent::tool::ToolOutput;
use ::relay::money::tab::{Billed, RequestId};
use ::relay::records::store::Payer;
use ::relay::session::Incoming;
use ::relay::session::beginning::{Beginning, FEATURES, FEATURES_OF_CHAT, FEATURES_OF_TOOLS, Terms};
use ::relay::session::books::Books;
use ::relay::session::machine::{Departure, Entry, Input, Machine, Settlement, Visitor};
use ::relay::session::resume::resume_hash;
use protocol::relay::Attachment;
use protocol::{CloseCode, Hello, Limits, Prices, Time};

use super::{ACCOUNT, USER, World};
use crate::network::Packet;
use crate::provider::Answering;
use crate::scenario::Who;
use crate::watched::Shared;

/// What an agent says when there is no more money.
pub(super) const GOODBYE: &str = "Bye.";

/// What a session is told from outside.
#[derive(Debug)]
pub(super) enum Command {
    Resume(u32, Box<Hello>),
    End(CloseCode),
    TakenOver,
    HandOff,
}

impl Command {
    pub(super) fn connection(&self) -> Option<u32> {
        match self {
            Command::Resume(connection, _) => Some(*connection),
            Command::End(_) | Command::TakenOver | Command::HandOff => None,
        }
    }
}

/// A connection that wants to go on with a session.
#[derive(Debug)]
pub(super) struct Waiting {
    number: u64,
    pub(super) connection: u32,
    hello: Hello,
}

/// A session in a relay.
pub(super) struct Live {
    pub(super) key: u64,
    pub(super) relay: usize,
    pub(super) id: String,
    pub(super) machine: Machine,
    pub(super) books: Books,
    pub(super) connection: Option<u32>,
    pub(super) visitors: Vec<Waiting>,
    next_visitor: u64,
    pub(super) commands: VecDeque<Command>,
    requests: Vec<Answering>,
    /// What recognisers that were let go of say that they bill, and when.
    late: Vec<(Time, Billed)>,
    /// Calls of tools that the backend has under way, with when it is through and what it says then.
    tools: Vec<(Time, String, ToolOutput)>,
    pub(super) log: Shared,
    /// Its end is stored, as far as it knows.
    pub(super) has_ended: bool,
    /// When the connection, which takes nothing, is looked at again.
    recheck: Option<Time>,
}

impl Live {
    pub(super) fn due(&self) -> Option<Time> {
        let requests = self.requests.iter().filter_map(Answering::due);
        let tools = self.tools.iter().map(|(due, ..)| *due);
        // What is said later is for when the session is over here.
        let late = self.late.iter().map(|(due, _)| *due).filter(|_| self.machine.listens());
        requests.chain(tools).chain(late).chain(self.machine.poll_timeout()).chain(self.recheck).min()
    }
}

impl World<'_> {
    /// A session of this id that lives in a relay.
    pub(super) fn find(&self, relay: usize, id: &str) -> Option<u64> {
        self.live.iter().rfind(|live| live.relay == relay && live.id == id).map(|live| live.key)
    }

    /// A session begins, or goes on, with its first connection.
    pub(super) fn begin(
        &mut self,
        connection: u32,
        relay: usize,
        hello: Hello,
        attachment: Attachment,
        beginning: Beginning,
        token: String,
    ) -> Result<(), String> {
        let (id, epoch) = (beginning.id.clone(), beginning.epoch);
        if let Some(before) = self.find(relay, &id) {
            self.command(before, Command::TakenOver)?;
        }
        let log = Shared::at(beginning.mark.position);
        self.truth.begun(&id, epoch, log.clone());
        let agent = self.agent(&beginning, log.clone());
        let caps = self.scenario.caps;
        let terms = Terms {
            agent: "agent".into(),
            listening: self.listening().clone(),
            items: self.items(),
            caps,
            limits: Limits {
                session_ms: 1_800_000,
                idle_ms: 600_000,
                chunk_min_bytes: 100,
                chunk_max_bytes: 100_000,
                burst_ms: 65_000,
                budget_nano_usd: caps.session.get(),
            },
            prices: Prices { version: self.fixed.prices.version().to_owned(), items: Vec::new() },
            control_per_second: 20,
            agent_codec: self.scenario.agent_codec,
            features: match self.scenario.who {
                Who::Chat | Who::Voice if self.scenario.has_tools => FEATURES_OF_TOOLS,
                Who::Chat | Who::Voice => FEATURES_OF_CHAT,
                Who::Echo | Who::Talker => FEATURES,
            },
            is_recorded: true,
            heartbeat: std::time::Duration::from_secs(15),
            resume_window: self.scenario.resume_window,
            identity: self.identity(),
            token_left: self.scenario.token,
            token_grace: std::time::Duration::from_secs(5),
            store_grace: self.scenario.store_grace,
            lease: self.relays[relay].lease.valid_until(),
            seeds: [self.random.next(), self.random.next()],
        };
        let payer = Payer { user_sub: USER.into(), account: ACCOUNT.into() };
        let books = Books { session_id: id.clone(), epoch, payer, caps };
        let machine = beginning.machine(self.now, terms, agent);
        self.say(|_| format!("{id} begins in epoch {epoch}, {attachment:?}, connection {connection}"));
        let key = self.next_key;
        self.next_key += 1;
        self.live.push(Live {
            key,
            relay,
            id,
            machine,
            books,
            connection: Some(connection),
            visitors: Vec::new(),
            next_visitor: 0,
            commands: VecDeque::new(),
            requests: Vec::new(),
            late: Vec::new(),
            tools: Vec::new(),
            log,
            has_ended: false,
            recheck: None,
        });
        self.session_input(key, Input::Begin { hello: Box::new(hello), attachment, token })?;
        match self.relays[relay].moves_within(self.now) {
            Some(within) => self.session_input(key, Input::Drain { within }),
            None => Ok(()),
        }
    }

    /// Tells a session something, once it takes commands.
    pub(super) fn command(&mut self, key: u64, command: Command) -> Result<(), String> {
        if let Some(live) = self.live.iter_mut().find(|live| live.key == key) {
            live.commands.push_back(command);
        }
        self.commands(key)
    }

    fn commands(&mut self, key: u64) -> Result<(), String> {
        loop {
            let (identity, left) = (self.identity(), self.scenario.token);
            let live = self.live.iter_mut().find(|live| live.key == key);
            let Some(live) = live.filter(|live| live.machine.takes_commands()) else { return Ok(()) };
            let Some(command) = live.commands.pop_front() else { return Ok(()) };
            let input = match command {
                Command::End(code) => Input::End(code),
                Command::TakenOver => Input::TakenOver,
                Command::HandOff => Input::HandOff,
                Command::Resume(connection, hello) => {
                    self.tokens += 1;
                    let token = format!("token-{}", self.tokens);
                    let used = hello.resume.as_ref().map_or("", |resume| &resume.resume_token);
                    let number = live.next_visitor;
                    live.next_visitor += 1;
                    let visitor = Visitor {
                        number,
                        hello: (*hello).clone(),
                        left,
                        identity,
                        hash: resume_hash(&token),
                        token,
                        replaced: resume_hash(used),
                    };
                    live.visitors.push(Waiting { number, connection, hello: *hello });
                    Input::Resume(Box::new(visitor))
                }
            };
            self.session_input(key, input)?;
        }
    }

    pub(super) fn step_sessions(&mut self) -> Result<(), String> {
        let keys: Vec<u64> = self
            .live
            .iter()
            .filter(|live| live.due().is_some_and(|due| due <= self.now))
            .map(|live| live.key)
            .collect();
        for key in keys {
            self.step_providers(key)?;
            let now = self.now;
            let Some(live) = self.live.iter_mut().find(|live| live.key == key) else { continue };
            let is_due = live.machine.poll_timeout().is_some_and(|due| due <= now);
            let is_ready_again = live.recheck.take_if(|due| *due <= now).is_some();
            if is_due || is_ready_again {
                self.session_input(key, Input::Timeout)?;
            }
        }
        Ok(())
    }

    fn step_providers(&mut self, key: u64) -> Result<(), String> {
        let now = self.now;
        let Some(live) = self.live.iter_mut().find(|live| live.key == key) else { return Ok(()) };
        let mut events = Vec::new();
        for request in &mut live.requests {
            let id = request.id;
            events.extend(request.step(now).into_iter().map(|event| (id, event)));
        }
        live.requests.retain(|request| !request.is_over());
        for (request, event) in &events {
            self.truth.came(&live.id, live.books.epoch, *request, event);
        }
        let results: Vec<_> = live.tools.extract_if(.., |(due, ..)| *due <= now).collect();
        for (id, event) in events {
            let listens = self.live.iter().any(|live| live.key == key && live.machine.listens());
            if listens {
                self.say(|_| format!("provider: {event:?}"));
                self.session_input(key, Input::Provider(id, event))?;
            }
        }
        for (_, call_id, output) in results {
            let listens = self.live.iter().any(|live| live.key == key && live.machine.listens());
            if listens {
                self.session_input(key, Input::ToolResult { call_id, output })?;
            }
        }
        while let Some(billed) = self.next_billed(key) {
            self.say(|_| format!("provider: {billed:?}"));
            self.session_input(key, Input::Billed(billed))?;
        }
        Ok(())
    }

    /// What a recogniser says by now of a request of a session that listens.
    fn next_billed(&mut self, key: u64) -> Option<Billed> {
        let now = self.now;
        let live = self.live.iter_mut().find(|live| live.key == key && live.machine.listens())?;
        let place = live.late.iter().position(|(due, _)| *due <= now)?;
        Some(live.late.remove(place).1)
    }

    /// One thing happens to a session, and it does what follows.
    pub(super) fn session_input(&mut self, key: u64, input: Input) -> Result<(), String> {
        let Some(place) = self.live.iter().position(|live| live.key == key) else { return Ok(()) };
        let mut live = self.live.swap_remove(place);
        let lease = self.relays[live.relay].lease.valid_until();
        live.machine.handle_input(self.now, Input::Lease(lease));
        live.machine.handle_input(self.now, input);
        let departure = self.drain_session(&mut live)?;
        if let Some(error) = live.log.lock().error.take() {
            return Err(format!("{}: {error}", live.id));
        }
        match departure {
            Some(departure) => self.depart(live, departure),
            None => {
                self.live.push(live);
                self.commands(key)
            }
        }
    }

    /// A session is over in its relay.
    fn depart(&mut self, live: Live, departure: Departure) -> Result<(), String> {
        self.say(|_| format!("{} is over here: {departure:?}", live.id));
        self.truth.departed(&live, departure);
        // Nobody waits any more for what it had under way.
        for op in &mut self.ops {
            op.forget(live.key);
        }
        let Live { relay, id, connection, visitors, commands, machine, books, late, .. } = live;
        if departure != Departure::TakenOver {
            let late = late.into_iter().map(|(_, billed)| billed);
            let lets_go = matches!(departure, Departure::HandedOff { let_go: true, .. });
            self.part(relay, machine, books, late, lets_go);
        }
        let code = match departure {
            Departure::Ended(code) | Departure::HandedOff { code, .. } => code,
            Departure::TakenOver => CloseCode::Replaced,
        };
        if let Some(connection) = connection {
            self.close_end(connection, code);
        }
        for Waiting { connection, hello, .. } in visitors {
            match departure {
                Departure::Ended(_) => self.rebuild(connection, relay, hello)?,
                Departure::TakenOver => self.close_end(connection, CloseCode::TryLater),
                Departure::HandedOff { code, .. } => self.close_end(connection, code),
            }
        }
        if matches!(departure, Departure::HandedOff { let_go: true, .. }) {
            self.let_go(relay, id);
        }
        for command in commands {
            if let Command::Resume(connection, hello) = command {
                self.rebuild(connection, relay, *hello)?;
            }
        }
        Ok(())
    }

    pub(super) fn arrived_at_session(&mut self, key: u64, packet: Packet) -> Result<(), String> {
        let incoming = match packet {
            Packet::Opened => return Ok(()),
            Packet::Text(text) => Incoming::Text(text),
            Packet::Binary(frame) => Incoming::Binary(frame),
            Packet::Closed(_) => Incoming::Gone(None),
        };
        self.session_input(key, Input::Incoming(incoming))
    }

    pub(super) fn send_text(&mut self, connection: u32, text: String) {
        self.send_packet(connection, Packet::Text(text));
    }

    fn send_packet(&mut self, connection: u32, packet: Packet) {
        if self.trace.is_on()
            && let Packet::Text(text) = &packet
        {
            self.say(|_| format!("{connection} < {text}"));
        }
        let (now, random) = (self.now, &mut self.random);
        if let Some(connection) = self.connections.iter_mut().find(|one| one.id == connection) {
            connection.send_to_client(now, packet, random);
        }
    }

    /// The relay closes a connection and forgets it.
    pub(super) fn close_end(&mut self, connection: u32, code: CloseCode) {
        self.send_packet(connection, Packet::Closed(code.code()));
    }
}

impl Live {
    fn visitor(&mut self, number: u64) -> Option<Waiting> {
        let place = self.visitors.iter().position(|waiting| waiting.number == number)?;
        Some(self.visitors.remove(place))
    }

    /// Gives up a request. A recogniser that listens says later what it bills.
    fn cancel(&mut self, request: RequestId) -> Option<Billed> {
        let place = self.requests.iter().position(|answering| answering.id == request)?;
        self.requests.remove(place).late()
    }

    /// Requests that are under way.
    pub(super) fn under_way(&self) -> impl Iterator<Item = RequestId> {
        self.requests.iter().map(|request| request.id)
    }
}

/// What a trace says of an entry.
pub(super) fn named(entry: &Entry) -> String {
    match entry {
        Entry::Turns { committed, replayable, .. } => {
            format!("turns, committed to {}, {replayable} to be played again", committed.position)
        }
        Entry::Settlement(settlement) => {
            let Settlement { through, committed, replayable, .. } = &**settlement;
            let position = committed.position;
            format!("settlement through {through}, committed to {position}, {replayable} to be played again")
        }
        Entry::End { .. } => "end".into(),
        Entry::Exhausted(_) => "exhausted".into(),
        Entry::Attached(_) => "attached".into(),
        Entry::Resumed(_) => "resumed".into(),
        Entry::Strikes(_) => "strikes".into(),
        Entry::Tool(_) => "tool".into(),
    }
}

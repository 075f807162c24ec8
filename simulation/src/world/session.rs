//! What a relay's driver does with a session: one input, then everything that its machine wants.

use std::collections::VecDeque;

use ::relay::agent::tool::{Runs, Schema, Tool, ToolOutput, Toolbox};
use ::relay::agent::{Agent, Conversation, Echo, Persona};
use ::relay::money::tab::{Billed, RequestId};
use ::relay::records::store::{Payer, SaidRow, TurnRow};
use ::relay::session::beginning::{Beginning, FEATURES, FEATURES_OF_CHAT, FEATURES_OF_TOOLS, Terms};
use ::relay::session::books::Books;
use ::relay::session::machine::{
    Departure, Entry, Input, Log, Machine, Moment, Note, Output, Settlement, Visitor,
};
use ::relay::session::resume::resume_hash;
use ::relay::session::{Incoming, Outgoing};
use audio::Hz;
use protocol::relay::Attachment;
use protocol::{CloseCode, Hello, Limits, Mark, Prices, RelayMessage, Role, Time};

use super::{ACCOUNT, USER, World};
use crate::network::Packet;
use crate::provider::{Answering, Habits};
use crate::scenario::Who;
use crate::talker::Talker;
use crate::voice::SimulatedEars;
use crate::watched::{FILLER, Shared, Watched, tool_output};

/// What an agent says when there is no more money.
pub(super) const GOODBYE: &str = "Bye.";
/// Bytes that may wait in a connection; beyond them the agent's words wait in the replay buffer.
const HIGH_WATER: usize = 16 * 1024;
const POLL: std::time::Duration = std::time::Duration::from_millis(50);
/// How long a recogniser that is let go of takes to say what it bills.
const BILLED_AFTER: std::time::Duration = std::time::Duration::from_millis(150);

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

    /// The agent of a session, watched.
    fn agent(&mut self, beginning: &Beginning, log: Shared) -> Box<dyn Agent> {
        let Beginning { id, epoch, mark: Mark { position, .. }, .. } = beginning;
        let position = *position;
        let rate = self.scenario.agent_codec.rate();
        let script = self.script.clone();
        let ears = if self.scenario.computed {
            SimulatedEars::computed(log.clone())
        } else {
            SimulatedEars::scripted(script.clone())
        };
        let agent: Box<dyn Agent> = match self.scenario.who {
            Who::Echo => Box::new(
                Echo::with_ears(ears, Hz(rate), position).expect("it speaks at every rate of a codec"),
            ),
            Who::Talker => Box::new(Talker::new(rate, ears, position, self.random.next())),
            Who::Chat | Who::Voice => {
                let rows = self.store.turns(id).into_iter();
                let mut said: Vec<SaidRow> = rows
                    .map(|row| SaidRow { session_id: id.clone(), session_started_at_ms: 0, row })
                    .collect();
                beginning.correct(&mut said);
                let turns = TurnRow::as_said(said.into_iter().map(|said| said.row).collect());
                log.lock().earlier = turns.iter().map(|turn| turn.text.clone()).collect();
                // What the user said last is answered here, should nothing of an answer have been heard.
                if let Some(newest) = turns.iter().rfind(|turn| !turn.text.is_empty())
                    && newest.role == Role::User
                {
                    log.lock().waiting.inherit(self.now, &newest.text);
                }
                let limit_goodbye = GOODBYE.to_owned();
                let mut persona = Persona { max_output_tokens: 16, limit_goodbye, ..Persona::default() };
                if self.scenario.who == Who::Voice {
                    persona.greeting = "Hello. How do you do?".to_owned();
                    persona.longest_turn = std::time::Duration::from_secs(2);
                }
                let team = self.team();
                let agent = Conversation::with_ears(ears, persona, team, rate, position, &turns);
                let agent = if self.scenario.has_tools {
                    agent.with_tools(toolbox(id, *epoch), &self.store.tool_calls(id))
                } else {
                    agent
                };
                Box::new(agent.with_unheard(&beginning.unheard))
            }
        };
        let takes_turns = self.scenario.who.is_conversation();
        Box::new(Watched { agent, takes_turns, log, script })
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

    fn is_ready(&mut self, live: &Live) -> bool {
        let now = self.now;
        let connection = live.connection.and_then(|id| self.connection(id));
        connection.is_none_or(|connection| connection.unsent_to_client(now) < HIGH_WATER)
    }

    fn drain_session(&mut self, live: &mut Live) -> Result<Option<Departure>, String> {
        loop {
            let is_ready = self.is_ready(live);
            live.recheck = (!is_ready).then(|| self.now + POLL);
            let Some(output) = live.machine.poll_output(is_ready) else { return Ok(None) };
            match output {
                Output::Send(Outgoing::Text(text)) => {
                    self.check_told(live, &text)?;
                    if let Some(id) = live.connection {
                        self.send_text(id, text);
                    }
                }
                Output::Send(Outgoing::Binary(frame)) => {
                    if let Some(id) = live.connection {
                        self.send_packet(id, Packet::Binary(frame));
                    }
                }
                Output::Close(code) => {
                    if let Some(id) = live.connection.take() {
                        self.close_end(id, code);
                    }
                }
                Output::Drop => live.connection = None,
                Output::Attach(number) => {
                    if let Some(Waiting { connection, .. }) = live.visitor(number)
                        && let Some(before) = live.connection.replace(connection)
                    {
                        self.close_end(before, CloseCode::Replaced);
                    }
                }
                Output::HandBack(number) => {
                    if let Some(Waiting { connection, hello, .. }) = live.visitor(number) {
                        let resume = hello.resume.as_ref();
                        self.say(|_| format!("connection {connection} comes back with {resume:?}"));
                        self.come_back(connection, live.relay, hello)?;
                    }
                }
                Output::TurnAway(number, code) => {
                    if let Some(Waiting { connection, .. }) = live.visitor(number) {
                        self.close_end(connection, code);
                    }
                }
                Output::Record(recorded) => self.truth.record(live, &recorded),
                // Nobody looks at traces here.
                Output::Trace(_) => {}
                Output::Open { request, provider, ask } => {
                    self.check_open(live, request)?;
                    self.tally.requests += 1;
                    let (model, day) = (self.model(provider), self.scenario.day);
                    let answering = Answering::open(self.now, request, model, &ask, day, &mut self.random);
                    let Habits { fails, stalls, repeats, is_late, is_anthropic } = answering.habits;
                    self.tally.failing += u64::from(fails);
                    self.tally.anthropic += u64::from(is_anthropic);
                    self.tally.stalls += u64::from(stalls);
                    self.tally.repeats += u64::from(repeats);
                    self.tally.late += u64::from(is_late);
                    self.truth.opened(&live.id, live.books.epoch, request, &answering);
                    live.requests.push(answering);
                }
                Output::Feed { request, feed } => {
                    let fed = live.requests.iter_mut().find(|answering| answering.id == request);
                    if let Some(answering) = fed {
                        answering.feed(self.now, &feed);
                    }
                }
                Output::HoldBack { request, held_back } => {
                    let held = live.requests.iter_mut().find(|answering| answering.id == request);
                    if let Some(answering) = held {
                        answering.hold_back(self.now, held_back);
                    }
                }
                Output::Cancel(request) => {
                    if let Some(billed) = live.cancel(request) {
                        self.truth.let_go(&live.id, live.books.epoch, &billed);
                        live.late.push((self.now + BILLED_AFTER, billed));
                    }
                }
                Output::RunTool(called) => {
                    let stored = self.store.tool_calls(&live.id);
                    // Of a session that was deleted meanwhile nothing is stored.
                    let is_there = self.store.session(&live.id).is_some();
                    if is_there && !stored.iter().any(|stored| stored.called == *called) {
                        return Err(format!("{} runs {called:?}, which is not stored", live.id));
                    }
                    self.tally.results += 1;
                    let due = self.now + std::time::Duration::from_millis(self.random.between(20, 4_000));
                    let (output, is_error) = (tool_output(&called.arguments), self.random.percent(10));
                    live.tools.push((due, called.call_id, ToolOutput { output, is_error }));
                }
                Output::CancelTool(call_id) => live.tools.retain(|(_, running, _)| *running != call_id),
                // Commands come by themselves, and nobody asks what has become of one.
                Output::ClaimCommands | Output::NoteCommand { .. } => {}
                Output::Write { entry, wait } => {
                    // A connection that came back in that moment is told so by the store.
                    if live.has_ended && !matches!(entry, Entry::Resumed(_)) {
                        return Err(format!("{} writes {entry:?} after its end", live.id));
                    }
                    self.write(live, entry, wait);
                }
                Output::Keep(entries) => self.keep(live, &entries),
                Output::Forget(numbers) => {
                    self.relays[live.relay].disk.forget(&numbers);
                }
                Output::Hold(entries) => self.hold(live, &entries),
                Output::Reserve { reservation, wait } => self.reserve(live, reservation, wait),
                Output::Check { token, wait } => self.check_token(live, token, wait),
                Output::Login(_) => {}
                Output::Over(departure) => return Ok(Some(departure)),
                Output::Log(log) => {
                    match &log {
                        Log::Policy(Note::Moved(Moment::BetweenTurns)) => self.tally.paused += 1,
                        Log::Policy(Note::Moved(Moment::Deadline)) => self.tally.hastened += 1,
                        _ => {}
                    }
                    self.say(|_| format!("{}: {log:?}", live.id));
                }
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

    /// Whether what is told is so in the store by then.
    fn check_told(&mut self, live: &Live, text: &str) -> Result<(), String> {
        if !text.starts_with(r#"{"type":"ack""#) && !text.starts_with(r#"{"type":"resumed""#) {
            return Ok(());
        }
        let committed = match RelayMessage::parse(text) {
            Ok(RelayMessage::RelayAck(ack)) => ack.committed,
            Ok(RelayMessage::Resumed(resumed)) => resumed.committed,
            _ => return Ok(()),
        };
        self.check_committed(&live.id, committed)
    }
}

/// What the model may call: one tool that the page runs, and one that a backend runs.
fn toolbox(id: &str, epoch: u32) -> Toolbox {
    let parameters = r#"{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}"#;
    let tool = |name: &str, runs| Tool {
        name: name.to_owned(),
        description: "Does something.".to_owned(),
        parameters: Schema::parse(parameters).expect("a schema"),
        runs,
        deadline: std::time::Duration::from_secs(3),
        max_result_bytes: 100,
    };
    Toolbox {
        tools: vec![tool("look", Runs::Page), tool("book", Runs::Webhook)],
        max_steps: 2,
        filler: FILLER.to_owned(),
        prefix: format!("call_{id}_{epoch}_"),
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

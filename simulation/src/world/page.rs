//! The user and the page: what is said, typed, muted, heard; and the client's driver.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use ::relay::call::{Command, CommandKind};
use ::relay::session::machine::Input;
use bytes::Bytes;
use protocol::client::{self, Event, NotTaken, State};
use protocol::{CloseCode, Role, Time, ToolCall, Transcript, Upward, Usage};

use super::World;
use super::door::Door;
use crate::network::{Connection, Packet};
use crate::random::Random;
use crate::scenario::Scenario;
use crate::watched::{TOLD_TO_SAY, tool_output};

/// What was rendered is told this often.
const TICK: Duration = Duration::from_millis(100);

/// So often at most an agent is told to say something in a call.
const SAYS_MAX: u32 = 3;

/// What every text that is typed begins with.
pub(super) const TYPED: &str = "typed ";

/// What the page was told of one session.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The last word about each turn.
    pub(super) turns: BTreeMap<u32, Transcript>,
    pub(super) usage: Option<Usage>,
    /// In which epochs it was connected.
    pub(super) epochs: Vec<u32>,
    /// Scope and percent, of budgets.
    pub(super) budgets: Vec<(protocol::BudgetScope, u32)>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) connection: Option<u32>,
    /// The relay that the client went to last.
    relay: usize,
    next_chunk: Time,
    chunk_time: Duration,
    /// Samples of the microphone that the client took.
    pub(super) spoken: u32,
    pub(super) muted: bool,
    pub(super) typed: Vec<String>,
    pub(super) undelivered: Vec<String>,
    /// How often the agent was told to say something.
    told_to_say: u32,
    pub(super) gaps: Vec<(u32, u32)>,
    pub(super) hung_up: bool,
    /// When they do not want to wait any more until all of it is sent.
    hurries: Option<Time>,
    pub(super) is_hurried: bool,
    /// The user has said everything, and stays on the line.
    pub(super) has_lingered: bool,
    /// The page is closed, without a word.
    pub(super) is_gone: bool,
    pub(super) ended: Option<CloseCode>,
    /// The relay has said that the call is over, and all of its words came before that.
    pub(super) is_closed_in_order: bool,
    asked: Option<Time>,
    /// Calls of tools that it has run.
    ran: BTreeSet<String>,
    /// Those that it runs, with when it is through and what it says then.
    running: Vec<(Time, Upward)>,
    /// Sound that waits for the loudspeaker: the number of its timeline, its place there, and how much.
    queue: VecDeque<(usize, u32, u32)>,
    /// The sessions and epochs that the page has been in: each has a timeline of the agent.
    timelines: Vec<(String, u32)>,
    /// The loudspeaker waits, and keeps what it has.
    is_held: bool,
    /// The page itself holds the agent's sound back.
    holds_back: bool,
    /// In which timeline of the agent and where the next sample that sounds has to be, unless another timeline begins; unknown after a flush.
    next_sound: Option<(usize, u32)>,
    /// The newest turn of the agent, and the one that was flushed: until a later one begins, nothing may sound.
    agent_turn: Option<u32>,
    flushed_turn: Option<u32>,
    tick: Option<Time>,
    /// Samples of the agent that are rendered in a tick.
    per_tick: u32,
    /// What was told, by session.
    pub(super) told: BTreeMap<String, Told>,
    session: Option<(String, u32)>,
    /// The furthest that was heard, by session and epoch.
    pub(super) heard: BTreeMap<(String, u32), u32>,
    /// The furthest that is heard unless the call ends before: what came and was not dropped.
    pub(super) plays: BTreeMap<(String, u32), u32>,
}

impl Page {
    pub(super) fn new(now: Time, scenario: &Scenario) -> Page {
        let chunk_time = Duration::from_micros(u64::from(scenario.chunk) * 1_000_000 / 16_000);
        Page {
            connection: None,
            relay: 0,
            next_chunk: now + chunk_time,
            chunk_time,
            spoken: 0,
            muted: false,
            typed: Vec::new(),
            undelivered: Vec::new(),
            told_to_say: 0,
            gaps: Vec::new(),
            hung_up: false,
            hurries: None,
            is_hurried: false,
            has_lingered: false,
            is_gone: false,
            ended: None,
            is_closed_in_order: false,
            asked: None,
            ran: BTreeSet::new(),
            running: Vec::new(),
            queue: VecDeque::new(),
            timelines: Vec::new(),
            is_held: false,
            holds_back: false,
            next_sound: None,
            agent_turn: None,
            flushed_turn: None,
            tick: None,
            per_tick: scenario.agent_codec.rate() / 10,
            told: BTreeMap::new(),
            session: None,
            heard: BTreeMap::new(),
            plays: BTreeMap::new(),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.ended.is_some() || self.is_gone
    }

    pub(super) fn due(&self, is_aftermath: bool) -> Option<Time> {
        if is_aftermath {
            return None;
        }
        let chunk = (!self.hung_up).then_some(self.next_chunk);
        let running = self.running.iter().map(|(due, _)| *due);
        chunk.into_iter().chain(self.tick).chain(self.asked).chain(self.hurries).chain(running).min()
    }

    /// Whether it is the session that the page had last.
    pub(super) fn is_last(&self, session: &str) -> bool {
        self.session.as_ref().is_some_and(|(last, _)| last == session)
    }

    fn told(&mut self) -> Option<&mut Told> {
        let (session, _) = self.session.as_ref()?;
        Some(self.told.entry(session.clone()).or_default())
    }
}

impl World<'_> {
    pub(super) fn step_page(&mut self) -> Result<(), String> {
        if self.page.is_over() {
            return Ok(());
        }
        if self.page.asked.take_if(|due| *due <= self.now).is_some() {
            self.client_input(client::Input::Why(None))?;
        }
        if self.page.hurries.take_if(|due| *due <= self.now).is_some() {
            self.hang_up(false)?;
        }
        while let Some(place) = self.page.running.iter().position(|(due, _)| *due <= self.now) {
            let (_, result) = self.page.running.swap_remove(place);
            match self.client.handle_message(self.now, &result) {
                Ok(()) => {
                    self.tally.results += 1;
                    self.drain_client()?;
                }
                // It tries again.
                Err(NotTaken::Full) => self.page.running.push((self.now + TICK, result)),
                // It has hung up.
                Err(NotTaken::Over) => {}
                Err(cause) => return Err(format!("what has come of a tool was refused: {cause:?}")),
            }
        }
        if self.page.tick.is_some_and(|due| due <= self.now) {
            self.play()?;
        }
        if !self.page.hung_up && self.page.next_chunk <= self.now {
            self.page.next_chunk = self.page.next_chunk + self.page.chunk_time;
            self.speak()?;
        }
        Ok(())
    }

    fn speak(&mut self) -> Result<(), String> {
        let chunk = self.scenario.chunk;
        if self.page.spoken >= self.scenario.chunks * chunk {
            if let Some(time) = self.scenario.lingers.filter(|_| !self.page.has_lingered) {
                self.page.has_lingered = true;
                self.page.next_chunk = self.now + time;
                self.page.muted = true;
                self.hold_back(false)?;
                return self.client_input(client::Input::Mute(true));
            }
            self.check_answered()?;
            self.page.hung_up = true;
            self.hold_back(false)?;
            if self.is_vanishing() {
                self.say(|_| "the page is gone".to_owned());
                self.page.is_gone = true;
                let (now, random) = (self.now, &mut self.random);
                let used = self.page.connection.take();
                if let Some(connection) = self.connections.iter_mut().find(|one| Some(one.id) == used) {
                    connection.cut(now, random);
                }
                return Ok(());
            }
            // Some do not wait until all of it is sent: from the first moment, or after a while.
            let patience = self.scenario.chunks % 5;
            self.page.hurries = (patience == 1).then(|| self.now + Duration::from_millis(300));
            return self.hang_up(patience > 0);
        }
        if self.random.percent(self.scenario.mute_percent) {
            self.page.muted = !self.page.muted;
            self.client_input(client::Input::Mute(self.page.muted))?;
            // Some put the call on hold.
            let on_hold = self.page.muted && (self.page.spoken / chunk).is_multiple_of(2);
            self.hold_back(on_hold)?;
        }
        if self.random.percent(self.scenario.type_percent) {
            self.type_text()?;
        }
        self.have_said()?;
        if self.client.state() == State::Idle || self.page.is_over() {
            return Ok(());
        }
        if self.page.muted {
            // Somebody who is muted for ever says nothing.
            self.page.muted = !self.random.percent(10);
            self.hold_back(self.page.muted && self.page.holds_back)?;
            return self.client_input(client::Input::Mute(self.page.muted));
        }
        let samples = self.script.samples(self.page.spoken, chunk);
        self.page.spoken += chunk;
        self.look_at_socket()?;
        self.tally.chunks += 1;
        self.client_input(client::Input::Chunk(&samples))
    }

    fn hang_up(&mut self, finish: bool) -> Result<(), String> {
        if !finish {
            self.page.is_hurried = true;
            self.tally.hurried += 1;
        }
        self.client_input(client::Input::Close { finish })
    }

    /// Holds the agent's sound back, or lets it go on.
    fn hold_back(&mut self, held_back: bool) -> Result<(), String> {
        if std::mem::replace(&mut self.page.holds_back, held_back) == held_back {
            return Ok(());
        }
        self.tally.on_hold += u64::from(held_back);
        if !held_back && !self.page.queue.is_empty() {
            self.page.tick.get_or_insert(self.now + TICK);
        }
        self.client_input(client::Input::Hold(held_back))
    }

    fn type_text(&mut self) -> Result<(), String> {
        let text = format!("{TYPED}{}", self.page.typed.len());
        match self.client.handle_message(self.now, &Upward::Text { text: text.clone() }) {
            Ok(()) => {
                self.tally.texts += 1;
                self.page.typed.push(text);
            }
            Err(NotTaken::Full | NotTaken::NotSupported) => {}
            Err(cause) => return Err(format!("a text was refused: {cause:?}")),
        }
        self.drain_client()
    }

    /// The page, or an administrator, has the agent say something: behind what it says, or at once.
    fn have_said(&mut self) -> Result<(), String> {
        if !self.says.percent(self.scenario.says) || self.page.told_to_say >= SAYS_MAX {
            return Ok(());
        }
        let number = self.page.told_to_say;
        let text = format!("{TOLD_TO_SAY}{number} well.");
        let (interrupt, is_of_page) = (self.says.percent(50), self.says.percent(60));
        if is_of_page {
            match self.client.handle_message(self.now, &Upward::Say { text, interrupt }) {
                Ok(()) => self.note_said(interrupt),
                Err(NotTaken::Full | NotTaken::NotSupported) => {}
                Err(cause) => return Err(format!("what is to be said was refused: {cause:?}")),
            }
            return self.drain_client();
        }
        let live = self.live.iter().find(|live| live.machine.listens());
        let Some(key) = live.map(|live| live.key) else { return Ok(()) };
        self.note_said(interrupt);
        let command = Command { id: format!("command-{number}"), kind: CommandKind::Say { interrupt }, text };
        self.session_input(key, Input::Commands(vec![command]))
    }

    fn note_said(&mut self, interrupt: bool) {
        self.page.told_to_say += 1;
        self.tally.says += 1;
        self.tally.interrupting += u64::from(interrupt);
    }

    /// The loudspeaker renders what it has.
    fn play(&mut self) -> Result<(), String> {
        if self.page.is_held || self.page.holds_back {
            self.page.tick = None;
            return Ok(());
        }
        let mut left = self.page.per_tick;
        let mut end = None;
        while left > 0
            && let Some((of, position, samples)) = self.page.queue.pop_front()
        {
            let now = samples.min(left);
            let next = self.page.next_sound.replace((of, position + now));
            if let Some((_, next)) = next.filter(|(before, next)| *before == of && *next != position) {
                return Err(format!("{position} sounds after {next}"));
            }
            left -= now;
            end = Some(position + now);
            if now < samples {
                self.page.queue.push_front((of, position + now, samples - now));
            }
            if let Some(timeline) = self.page.timelines.get(of).cloned() {
                let heard = self.page.heard.entry(timeline).or_default();
                *heard = (position + now).max(*heard);
            }
        }
        self.page.tick = (!self.page.queue.is_empty()).then(|| self.now + TICK);
        let Some(end) = end else { return Ok(()) };
        self.client_input(client::Input::Played(end))
    }

    pub(super) fn look_at_socket(&mut self) -> Result<(), String> {
        let using = self.connections.iter().find(|one| Some(one.id) == self.page.connection);
        let unsent = using.map_or(0, |one| one.unsent(self.now));
        self.client_input(client::Input::Buffered(unsent))
    }

    pub(super) fn client_input(&mut self, input: client::Input<'_>) -> Result<(), String> {
        self.client.handle_input(self.now, input);
        self.drain_client()
    }

    fn drain_client(&mut self) -> Result<(), String> {
        let (mut token_wanted, mut connects) = (false, false);
        while let Some(output) = self.client.poll_output() {
            let packet = match output {
                client::Output::RequestToken => {
                    token_wanted = true;
                    continue;
                }
                client::Output::Text(text) => {
                    if self.trace.is_on() {
                        self.trace.line(self.now.since(self.start), &format!("> {text}"));
                    }
                    Packet::Text(text)
                }
                client::Output::Binary(frame) => Packet::Binary(Bytes::from_owner(frame)),
                client::Output::Disconnect { code } => Packet::Closed(code),
                client::Output::Connect => {
                    connects = true;
                    continue;
                }
                client::Output::AskWhy => {
                    self.page.asked = Some(self.now + Duration::from_millis(300));
                    continue;
                }
                client::Output::Play { codec, position, payload } => {
                    let samples = codec.samples(payload.len());
                    if self.page.is_held {
                        return Err(format!("{position} comes while the agent is held"));
                    }
                    if self.client.state() == State::Closing {
                        return Err(format!("{position} comes when the user has hung up"));
                    }
                    if let Some(turn) = self.page.flushed_turn {
                        return Err(format!("more of turn {turn} comes after its flush"));
                    }
                    if let Some(timeline) = self.page.timelines.last() {
                        self.page.plays.insert(timeline.clone(), position + samples);
                    }
                    self.page.queue.push_back((
                        self.page.timelines.len().saturating_sub(1),
                        position,
                        samples,
                    ));
                    self.page.tick.get_or_insert(self.now + TICK);
                    continue;
                }
                client::Output::EndOfReply => continue,
                client::Output::FlushPlayout => {
                    self.tally.flushes += 1;
                    self.page.queue.clear();
                    if let Some(timeline) = self.page.timelines.last() {
                        let heard = self.page.heard.get(timeline).copied().unwrap_or(0);
                        self.page.plays.insert(timeline.clone(), heard);
                    }
                    self.page.is_held = false;
                    self.page.next_sound = None;
                    self.page.flushed_turn = self.page.agent_turn;
                    continue;
                }
                client::Output::HoldPlayout(held) => {
                    self.tally.holds += u64::from(held);
                    self.page.is_held = held;
                    if !held && !self.page.queue.is_empty() {
                        self.page.tick.get_or_insert(self.now + TICK);
                    }
                    continue;
                }
                client::Output::Event(Event::ToolCall(call)) => {
                    self.page.run(self.now, call, &mut self.random);
                    continue;
                }
                client::Output::Event(event) => {
                    self.page.handle_event(event, &mut self.tally);
                    continue;
                }
            };
            let is_last = matches!(packet, Packet::Closed(_));
            let used = self.page.connection;
            if let Some(connection) = self.connections.iter_mut().find(|one| Some(one.id) == used) {
                connection.send_to_relay(self.now, packet, &mut self.random);
            }
            if is_last {
                self.page.connection = None;
            }
        }
        if connects {
            self.connect();
        }
        if token_wanted {
            return self.client_input(client::Input::Token(Ok("a token")));
        }
        Ok(())
    }

    fn connect(&mut self) {
        self.tally.connections += 1;
        self.next_connection += 1;
        let id = self.next_connection;
        self.page.connection = Some(id);
        let faults = self.scenario.bad_network && !self.page.hung_up;
        let mut connection = Connection::new(id, &mut self.random, faults, self.scenario.slow_line);
        let up: Vec<usize> = (0..self.relays.len()).filter(|number| self.relays[*number].is_up()).collect();
        let stays = up.contains(&self.page.relay) && !(self.scenario.hops && self.random.percent(50));
        if let Some(last) = up.len().checked_sub(1) {
            if !stays {
                self.page.relay = up[self.random.between(0, last as u64) as usize];
            }
            connection.send_to_client(self.now, Packet::Opened, &mut self.random);
            self.doors.push(Door::new(id, self.page.relay, self.now));
        } else {
            connection.refuse(self.now);
        }
        self.say(|world| format!("connection {id} to {}", world.relays[world.page.relay].id));
        self.connections.push(connection);
    }

    /// When something is to be read of a connection. Of one that waits to be placed nothing is.
    pub(super) fn connection_due(&self, connection: &Connection) -> Option<Time> {
        let to_client = connection.due_at_client();
        let to_relay = connection.due_at_relay().filter(|_| !self.waits(connection.id));
        to_client.into_iter().chain(to_relay).min()
    }

    /// Whether nobody reads of a connection for now.
    fn waits(&self, id: u32) -> bool {
        self.doors.iter().any(|door| door.connection == id && !door.is_greeting())
            || self.live.iter().any(|live| {
                live.visitors.iter().any(|visitor| visitor.connection == id)
                    || live.commands.iter().any(|command| command.connection() == Some(id))
                    || live.connection == Some(id) && !live.machine.listens()
            })
    }

    pub(super) fn step_network(&mut self) -> Result<(), String> {
        for index in 0..self.connections.len() {
            let id = self.connections[index].id;
            while !self.waits(id)
                && let Some(packet) = self.connections[index].arrived_at_relay(self.now)
            {
                self.arrived_at_relay(id, packet)?;
            }
            while let Some(packet) = self.connections[index].arrived_at_client(self.now) {
                if self.page.connection == Some(id) && !self.page.is_gone {
                    self.arrived_at_client(packet)?;
                }
            }
        }
        let is_used = |id: u32| {
            self.page.connection == Some(id)
                || self.doors.iter().any(|door| door.connection == id)
                || self.live.iter().any(|live| live.connection == Some(id))
                || self.waits(id)
        };
        let unused: Vec<u32> = self
            .connections
            .iter()
            .filter(|one| one.due().is_none() && !is_used(one.id))
            .map(|one| one.id)
            .collect();
        self.connections.retain(|one| !unused.contains(&one.id));
        Ok(())
    }

    fn arrived_at_relay(&mut self, id: u32, packet: Packet) -> Result<(), String> {
        if self.doors.iter().any(|door| door.connection == id) {
            return self.greet(id, &packet);
        }
        match self.live.iter().find(|live| live.connection == Some(id)).map(|live| live.key) {
            Some(key) => self.arrived_at_session(key, packet),
            None => Ok(()),
        }
    }

    fn arrived_at_client(&mut self, packet: Packet) -> Result<(), String> {
        match packet {
            Packet::Opened => self.client_input(client::Input::Opened),
            Packet::Text(text) => self.client_input(client::Input::Text(&text)),
            Packet::Binary(frame) => self.client_input(client::Input::Binary(&frame)),
            Packet::Closed(code) => {
                self.say(|_| format!("closed with {code}"));
                self.page.connection = None;
                self.page.is_closed_in_order = code == CloseCode::Normal.code();
                self.client_input(client::Input::Closed { code })
            }
        }
    }
}

impl Page {
    /// Runs a tool, once for each call; some are never through.
    fn run(&mut self, now: Time, call: ToolCall, random: &mut Random) {
        if !self.ran.insert(call.call_id.clone()) || random.percent(10) {
            return;
        }
        let due = now + Duration::from_millis(random.between(20, 4_000));
        let (output, call_id) = (tool_output(&call.arguments), call.call_id);
        self.running.push((due, Upward::ToolResult { call_id, output, is_error: false }));
    }

    fn handle_event(&mut self, event: Event, tally: &mut crate::Tally) {
        match event {
            Event::Session(info) => {
                let session = (info.session_id.clone(), info.epoch);
                if self.session.as_ref() != Some(&session) {
                    // The agent's timeline begins anew, behind what is still to be rendered.
                    self.is_held = false;
                    (self.agent_turn, self.flushed_turn) = (None, None);
                    self.timelines.push(session.clone());
                    self.session = Some(session);
                }
                if let Some(told) = self.told() {
                    told.epochs.push(info.epoch);
                }
            }
            Event::Transcript(said) => {
                if said.role == Role::Agent && self.agent_turn.is_none_or(|turn| turn < said.turn) {
                    (self.agent_turn, self.flushed_turn) = (Some(said.turn), None);
                }
                if let Some(told) = self.told() {
                    told.turns.insert(said.turn, said);
                }
            }
            Event::Usage(usage) => {
                if let Some(told) = self.told() {
                    told.usage = Some(usage);
                }
            }
            Event::Budget(budget) => {
                if let Some(told) = self.told() {
                    told.budgets.push((budget.scope, budget.percent));
                }
            }
            Event::Gap(gap) => {
                tally.gaps += 1;
                self.gaps.push((gap.position, gap.position + gap.samples));
            }
            Event::Undelivered(Upward::Text { text }) => self.undelivered.push(text),
            Event::Ended { code, .. } => self.ended = Some(code),
            _ => {}
        }
    }
}

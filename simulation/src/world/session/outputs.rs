//! What a relay's driver does of all that the machine of a session wants.

use ::relay::agent::tool::ToolOutput;
use ::relay::session::Outgoing;
use ::relay::session::machine::{Departure, Entry, Log, Moment, Note, Output};
use protocol::{CloseCode, RelayMessage};

use super::super::World;
use super::{Live, Waiting};
use crate::network::Packet;
use crate::provider::{Answering, Habits};
use crate::watched::tool_output;

/// Bytes that may wait in a connection; beyond them the agent's words wait in the replay buffer.
const HIGH_WATER: usize = 16 * 1024;
const POLL: std::time::Duration = std::time::Duration::from_millis(50);
/// How long a recogniser that is let go of takes to say what it bills.
const BILLED_AFTER: std::time::Duration = std::time::Duration::from_millis(150);

impl World<'_> {
    fn is_ready(&mut self, live: &Live) -> bool {
        let now = self.now;
        let connection = live.connection.and_then(|id| self.connection(id));
        connection.is_none_or(|connection| connection.unsent_to_client(now) < HIGH_WATER)
    }

    pub(super) fn drain_session(&mut self, live: &mut Live) -> Result<Option<Departure>, String> {
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

//! Carries a session: its machine, its connection, and what it has under way. The driver decides nothing. Each turn of its loop waits, gives
//! the machine one input, and does what the machine wants.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use protocol::{CloseCode, Time};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep_until, timeout, timeout_at};
use tokio_util::sync::WaitForCancellationFuture;
use tracing::Instrument;

use super::connection::{self, Connection};
use super::listening::{Ears, Heard};
use super::logged;
use super::machine::{Input, Machine, Output, Recorded};
use super::policy::{Departure, STORE_TIMEOUT, Visitor};
use super::registry::{Command, Commands, Registration, ResumeRequest, Whose};
use super::requests::{Closing, Requests};
use super::resume::resume_hash;
use super::tools::Tools;
use super::work::Work;
use super::{Incoming, Outgoing, resume_token, seconds_left};
use crate::Live;
use crate::money::tab::Billed;
use crate::operations::telemetry;
use crate::operations::traces::Tracer;
use crate::records::recording::{self, Recorder};
use crate::records::store::{Leases, Store, unix_ms};
use crate::running::Running;

/// How long the driver sleeps when nothing is due. Something else happens before, or it sleeps again.
const FAR: Duration = Duration::from_secs(3_600);
/// How long a session that is handed off waits for recognisers that were let go of to say what they bill, before another relay may have it. Most
/// say so within a round trip.
const SAID_WITHIN: Duration = Duration::from_millis(300);
/// How long it waits then until that is written. Another relay waits for 4 s in all.
const WRITTEN_WITHIN: Duration = Duration::from_secs(1);

/// What a session waits for from one turn to the next. Each has a place in a list that all sessions share: made anew for each turn, it would be
/// put there and taken out for each chunk.
struct Waits<'p, 'l> {
    /// The relay's next step towards its end.
    step: Pin<&'p mut WaitForCancellationFuture<'l>>,
    alarm: Pin<&'p mut Sleep>,
}

/// A session at this relay, with everything that its task owns.
pub(super) struct Driver {
    pub(super) live: Arc<Live>,
    pub(super) store: Arc<dyn Store>,
    pub(super) whose: Arc<Whose>,
    /// When the session began, at whichever relay, in milliseconds since 1970.
    pub(super) began_ms: i64,
    pub(super) machine: Machine,
    pub(super) work: Work,
    /// The requests that are under way at providers.
    pub(super) requests: Requests,
    /// The calls of tools that the operator's backend has under way.
    pub(super) tools: Tools,
    pub(super) recording: Option<Box<Recorder>>,
    /// Those who listen in, if anybody does.
    pub(super) ears: Option<Box<Ears>>,
    /// How many samples a second the agent speaks.
    pub(super) agent_rate: u32,
    /// What is told the turns, if they are traced.
    pub(super) tracer: Option<Box<Tracer>>,
    pub(super) connection: Option<Connection>,
    /// Connections that want to go on with the session, by their numbers.
    pub(super) visitors: Vec<(u64, ResumeRequest)>,
    /// The number of the next connection that wants to go on with the session.
    pub(super) next_visitor: u64,
    pub(super) commands: Commands,
    pub(super) registration: Registration,
    /// What is counted of each frame.
    pub(super) line: telemetry::Line,
}

impl Driver {
    /// Runs the session to its end. In a box: a future keeps what it is called with and what it works with in two places, each as large as all of
    /// a session.
    pub(super) async fn run(mut self: Box<Self>) {
        let live = self.live.clone();
        let step = pin!(live.moving.cancelled());
        let alarm = pin!(sleep_until(Instant::now() + FAR));
        let mut waits = Waits { step, alarm };
        let (mut was_timeout, mut told_lease) = (false, None);
        loop {
            if let Some(departure) = self.drain() {
                return self.depart(departure).await;
            }
            if let Some(after) = self.machine.take_acknowledged_after() {
                self.line.acknowledged(after);
            }
            let Some(input) = self.wait(&mut waits, was_timeout).await else { continue };
            was_timeout = matches!(input, Input::Timeout);
            if matches!(input, Input::Drain { .. }) {
                waits.step.set(live.shutdown.cancelled());
            }
            let (now, lease) = (live.now(), live.lease.valid_until());
            if told_lease.replace(lease) != Some(lease) {
                self.machine.handle_input(now, Input::Lease(lease));
            }
            if let (Some(tracer), Input::Provider(request, event)) = (&mut self.tracer, &input) {
                tracer.said(now, *request, event);
            }
            self.machine.handle_input(now, input);
        }
    }

    /// Waits for the next thing that happens. `None` means that the connection takes more, and the machine is only to be drained.
    ///
    /// A timer that is due comes before everything else, but not twice in a row: so a peer that sends without end cannot keep the timer out,
    /// nor a timer that is always due the peer. Within `select`, commands come before what is under way, and the connection comes last,
    /// because its peer alone can send without end.
    async fn wait(&mut self, waits: &mut Waits<'_, '_>, was_timeout: bool) -> Option<Input> {
        let machine = &self.machine;
        let silent = self.silent();
        let look = self.ears.as_ref().map(|ears| ears.due());
        let due = machine.poll_timeout().map(|due| self.live.instant(due));
        let due = due.into_iter().chain(silent).chain(look).min().unwrap_or_else(|| Instant::now() + FAR);
        let is_due = due <= Instant::now();
        if !is_due || was_timeout {
            let Waits { step, alarm } = waits;
            if alarm.deadline() != due {
                alarm.as_mut().reset(due);
            }
            tokio::select! {
                biased;
                () = step, if machine.is_live() => return Some(self.next_step()),
                command = self.commands.recv(), if machine.takes_commands() => {
                    return Some(self.handle_command(command));
                }
                done = self.work.next() => return Some(done),
                said = self.requests.next(), if machine.listens() => return Some(said),
                (call_id, output) = self.tools.next(), if machine.listens() => {
                    return Some(Input::ToolResult { call_id, output });
                }
                event = event(&mut self.connection), if machine.listens() => {
                    return match event {
                        connection::Event::Flushed => None,
                        connection::Event::Incoming(incoming) => {
                            if matches!(incoming, Incoming::Binary(_)) {
                                self.line.came();
                            }
                            Some(Input::Incoming(incoming))
                        }
                    };
                }
                () = alarm => {}
            }
        }
        // Looked at again: meanwhile the peer may have taken what was there for it.
        if self.silent().is_some_and(|silent| silent <= Instant::now()) {
            return Some(Input::Incoming(Incoming::Gone(None)));
        }
        // Whatever else is due is still due in the next turn, and this is not for a while.
        if self.ears.as_ref().is_some_and(|ears| ears.due() <= Instant::now()) {
            return self.look_who_listens();
        }
        Some(Input::Timeout)
    }

    /// What the session is told when its relay is about to stop, or stops.
    fn next_step(&self) -> Input {
        if self.live.shutdown.is_cancelled() {
            return Input::Shutdown;
        }
        Input::Drain { within: self.live.moves_within() }
    }

    /// When the peer is given up, unless it takes what is there for it.
    fn silent(&self) -> Option<Instant> {
        self.connection.as_ref().filter(|_| self.machine.listens()).and_then(Connection::deadline)
    }

    /// The input of the machine for a command.
    fn handle_command(&mut self, command: Option<Command>) -> Input {
        match command {
            Some(Command::Resume(request)) => Input::Resume(Box::new(self.receive(*request))),
            Some(Command::End(code)) => Input::End(code),
            Some(Command::TakenOver) => Input::TakenOver,
            Some(Command::HandOff) => Input::HandOff,
            Some(Command::LookForCommands) => Input::LookForCommands,
            Some(Command::Listen { heard, tell_page }) => self.let_listen(heard, tell_page),
            None => Input::Forgotten,
        }
    }

    /// Lets one more listen in.
    fn let_listen(&mut self, heard: oneshot::Sender<Heard>, tell_page: bool) -> Input {
        let ears = self.ears.get_or_insert_with(|| {
            let (now, sounding) = (self.live.now(), self.machine.sounding());
            Box::new(Ears::new(now, self.agent_rate, sounding))
        });
        // Whoever does not wait for it any more is found to be gone with the next look.
        let _ = heard.send(ears.join());
        Input::Listens { tell_page }
    }

    /// Hands out what was mixed. The machine is told if nobody listens any more.
    fn look_who_listens(&mut self) -> Option<Input> {
        let now = self.live.now();
        let mut ears = self.ears.take()?;
        if ears.look(now) {
            self.ears = Some(ears);
            return None;
        }
        Some(Input::ListensNoMore)
    }

    /// Lets a connection wait until the machine decides about it, with the resume token that its client is given if it is let in.
    fn receive(&mut self, request: ResumeRequest) -> Visitor {
        let used = request.hello.resume.as_ref().map_or("", |resume| &resume.resume_token);
        let (token, replaced, number) = (resume_token(), resume_hash(used), self.next_visitor);
        let (hello, identity) = (request.hello.clone(), request.identity.clone());
        self.next_visitor += 1;
        self.visitors.push((number, request));
        let left = seconds_left(identity.expires_at);
        Visitor { number, hello, left, identity, hash: resume_hash(&token), token, replaced }
    }

    /// Does what the machine wants until it wants nothing more. Returns how the session is over here, once it is.
    fn drain(&mut self) -> Option<Departure> {
        loop {
            let is_ready = self.connection.as_mut().is_none_or(Connection::is_ready);
            match self.machine.poll_output(is_ready)? {
                Output::Send(message) => {
                    if matches!(message, Outgoing::Binary(_)) {
                        self.line.went();
                    }
                    // The reading side says so as well if the connection is gone, and the link is told from there.
                    let _ = self.connection.as_mut().map(|connection| connection.write(message));
                }
                Output::Close(code) => self.close(code),
                Output::Drop => self.connection = None,
                Output::Attach(number) => {
                    if let Some(ResumeRequest { connection, .. }) = self.visitor(number) {
                        self.close(CloseCode::Replaced);
                        self.connection = Some(connection);
                    }
                }
                Output::HandBack(number) => {
                    self.visitor(number).into_iter().for_each(|visitor| visitor.give_back(false));
                }
                Output::TurnAway(number, code) => {
                    let visitor = self.visitor(number);
                    self.turn_away(visitor.map(|visitor| (number, visitor)).into_iter().collect(), code);
                }
                Output::Record(recorded) => self.record(&recorded),
                Output::Trace(traced) => self.trace(|tracer, now| tracer.recorded(now, traced)),
                Output::Open { request, provider, ask } => {
                    self.trace(|tracer, now| tracer.asked(now, request, provider));
                    self.requests.open(request, provider, &ask);
                }
                Output::Feed { request, feed } => self.requests.feed(request, feed),
                Output::HoldBack { request, held_back } => self.requests.hold_back(request, held_back),
                Output::Cancel(request) => {
                    self.trace(|tracer, now| tracer.cancelled(now, request));
                    self.requests.cancel(request);
                }
                Output::RunTool(called) => self.tools.run(*called),
                Output::CancelTool(call_id) => self.tools.cancel(&call_id),
                Output::ClaimCommands => self.work.claim_commands(),
                Output::NoteCommand { id, told } => self.work.note_command(id, told),
                Output::Write { entry, wait } => self.work.write(entry, wait),
                Output::Keep(entries) => self.work.keep(&entries),
                Output::Forget(numbers) => self.work.forget(numbers),
                Output::Hold(entries) => self.work.hold(&entries),
                Output::Reserve { reservation, wait } => self.work.reserve(reservation, wait),
                Output::Check { token, wait } => self.work.check(token, wait),
                Output::Login(login) => {
                    self.whose = Arc::new(Whose { login, ..(*self.whose).clone() });
                    self.registration.update(&self.whose);
                }
                Output::Over(departure) => return Some(departure),
                Output::Log(log) => {
                    self.trace(|tracer, _| tracer.logged(&log));
                    logged::log(log);
                }
            }
        }
    }

    /// Tells the traces something, if the session's turns are traced.
    fn trace(&mut self, tell: impl FnOnce(&mut Tracer, Time)) {
        if let Some(tracer) = &mut self.tracer {
            tell(tracer, self.live.now());
        }
    }

    /// Tells the recording, and those who listen in.
    fn record(&mut self, recorded: &Recorded) {
        use recording::Input as R;
        let now = self.live.now();
        let input = match recorded {
            Recorded::User(_, payload) => R::User(payload),
            Recorded::Gap(gap) => R::Gap(gap.to.position.saturating_sub(gap.from.position)),
            Recorded::Muted(muted) => R::Muted(*muted),
            Recorded::Connected(connected) => R::Connected(*connected),
            Recorded::Agent(samples) => R::Agent(samples),
            Recorded::ReplyEnd => R::ReplyEnd,
            Recorded::Played(position) => R::Played(*position),
            Recorded::Held(held) => R::Held(*held),
            Recorded::Flush => R::Flush,
            Recorded::End => R::End,
        };
        if let Some(ears) = &mut self.ears {
            ears.handle_input(now, input);
        }
        let Some(recorder) = &mut self.recording else { return };
        match recorded {
            Recorded::User(mark, payload) => recorder.handle_audio(now, *mark, payload),
            Recorded::Gap(gap) => recorder.handle_gap(now, *gap),
            Recorded::Muted(_)
            | Recorded::Connected(_)
            | Recorded::Agent(_)
            | Recorded::ReplyEnd
            | Recorded::Played(_)
            | Recorded::Held(_)
            | Recorded::Flush
            | Recorded::End => recorder.handle_input(now, input),
        }
    }

    /// Lets go of everything that the session has here. It is taken off the registry first, so that connections look for it in the store from
    /// now on.
    async fn depart(mut self: Box<Self>, departure: Departure) {
        self.recording = None;
        if let Some(ears) = self.ears.take() {
            ears.finish(self.live.now());
        }
        self.trace(|tracer, _| tracer.finish());
        self.registration.remove();
        let code = logged::log_departure(departure, &self.machine);
        telemetry::session_ended(code.name());
        let visitors = std::mem::take(&mut self.visitors);
        let mut closing = self.requests.close();
        match departure {
            Departure::Ended(_) => {
                self.live.long_calls.note(self.began_ms, unix_ms(), code);
                visitors.into_iter().for_each(|(_, request)| request.give_back(true));
            }
            Departure::TakenOver => self.turn_away(visitors, CloseCode::TryLater),
            Departure::HandedOff { let_go, .. } => {
                if let_go {
                    self.settle_in_time(&mut closing).await;
                    end_lease(&*self.store, &self.live.relay_id, &self.whose.id).await;
                }
                self.turn_away(visitors, code);
            }
        }
        let connection = self.connection.take();
        // What this relay has spent is not written any more once another one has the session. A peer may take its time to close.
        if departure != Departure::TakenOver && (!closing.is_empty() || self.machine.is_late()) {
            let live = self.live.clone();
            let Driver { machine, work, .. } = *self;
            let settled = settle_late(live.clone(), machine, work, closing);
            live.tasks.spawn(settled.in_current_span());
        }
        if let Some(connection) = connection {
            connection.close(code).await;
        }
    }

    /// Writes what follows from what recognisers have said of the session, or say in a moment. Once another relay has the session, this one may
    /// write nothing of it any more.
    async fn settle_in_time(&mut self, closing: &mut Closing) {
        let due = Instant::now() + SAID_WITHIN;
        let mut billed = Vec::new();
        while let Ok(Some(said)) = timeout_at(due, closing.next()).await {
            billed.push(said);
        }
        let entries = self.machine.settle_late(self.live.now(), &billed);
        if entries.is_empty() {
            return;
        }
        let written = Running::start(&self.live.tasks, self.work.leave_behind(&entries));
        if timeout(WRITTEN_WITHIN, written).await.is_err() {
            tracing::warn!("what a provider has said afterwards may be written too late");
        }
    }

    /// Closes the connections that waited to go on with the session.
    fn turn_away(&self, visitors: Vec<(u64, ResumeRequest)>, code: CloseCode) {
        for (_, ResumeRequest { connection, .. }) in visitors {
            telemetry::resumed(telemetry::Resume::Refused);
            self.live.tasks.spawn(connection.close(code));
        }
    }

    /// Closes the connection, if there is one, in a task of its own that the session does not wait for.
    fn close(&mut self, code: CloseCode) {
        if let Some(connection) = self.connection.take() {
            self.live.tasks.spawn(connection.close(code));
        }
    }

    /// Takes a connection out of those that wait.
    fn visitor(&mut self, number: u64) -> Option<ResumeRequest> {
        let place = self.visitors.iter().position(|(waiting, _)| *waiting == number)?;
        Some(self.visitors.remove(place).1)
    }
}

/// Writes what follows from what recognisers say of a session that is over here, each as it says so. They take their time, and nobody waits for
/// that.
async fn settle_late(live: Arc<Live>, mut machine: Machine, work: Work, mut closing: Closing) {
    let mut billed: Option<Billed> = None;
    loop {
        let entries = machine.settle_late(live.now(), billed.as_slice());
        if !entries.is_empty() {
            work.leave_behind(&entries).await;
        }
        billed = closing.next().await;
        if billed.is_none() {
            return;
        }
    }
}

/// Ends the session's lease in the store, because another relay waits for that.
async fn end_lease(store: &dyn Store, relay: &str, id: &str) {
    match timeout(STORE_TIMEOUT, store.end_leases(Leases::Session { id, relay })).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "its lease was not ended"),
        Err(_) => tracing::warn!("its lease was not ended in time"),
    }
}

/// The next event of the connection. Without a connection there is none, for ever.
async fn event(connection: &mut Option<Connection>) -> connection::Event {
    match connection {
        Some(connection) => connection.event().await,
        None => std::future::pending().await,
    }
}

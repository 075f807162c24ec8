//! The native client: tokio around the same client machine that runs in browsers.
//!
//! [`run`] makes one call: it speaks audio in real time, or types, plays the answers into a buffer in real time, and reports. It is what
//! `voxrelay call` is made of.

mod ears;
mod socket;
mod trust;
mod wav;

use std::collections::VecDeque;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use protocol::client::{Answer, Client, Config, ErrorInfo, Event, GapInfo, Input, Output, State};
use protocol::{AgentState, CloseCode, ErrorCode, Role, Time, Transcript, Upward, Usage};
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use ears::Ears;
pub use ears::HEARD_RATE;
use socket::{Message, Socket};
pub use trust::{Trust, TrustError};
pub use wav::{WavError, read_speech, write_heard};

/// Samples a second of the microphone.
const RATE: u64 = 16_000;
/// How often audio is made and played.
const TICK: Duration = Duration::from_millis(20);
/// After the last word, an answer is waited for this long.
const ANSWER_DEADLINE: Duration = Duration::from_secs(15);
/// Begins what a connection broke of, among the errors.
const SOCKET: &str = "socket: ";
/// After an answer, this much quiet ends the call.
const QUIET: Duration = Duration::from_millis(1_500);

/// What a call is made with.
#[derive(Clone, Debug)]
pub struct Options {
    /// `ws://` or `wss://`, with the path.
    pub url: String,
    /// The access token.
    pub token: String,
    /// What to say: mono, 16 kHz. A call without a word has no microphone.
    pub speech: Vec<i16>,
    /// What to type, after what is said: each text when the one before was answered.
    pub texts: Vec<String>,
    /// The agent to speak with; the relay's default if there is none.
    pub agent: Option<String>,
    /// Samples a chunk: 320 to 3,200.
    pub chunk: usize,
    /// How much of what is said is kept until the relay has stored it: 1 to 60 s.
    pub buffer: Duration,
    /// Whether to hear the answer out before hanging up.
    pub waits_for_answer: bool,
    /// The longest the call may take in all.
    pub longest: Duration,
    /// Whose certificates are good, in the place of those that everybody trusts.
    pub trust: Option<Trust>,
}

impl Options {
    /// Says this in chunks of 100 ms, as the SDK does with its defaults, and hears the answer out.
    #[must_use]
    pub fn new(url: String, token: String, speech: Vec<i16>) -> Options {
        Options {
            url,
            token,
            speech,
            texts: Vec::new(),
            agent: None,
            chunk: 1_600,
            buffer: Duration::from_secs(30),
            waits_for_answer: true,
            longest: Duration::from_secs(600),
            trust: None,
        }
    }
}

/// What a call was like.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The session, if there was one.
    pub session_id: Option<String>,
    /// The conversation it belongs to.
    pub conversation_id: Option<String>,
    /// Thresholds of budgets that were reached.
    pub budgets: Vec<protocol::Budget>,
    /// Why it ended.
    pub ended: Option<CloseCode>,
    /// Every turn, as it was last told.
    pub turns: Vec<Transcript>,
    /// The final usage.
    pub usage: Usage,
    /// From the start of the call to the relay's welcome.
    pub connected_after: Option<Duration>,
    /// Round-trip times of the heartbeats.
    pub round_trips: Vec<Duration>,
    /// For each answer: from the moment the end of what was said left the microphone to the answer's first sound being played, or from the
    /// moment a text was typed to the answer's first words.
    pub answer_latencies: Vec<Duration>,
    /// How often the call was connected again, as the relay counts it in the session.
    pub reconnects: u32,
    /// What the system or the library said when a connection last broke or could not be made.
    pub socket_error: Option<String>,
    /// Texts that were typed.
    pub typed: usize,
    /// Those of them that were answered.
    pub answered: usize,
    /// Samples that have left the microphone.
    pub spoken: u64,
    /// Audio of the microphone that the relay will never get.
    pub gaps: Vec<GapInfo>,
    /// From the start of the call to the moment when it was hung up.
    pub hung_up_after: Option<Duration>,
    /// From the start of the call to its end.
    pub ended_after: Duration,
    /// What went wrong on the way, as `code: message`.
    pub errors: Vec<String>,
    /// What was heard, at [`HEARD_RATE`].
    pub heard: Vec<f32>,
    /// The longest time in which nothing was heard in the middle of an answer, without pauses of the agent's.
    pub longest_gap: Duration,
}

impl Report {
    /// Samples of the microphone that the relay will never get.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.gaps.iter().map(|gap| u64::from(gap.samples)).sum()
    }

    /// Whether nobody said why there was no connection: it broke, or was tried in vain.
    #[must_use]
    pub fn was_never_told(&self) -> bool {
        let in_vain = format!("{}: ", ErrorCode::GaveUp.info().name);
        self.errors.iter().all(|error| error.starts_with(SOCKET) || error.starts_with(&in_vain))
    }

    /// Whether everything went as it should: connected, ended normally, nothing missing, and every word answered.
    #[must_use]
    pub fn is_good(&self) -> bool {
        if self.typed > 0 && self.spoken == 0 {
            return self.ended == Some(CloseCode::Normal) && self.answered == self.typed;
        }
        let said = self.turns.iter().any(|turn| turn.role == Role::User);
        let answered = self.turns.iter().any(|turn| turn.role == Role::Agent);
        self.ended == Some(CloseCode::Normal)
            && self.missing() == 0
            && said
            && answered
            && !self.heard.is_empty()
    }
}

/// Makes a call. `tell` hears every event as it happens.
pub async fn run(options: Options, tell: impl FnMut(&Event)) -> Report {
    converse(options, None, tell).await
}

/// The same with texts that come while the call runs, until `lines` ends.
pub async fn converse(
    options: Options,
    lines: Option<Receiver<String>>,
    mut tell: impl FnMut(&Event),
) -> Report {
    let mut call = Call::new(options, lines);
    call.client.handle_input(Time::ZERO, Input::Start);
    call.drain(&mut tell);
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    while call.report.ended.is_none() {
        let due = call.due();
        tokio::select! {
            _ = ticks.tick() => call.tick(),
            message = call.socket.next() => call.handle_message(message),
            line = next_line(&mut call.lines) => match line {
                Some(line) => call.texts.push_back(line),
                None => call.lines = None,
            },
            () = sleep_until(due) => {
                call.handle(Input::Buffered(call.socket.buffered()));
                call.handle(Input::Timeout);
            }
        }
        call.drain(&mut tell);
    }
    call.report.heard = call.ears.take();
    call.report.longest_gap = call.ears.longest_gap();
    call.report.spoken = call.spoken as u64;
    call.report.ended_after = call.started.elapsed();
    call.report
}

/// The next line that is typed; never if there are none any more.
async fn next_line(lines: &mut Option<Receiver<String>>) -> Option<String> {
    match lines {
        Some(lines) => lines.recv().await,
        None => std::future::pending().await,
    }
}

struct Call {
    options: Options,
    client: Client,
    socket: Socket,
    /// What the last request for a WebSocket was answered with, if it was refused.
    answer: Option<(u16, String)>,
    ears: Ears,
    report: Report,
    started: Instant,
    /// When the first sample left the microphone, once the call was connected.
    spoke_at: Option<Instant>,
    /// Samples that have left the microphone.
    spoken: usize,
    /// When something was last said or heard.
    active: Instant,
    agent: AgentState,
    /// Until when in the speech the turn reached that the next answer answers.
    answering: Option<u32>,
    /// What is to be typed, and where more comes from.
    texts: VecDeque<String>,
    lines: Option<Receiver<String>>,
    /// When the text was typed whose answer has not begun; and whether it is not complete.
    typed_at: Option<Instant>,
    unanswered: bool,
    closing: bool,
}

impl Call {
    fn new(mut options: Options, lines: Option<Receiver<String>>) -> Self {
        let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().subsec_nanos();
        let client = concat!("voxrelay-cli/", env!("CARGO_PKG_VERSION")).into();
        Call {
            client: Client::new(Config {
                client,
                buffer: options.buffer,
                seed: seed.into(),
                agent: options.agent.take(),
                ..Config::default()
            }),
            socket: Socket::default(),
            answer: None,
            ears: Ears::new(),
            report: Report::default(),
            started: Instant::now(),
            spoke_at: None,
            spoken: 0,
            active: Instant::now(),
            agent: AgentState::Listening,
            answering: None,
            texts: std::mem::take(&mut options.texts).into(),
            lines,
            typed_at: None,
            unanswered: false,
            closing: false,
            options,
        }
    }

    fn now(&self) -> Time {
        Time::from_micros(u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    fn handle(&mut self, input: Input<'_>) {
        self.client.handle_input(self.now(), input);
    }

    fn due(&self) -> Instant {
        let far = self.started + self.options.longest;
        self.client
            .poll_timeout()
            .map_or(far, |time| self.started + Duration::from_micros(time.as_micros()))
            .min(far)
    }

    /// 20 ms have passed: the microphone and the loudspeaker move on.
    fn tick(&mut self) {
        self.speak();
        if let Some(position) = self.ears.listen(TICK) {
            self.active = Instant::now();
            if let (Some(end), Some(from)) = (self.answering.take(), self.spoke_at) {
                let left = from + Duration::from_micros(u64::from(end) * 1_000_000 / RATE);
                self.report.answer_latencies.push(left.elapsed());
            }
            self.handle(Input::Played(position));
        }
        self.type_next();
        self.hang_up_when_done();
    }

    /// The next text, when everything before it was said and answered.
    fn type_next(&mut self) {
        if self.closing || !self.has_said() || self.unanswered || !self.is_quiet() {
            return;
        }
        let Some(text) = self.texts.pop_front() else { return };
        match self.client.handle_message(self.now(), &Upward::Text { text }) {
            Ok(()) => {
                self.report.typed += 1;
                self.unanswered = true;
                self.typed_at = Some(Instant::now());
                self.active = Instant::now();
            }
            Err(cause) => {
                let error = ErrorInfo::from(cause);
                self.report.errors.push(format!("{}: {}", error.code, error.message));
                self.hang_up();
            }
        }
    }

    fn has_said(&self) -> bool {
        self.spoken >= self.options.speech.len() && self.spoke_at.is_some()
    }

    /// Whether the agent has nothing to say any more.
    fn is_quiet(&self) -> bool {
        self.agent == AgentState::Listening && !self.ears.is_playing()
    }

    /// Every chunk whose time has come: what is to be said, then silence.
    fn speak(&mut self) {
        let Some(from) = self.spoke_at.filter(|_| !self.options.speech.is_empty()) else { return };
        let due = usize::try_from(from.elapsed().as_micros() as u64 * RATE / 1_000_000).unwrap_or(usize::MAX);
        while self.spoken + self.options.chunk <= due && !self.closing {
            let rest = self.options.speech.get(self.spoken..).unwrap_or_default();
            let mut chunk = rest[..rest.len().min(self.options.chunk)].to_vec();
            if !chunk.is_empty() {
                self.active = Instant::now();
            }
            chunk.resize(self.options.chunk, 0);
            self.spoken += self.options.chunk;
            self.handle(Input::Buffered(self.socket.buffered()));
            self.handle(Input::Chunk(&chunk));
            self.write_out();
        }
    }

    fn hang_up_when_done(&mut self) {
        if self.closing {
            return;
        }
        let said = self.has_said() && self.texts.is_empty() && self.lines.is_none();
        let answered =
            self.report.turns.last().is_some_and(|turn| turn.role == Role::Agent) && !self.unanswered;
        let quiet = self.active.elapsed();
        let done =
            said && !self.options.waits_for_answer || said && answered && self.is_quiet() && quiet > QUIET;
        let waits = said || self.unanswered;
        let given_up = waits && quiet > ANSWER_DEADLINE || self.started.elapsed() > self.options.longest;
        if done || given_up {
            self.hang_up();
        }
    }

    fn hang_up(&mut self) {
        self.closing = true;
        self.report.hung_up_after = Some(self.started.elapsed());
        self.ears.flush();
        self.handle(Input::Close { finish: true });
    }

    fn handle_message(&mut self, message: Message) {
        match message {
            Message::Opened => self.handle(Input::Opened),
            Message::Text(text) => self.handle(Input::Text(&text)),
            Message::Binary(frame) => self.handle(Input::Binary(&frame)),
            Message::Closed { code, cause, answer } => {
                if cause.is_some() || answer.is_some() {
                    self.report.socket_error = None;
                }
                self.answer = answer;
                if let Some(cause) = cause {
                    self.report.errors.push(format!("{SOCKET}{cause}"));
                    self.report.socket_error = Some(cause);
                }
                self.handle(Input::Closed { code });
            }
            Message::Written => {}
        }
    }

    /// Sends what can be sent without waiting for events to be told.
    fn write_out(&mut self) {
        self.drain(&mut |_: &Event| {});
    }

    fn drain(&mut self, tell: &mut impl FnMut(&Event)) {
        while let Some(output) = self.client.poll_output() {
            match output {
                Output::RequestToken => {
                    let now = Time::from_micros(
                        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX),
                    );
                    self.client.handle_input(now, Input::Token(Ok(&self.options.token)));
                }
                Output::Connect => self.socket.connect(&self.options.url, self.options.trust.as_ref()),
                Output::AskWhy => {
                    let answer = self.answer.take();
                    let answer = answer.as_ref().map(|(status, body)| Answer { status: *status, body });
                    let now = self.now();
                    self.client.handle_input(now, Input::Why(answer));
                }
                Output::Disconnect { code } => self.socket.close(code),
                Output::Text(text) => self.socket.text(text),
                Output::Binary(frame) => self.socket.binary(Bytes::from_owner(frame)),
                Output::Play { codec, position, payload } => self.ears.play(codec, position, &payload),
                Output::EndOfReply => self.ears.end_of_reply(),
                Output::FlushPlayout => self.ears.flush(),
                Output::HoldPlayout(held) => self.ears.hold(held),
                Output::Event(event) => {
                    tell(&event);
                    self.note(event);
                }
            }
        }
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::State(State::Connected) => {
                if self.report.connected_after.is_some() {
                    self.report.reconnects += 1;
                }
                self.report.connected_after.get_or_insert_with(|| self.started.elapsed());
                self.spoke_at.get_or_insert_with(Instant::now);
            }
            Event::State(_) => {}
            Event::Session(info) => {
                self.report.session_id = Some(info.session_id);
                self.report.conversation_id = Some(info.conversation_id);
            }
            Event::Budget(budget) => self.report.budgets.push(budget),
            Event::Agent(state) => {
                self.agent = state;
                self.active = Instant::now();
            }
            Event::Transcript(transcript) => {
                self.active = Instant::now();
                if transcript.role == Role::User {
                    self.answering = Some(transcript.end).filter(|_| !self.unanswered);
                } else {
                    self.report.answer_latencies.extend(self.typed_at.take().map(|typed| typed.elapsed()));
                    if transcript.last && std::mem::take(&mut self.unanswered) {
                        self.report.answered += 1;
                    }
                }
                self.report.turns.retain(|turn| turn.turn != transcript.turn);
                // What seemed to be words of the user may have been none.
                if transcript.role != Role::User || !transcript.text.is_empty() {
                    self.report.turns.push(transcript);
                }
            }
            Event::Undelivered(message) => {
                self.report.errors.push(format!("not delivered: {}", message.word()));
                if !self.closing {
                    self.hang_up();
                }
            }
            Event::ToolCall(_)
            | Event::ToolCancel(_)
            | Event::Degraded(_)
            | Event::Latency(_)
            | Event::Listened(_) => {}
            Event::Usage(usage) => self.report.usage = usage,
            Event::RoundTrip(time) => self.report.round_trips.push(time),
            Event::Gap(gap) => self.report.gaps.push(gap),
            Event::Error(error) => self.report.errors.push(format!("{}: {}", error.code, error.message)),
            Event::Ended { code, usage } => {
                self.report.ended = Some(code);
                self.report.usage = usage;
            }
        }
    }
}

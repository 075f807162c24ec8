//! The driver of the client machine: one input, drain, one timer, then tell the application.

use std::cell::RefCell;
use std::rc::Weak;

use audio::Level;
use js_sys::Uint8Array;
use protocol::client::{Client, Config, ErrorInfo, Event, Input, NotTaken, Output};
use protocol::{ErrorCode, Time, Upward};
use wasm_bindgen::prelude::wasm_bindgen;

use super::playback::Playback;
use super::report::{Outlet, Report};
use super::socket::Socket;
use super::{Inner, QUALITY_EVERY_MS, QUIET_QUALITIES, parts};
use crate::arrays::copy_bytes;
use crate::timer::Timer;

/// What a socket reports that never opened, or broke.
const ABNORMAL: u16 = 1006;

/// A constant, so that of all the errors' texts only this one is downloaded.
const PLAYOUT_FULL: protocol::ErrorInfo = ErrorCode::PlayoutFull.info();

#[wasm_bindgen]
extern "C" {
    /// Milliseconds since the page, or the Worker, began; monotonic. Both scopes have it.
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    pub(crate) fn now_ms() -> f64;
}

/// The machine with its socket and its timer.
pub(crate) struct Link {
    client: Client,
    socket: Option<Socket>,
    /// No connection is made while this is set.
    pub(crate) held: bool,
    /// The armed timer, and when it will ring.
    timer: Option<(Time, Timer)>,
    /// Rings where no sound has it told how well the line does, and how many times more it is to be told then.
    quiet: Option<(Timer, u8)>,
    /// What to tell when the drain is over.
    events: Vec<Event>,
    /// What became of messages of the application.
    answers: Vec<(u32, Result<(), NotTaken>)>,
    wants_token: bool,
    /// The page is to ask over HTTP why no socket could be opened.
    asks_why: bool,
    /// The browser refused to open the socket that the machine asked for.
    refused: bool,
    /// Some of the agent's audio did not fit.
    overflowed: bool,
    /// The call is over, but the loudspeaker is not yet through.
    draining: bool,
    /// Bytes of the last binary message: kept to be filled again.
    frame: Vec<u8>,
    outlet: Outlet,
    engine: Weak<RefCell<Inner>>,
}

impl Link {
    pub(crate) fn new(engine: Weak<RefCell<Inner>>, outlet: Outlet, config: Config) -> Self {
        Link {
            client: Client::new(config),
            socket: None,
            held: false,
            timer: None,
            quiet: None,
            events: Vec::new(),
            answers: Vec::new(),
            wants_token: false,
            asks_why: false,
            refused: false,
            overflowed: false,
            draining: false,
            frame: Vec::new(),
            outlet,
            engine,
        }
    }

    /// One thing happened.
    pub(crate) fn input(&mut self, input: Input<'_>, playback: &mut Playback) {
        if self.held && matches!(input, Input::Online) {
            return;
        }
        let now = now();
        self.client.handle_input(now, input);
        self.drain(playback);
        while std::mem::take(&mut self.refused) {
            self.client.handle_input(now, Input::Closed { code: ABNORMAL });
            self.drain(playback);
        }
        self.arm(now);
        self.tell(playback);
    }

    /// The application says something among the audio.
    pub(crate) fn message(&mut self, id: u32, message: &Upward, playback: &mut Playback) {
        let now = now();
        self.answers.push((id, self.client.handle_message(now, message)));
        self.drain(playback);
        self.arm(now);
        self.tell(playback);
    }

    /// Whether the relay decides what becomes of an answer that is held here.
    pub(crate) fn takes_barge_in(&self) -> bool {
        self.client.takes_barge_in()
    }

    /// Who is told.
    pub(crate) fn outlet(&self) -> &Outlet {
        &self.outlet
    }

    /// The microphone completed a chunk.
    pub(crate) fn chunk(&mut self, samples: &[i16], playback: &mut Playback) {
        self.buffered(playback);
        self.input(Input::Chunk(samples), playback);
    }

    /// A binary message came.
    pub(crate) fn binary(&mut self, bytes: &Uint8Array, playback: &mut Playback) {
        let mut frame = std::mem::take(&mut self.frame);
        frame.resize(bytes.length() as usize, 0);
        copy_bytes(&mut frame, bytes);
        self.input(Input::Binary(&frame), playback);
        self.frame = frame;
    }

    /// The socket closed by itself.
    pub(crate) fn closed(&mut self, code: u16, playback: &mut Playback) {
        self.socket = None;
        self.input(Input::Closed { code }, playback);
    }

    /// Tells the application of trouble that does not concern the link.
    pub(crate) fn report(&self, error: protocol::ErrorInfo) {
        self.outlet.tell(Report::Error { error: (&error).into() });
    }

    /// Tells the application how loud it is.
    pub(crate) fn tell_level(&self, input: Level, output: Level) {
        self.outlet.tell(Report::Level {
            input_rms: millionths(input.rms),
            input_peak: millionths(input.peak),
            output_rms: millionths(output.rms),
            output_peak: millionths(output.peak),
        });
    }

    /// Tells the application how well the line does. Without sound nothing else would tell that what was warned of is over, so it is told so many
    /// times more, counted from when nothing waits to be sent any more.
    pub(crate) fn tell_quality(&mut self, playback: &mut Playback, clipped_ms: u32, left: u8) {
        let (came, underruns, dropped_ms) = playback.quality();
        let waiting_ms = self.client.waiting() / 16;
        self.outlet.tell(Report::Quality {
            jitter_ms: came.map(|came| came.jitter_ms as u32),
            late_ms: came.map(|came| came.late_ms as u32),
            underruns,
            dropped_ms,
            waiting_ms,
            clipped_ms,
        });
        let left = if waiting_ms > 0 { QUIET_QUALITIES } else { left };
        let engine = self.engine.clone();
        self.quiet = (left > 0).then(|| {
            let timer = Timer::new(QUALITY_EVERY_MS as i32, move || {
                if let Some(engine) = engine.upgrade() {
                    parts(&engine).quiet();
                }
            });
            (timer, left - 1)
        });
    }

    /// There is sound: what is counted without it is counted anew.
    pub(crate) fn sounds(&mut self) {
        if let Some((_, left)) = &mut self.quiet {
            *left = QUIET_QUALITIES;
        }
    }

    /// How many times more it is to be told how well the line does.
    pub(crate) fn quiet_left(&mut self) -> u8 {
        self.quiet.take().map_or(0, |(_, left)| left)
    }

    /// Tells the application, once, that the last words of an ended call were heard.
    pub(crate) fn tell_drained(&mut self, playback: &Playback) {
        if self.draining && playback.is_idle() {
            self.draining = false;
            self.outlet.tell(Report::Drained);
        }
    }

    fn buffered(&mut self, playback: &mut Playback) {
        if let Some(socket) = &self.socket {
            let bytes = socket.buffered();
            self.input(Input::Buffered(bytes), playback);
        }
    }

    fn drain(&mut self, playback: &mut Playback) {
        while let Some(output) = self.client.poll_output() {
            match output {
                Output::RequestToken => self.wants_token = true,
                Output::Connect => {
                    self.socket = if self.held {
                        None
                    } else {
                        Socket::open(self.client.transport(), &self.outlet, &self.engine)
                    };
                    self.refused = self.socket.is_none();
                }
                Output::AskWhy => self.asks_why = true,
                Output::Disconnect { code } => {
                    self.refused = false;
                    if let Some(socket) = self.socket.take() {
                        socket.close(code);
                    }
                }
                Output::Text(text) => {
                    if let Some(socket) = &self.socket {
                        socket.send_text(&text);
                    }
                }
                Output::Binary(bytes) => {
                    if let Some(socket) = &self.socket {
                        socket.send_binary(&bytes);
                    }
                }
                Output::Play { codec, position, payload } => {
                    self.overflowed |= playback.push(codec.rate(), position, &payload);
                }
                Output::EndOfReply => playback.end_of_reply(),
                Output::FlushPlayout => playback.flush(),
                Output::HoldPlayout(held) => playback.hold(held),
                Output::Event(event) => self.events.push(event),
            }
        }
    }

    /// A timer that rings too early is cheaper than a new one for every input, so it is only replaced by an earlier one.
    fn arm(&mut self, now: Time) {
        let Some(due) = self.client.poll_timeout() else {
            self.timer = None;
            return;
        };
        if self.timer.as_ref().is_some_and(|(armed, _)| *armed <= due) {
            return;
        }
        let wait = due.as_micros().saturating_sub(now.as_micros()).div_ceil(1_000);
        let engine = self.engine.clone();
        let timer = Timer::new(i32::try_from(wait).unwrap_or(i32::MAX), move || {
            if let Some(engine) = engine.upgrade() {
                let inner = &mut *parts(&engine);
                inner.link.rang(&mut inner.playback);
            }
        });
        self.timer = Some((due, timer));
    }

    fn rang(&mut self, playback: &mut Playback) {
        self.timer = None;
        let now = now();
        if self.client.poll_timeout().is_some_and(|due| due <= now) {
            self.buffered(playback);
            self.input(Input::Timeout, playback);
        } else {
            self.arm(now);
        }
    }

    fn tell(&mut self, playback: &mut Playback) {
        if std::mem::take(&mut self.wants_token) {
            self.outlet.tell(Report::Token);
        }
        if std::mem::take(&mut self.asks_why) {
            self.outlet.tell(Report::Why);
        }
        if std::mem::take(&mut self.overflowed) {
            self.report(PLAYOUT_FULL);
        }
        for (id, taken) in self.answers.drain(..) {
            match taken.map_err(ErrorInfo::from) {
                Ok(()) => self.outlet.tell(Report::Taken { id }),
                Err(error) => self.outlet.tell(Report::Refused { id, error: (&error).into() }),
            }
        }
        for event in self.events.drain(..) {
            if let Event::Ended { usage, .. } = &event {
                self.outlet.tell(usage);
                playback.end_of_reply();
                self.draining = true;
            }
            self.outlet.tell(&event);
        }
        self.tell_drained(playback);
    }
}

fn millionths(level: f32) -> u32 {
    (level * 1e6) as u32
}

fn now() -> Time {
    Time::from_micros((now_ms() * 1_000.0) as u64)
}

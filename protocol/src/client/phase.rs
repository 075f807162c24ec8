//! Where a client's connection is, and what belongs to it only while it is there. A phase is replaced whole by the next, so that nothing of it
//! can outlive it.

use std::time::Duration;

use super::why::Outage;
use crate::time::Timers;
use crate::{ClientAck, CloseCode, Features, Time};

/// Where the connection is.
#[derive(Debug)]
pub(super) enum Phase {
    /// The call has not begun.
    Idle {
        /// Whether the application was told that the buffer is full.
        told_full: bool,
    },
    /// No connection carries the call: one is being made, or waited for.
    Away(Away),
    /// The relay has answered.
    Up(Box<Up>),
    /// The call is over.
    Closed,
}

/// The time from the start, or from the loss of a connection, to the answer of a relay.
#[derive(Debug)]
pub(super) struct Away {
    pub(super) attempt: Attempt,
    pub(super) outage: Outage,
    /// Whether the application was told that the buffer is full.
    pub(super) told_full: bool,
    /// When a token was last refused (4401).
    pub(super) refused: Option<Time>,
    /// The relay could not be reached for too long.
    pub(super) gives_up: Time,
}

/// How far the attempt to make a connection is.
#[derive(Debug)]
pub(super) enum Attempt {
    /// The application was asked for a token. It takes too long at this time.
    Token(Time),
    /// The driver opens a socket, which takes too long at this time.
    Opening { token: String, socket: Socket, late: Time },
    /// `hello` is sent. The relay takes too long to answer at this time.
    Greeting { socket: Socket, late: Time },
    /// The next attempt is made at this time.
    Waiting(Time),
}

impl Attempt {
    /// When it is looked at again.
    pub(super) fn due(&self) -> Time {
        match self {
            Attempt::Token(due) | Attempt::Waiting(due) => *due,
            Attempt::Opening { late, .. } | Attempt::Greeting { late, .. } => *late,
        }
    }
}

/// What is known of the driver's socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Socket {
    /// When it was asked for.
    pub(super) began: Time,
    /// Bytes that it holds back.
    pub(super) bytes: usize,
    /// What the socket itself last said of that.
    pub(super) told_bytes: usize,
    /// Chunks wait in our own buffer.
    pub(super) held_back: bool,
}

impl Socket {
    pub(super) fn new(began: Time) -> Self {
        Socket { began, bytes: 0, told_bytes: 0, held_back: false }
    }
}

/// A connection that the relay has answered on.
#[derive(Debug)]
pub(super) struct Up {
    pub(super) socket: Socket,
    pub(super) timers: Timers<{ TIMERS.len() }>,
    /// What the relay speaks.
    pub(super) features: Features,
    /// What the relay was told last of the microphone; unmuted at first.
    pub(super) told_muted: bool,
    /// Audio was sent since: for the relay that is somebody who speaks, whatever it was told.
    pub(super) has_spoken_since: bool,
    /// What the relay believes of the agent's sound; not held at first.
    pub(super) told_held: bool,
    /// What it was told of an interruption.
    pub(super) told_barge_in: Option<u32>,
    pub(super) told_bye: bool,
    /// What it was last told to have come, and to have been heard.
    pub(super) told_ack: Option<ClientAck>,
    /// Whether the application was told that the buffer is full.
    pub(super) told_full: bool,
    /// The `ping` that was not answered yet, and when it was sent.
    pub(super) ping: Option<(u32, Time)>,
    /// When the relay was last probed, answered or not.
    pub(super) probed: Option<Time>,
    /// Where the acknowledged audio ended when the pace was last looked at.
    pub(super) paced: u32,
    /// Why the session is over, if the relay said `ended`.
    pub(super) ended: Option<CloseCode>,
}

impl Up {
    pub(super) fn new(socket: Socket, features: Features) -> Self {
        Up {
            socket,
            timers: Timers::new(),
            features,
            told_muted: false,
            has_spoken_since: false,
            told_held: false,
            told_barge_in: None,
            told_bye: false,
            told_ack: None,
            told_full: false,
            ping: None,
            probed: None,
            paced: 0,
            ended: None,
        }
    }
}

/// Names of the timers of a connection.
#[derive(Clone, Copy)]
pub(super) enum Timer {
    /// The application's token function takes too long.
    Token,
    /// The next `ping`.
    Heartbeat,
    /// The relay was silent for too long.
    Dead,
    /// Sent audio was not acknowledged for long.
    Unacknowledged,
    /// It was not for too long, whatever the relay said meanwhile.
    Stalled,
    /// How much audio has got through is looked at.
    Pace,
    /// The next `ack`.
    Ack,
    /// The connection has held long enough to forget earlier failures.
    Stable,
    /// The relay heard of the microphone a moment ago.
    Mute,
    /// A relay takes the next message.
    Turn,
    /// The relay is about to go.
    Move,
}

const TIMERS: [Timer; 11] = [
    Timer::Token,
    Timer::Heartbeat,
    Timer::Dead,
    Timer::Unacknowledged,
    Timer::Stalled,
    Timer::Pace,
    Timer::Ack,
    Timer::Stable,
    Timer::Mute,
    Timer::Turn,
    Timer::Move,
];

/// The user hung up: the last words are on their way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closing {
    /// Hanging up makes no progress.
    pub(super) stuck: Time,
    /// When hanging up ends, progress or not.
    ends: Time,
    /// What was said is sent first, over as many connections as it takes.
    pub(super) finishes: bool,
}

/// Hanging up goes on for this long after audio last got through. A line that stands still is found out after 10 s, and over a network that
/// loses every third packet another one takes as long again.
const CLOSING_DEADLINE: Duration = Duration::from_secs(30);
/// Hanging up ends after this, even while audio gets through: the longest buffer goes through a line that carries a fifth of what is said.
const LONGEST_CLOSING: Duration = Duration::from_secs(300);

/// A user who does not want to finish waits no longer than this for the relay's last word. The relay takes 5 s at most to understand what it has
/// and to store that, and what the socket holds goes before `bye`.
const SHORT_CLOSING: Duration = Duration::from_secs(10);

impl Closing {
    pub(super) fn new(now: Time, finishes: bool) -> Self {
        let ends = now + if finishes { LONGEST_CLOSING } else { SHORT_CLOSING };
        let mut closing = Closing { stuck: now, ends, finishes };
        closing.go_on(now);
        closing
    }

    /// Audio gets through.
    pub(super) fn go_on(&mut self, now: Time) {
        self.stuck = (now + CLOSING_DEADLINE).min(self.ends);
    }
}

/// Something whose time has come.
#[derive(Clone, Copy)]
pub(super) enum Due {
    Attempt,
    GiveUp,
    Closing,
    Timer(Timer),
}

impl Phase {
    /// The earliest time at which something is due.
    pub(super) fn next_timeout(&self) -> Option<Time> {
        match self {
            Phase::Away(away) => Some(away.attempt.due().min(away.gives_up)),
            Phase::Up(up) => up.timers.next_timeout(),
            Phase::Idle { .. } | Phase::Closed => None,
        }
    }

    /// Takes what is due first.
    pub(super) fn take_due(&mut self, now: Time) -> Option<Due> {
        match self {
            Phase::Away(away) if away.attempt.due() <= now.min(away.gives_up) => Some(Due::Attempt),
            Phase::Away(away) => (away.gives_up <= now).then_some(Due::GiveUp),
            Phase::Up(up) => up.timers.expire(now).map(|timer| Due::Timer(TIMERS[timer])),
            Phase::Idle { .. } | Phase::Closed => None,
        }
    }
}

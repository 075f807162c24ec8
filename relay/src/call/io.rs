//! What goes into a call, and what comes out.

use protocol::relay::Saying;
use protocol::{CloseCode, ErrorCode, Gap, Mark, Upward, Usage};

use super::Turn;
use crate::NanoUsd;
use crate::money::budget::{Caps, Grant, Range, Reserved, Shortage, Standing};
use crate::money::ledger::LedgerRow;
use crate::money::tab::{RequestId, Tab};
use crate::provider::{Ask, Event, Feed};

/// What happens to a call.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Audio of the user, in order, each sample once.
    Audio {
        /// Its place.
        mark: Mark,
        /// 16-bit little-endian samples at 16 kHz.
        payload: &'a [u8],
    },
    /// Audio of the user that will never come.
    Gap(Gap),
    /// The page says something; it has a number among the frames, and no audio.
    Message {
        /// Its place.
        mark: Mark,
        /// What it says.
        message: &'a Upward,
    },
    /// A provider says something about a request. See [`Output::Open`].
    Provider {
        /// The request.
        request: RequestId,
        /// What it says.
        event: &'a Event,
    },
    /// The user muted or unmuted.
    Muted(bool),
    /// The user has heard the agent up to this position.
    Played(u32),
    /// Whether the link takes more of the agent's audio. To be told before every [`Input::Timeout`] and when it changes.
    Room(bool),
    /// The turns of the oldest unanswered [`Output::Store`] are stored.
    Stored {
        /// Everything before it is in the stored transcript.
        committed: Mark,
    },
    /// The oldest unanswered [`Output::Settle`] is in the ledger.
    Settled {
        /// Sum of the session's rows.
        cost: NanoUsd,
        /// The budgets after it.
        standing: &'a Standing,
    },
    /// The answer to [`Output::Reserve`].
    Reserved(&'a Reserved),
    /// The user hung up and all audio was handed in.
    Bye,
    /// Write what is owed, the session goes on elsewhere.
    Checkpoint {
        /// Because this relay stops, and not because the client wants it: then whatever is not committed may be played again.
        sent_away: bool,
    },
    /// The session ends for another reason.
    Stop(CloseCode),
    /// The time of [`Call::poll_timeout`](super::Call::poll_timeout) has come.
    Timeout,
}

/// What a driver has to do.
#[derive(Debug, PartialEq)]
pub enum Output {
    /// Send a numbered message.
    Say(Saying),
    /// Send audio of the agent.
    Speak(Vec<i16>),
    /// Make a request of a provider, and tell of it with [`Input::Provider`].
    Open {
        /// The request.
        request: RequestId,
        /// Whom, as a place among the agent's providers.
        provider: usize,
        /// What.
        ask: Ask,
    },
    /// Add to a request.
    Feed {
        /// The request.
        request: RequestId,
        /// What is added.
        feed: Feed,
    },
    /// Tell nothing more of a request until it is not held back any more.
    HoldBack {
        /// The request.
        request: RequestId,
        /// Whether it is held back from now on.
        held_back: bool,
    },
    /// Give up a request: nothing more of it is told.
    Cancel(RequestId),
    /// Tell an error; the call goes on.
    Trouble(ErrorCode),
    /// Tell the usage.
    Usage(Usage),
    /// Everything before this frame is in the ledger and in the transcript, as far as it belongs there.
    Commit(Mark),
    /// Store these turns and that everything before `committed` is in the transcript, then [`Input::Stored`].
    Store {
        /// The turns; one that is stored already is replaced.
        turns: Vec<Turn>,
        /// The first frame that is in none of them and may still be in a later one.
        committed: Mark,
    },
    /// Append these rows to the ledger, then [`Input::Settled`].
    Settle {
        /// The rows; maybe none.
        rows: Vec<LedgerRow>,
        /// With it, the audio before this position is metered.
        through: u32,
        /// With it, everything before this frame is committed.
        committed: Mark,
        /// Samples that are metered and not committed, and may be played again. Those that were played again already count only if the
        /// client is sent away by this relay: who goes elsewhere by themselves get them once.
        replayable: u32,
        /// What counts as spent if the relay is lost: what requests under way may cost.
        exposed: NanoUsd,
        /// Give back what is set aside and not spent.
        release: bool,
    },
    /// Set money aside, then [`Input::Reserved`].
    Reserve {
        /// What the session may spend in all, since its beginning.
        through: Range,
        /// What it has spent of that, or may have.
        spent: NanoUsd,
        /// What counts as spent if the relay is lost.
        exposed: NanoUsd,
    },
    /// There was no money left.
    Exhausted(Shortage),
    /// Everything is said and stored: note the session's end, then tell the client. Nothing follows.
    End {
        /// Why.
        code: CloseCode,
    },
}

/// What a call begins with.
#[derive(Debug)]
pub struct Start {
    /// The first frame to come.
    pub mark: Mark,
    /// The number of the first turn.
    pub turn: u32,
    /// What has been used, and what things cost.
    pub tab: Tab,
    /// What may be spent.
    pub caps: Caps,
    /// What is set aside.
    pub grant: Grant,
    /// Whether another relay had it before.
    pub is_taken_over: bool,
    /// Samples that were metered before its relay was lost, and not committed: so much audio is played again, and not metered again.
    pub replayable: u32,
    /// Audio before this position was metered before.
    pub metered_through: u32,
}

//! What goes into a call, and what comes out.

use protocol::relay::Saying;
use protocol::{CloseCode, ErrorCode, Gap, Mark, Time, Upward, Usage};

use super::{Command, NotTold, Turn};
use crate::NanoUsd;
use crate::agent::tool::{Called, ToolNote, ToolOutput};
use crate::money::budget::{Caps, Grant, Range, Reserved, Shortage, Standing};
use crate::money::ledger::{LateCredit, LedgerRow};
use crate::money::tab::{Billed, RequestId, Tab};
use crate::provider::{Ask, Event, Feed};

/// What happens to a call.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Audio of the user. Chunks come in order, each sample once.
    Audio {
        /// Where the audio begins.
        mark: Mark,
        /// 16-bit little-endian samples at 16 kHz.
        payload: &'a [u8],
    },
    /// Audio of the user that will never come.
    Gap(Gap),
    /// A message of the page. It has a number among the frames, and no audio.
    Message {
        /// The place of the message among the frames.
        mark: Mark,
        /// The message.
        message: &'a Upward,
    },
    /// An administrator has the agent told something. Answered with [`Output::NoteCommand`].
    Command(&'a Command),
    /// A provider says something about a request. See [`Output::Open`].
    Provider {
        /// The request.
        request: RequestId,
        /// What the provider says.
        event: &'a Event,
    },
    /// A recogniser says what it bills of a request that was given up. See [`Output::Cancel`].
    Billed(&'a Billed),
    /// The call of a tool is stored. See [`Output::NoteTool`].
    ToolStored {
        /// The call.
        call_id: &'a str,
    },
    /// Something has come of a call. See [`Output::RunTool`].
    ToolResult {
        /// The call.
        call_id: &'a str,
        /// What has come of it.
        output: &'a ToolOutput,
    },
    /// The user muted or unmuted.
    Muted(bool),
    /// The page holds the agent's sound back, or lets it go on.
    HeldBack(bool),
    /// The user has heard the agent up to this position.
    Played(u32),
    /// The page noticed that the user speaks while the agent does.
    BargeIn,
    /// Whether the link takes more of the agent's audio. The driver tells this before every [`Input::Timeout`] and when it changes.
    Room(bool),
    /// The turns of the oldest unanswered [`Output::Store`] are stored.
    Stored {
        /// The mark before which everything is in the stored transcript.
        committed: Mark,
    },
    /// The oldest unanswered [`Output::Settle`] is in the ledger.
    Settled {
        /// The sum of the session's rows.
        cost: NanoUsd,
        /// The budgets after this settlement.
        standing: &'a Standing,
    },
    /// The answer to [`Output::Reserve`].
    Reserved(&'a Reserved),
    /// The user hung up, and all audio before that was handed in.
    Bye,
    /// The session goes on at another relay: the call writes everything that the store does not know yet. It is not given once the session's
    /// end is to be written, since nothing comes after that.
    Checkpoint {
        /// Whether this relay sends the client away, because it stops or cannot go on. Then all audio that is not committed may be played
        /// again without being metered again. For a client that goes elsewhere by itself this holds only for audio that was metered here.
        sent_away: bool,
    },
    /// The session ends, and the user did not hang up.
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
    /// Make a request of a provider, and tell what the provider says with [`Input::Provider`].
    Open {
        /// The request.
        request: RequestId,
        /// The provider, as a place among the agent's providers.
        provider: usize,
        /// What the provider is asked.
        ask: Ask,
    },
    /// Add to a request that is under way.
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
    /// Give up a request, and tell nothing more of it than [`Input::Billed`].
    Cancel(RequestId),
    /// Note that nobody wanted to interrupt the answer that was held and now goes on.
    FalseInterruption,
    /// Tell the page of an error. The call goes on.
    Trouble(ErrorCode),
    /// Tell the page what the session has used.
    Usage(Usage),
    /// Commit everything before this mark: it is in the ledger and in the transcript, as far as it belongs there.
    Commit(Mark),
    /// Store these turns, and that everything before `committed` is in the transcript. Then give [`Input::Stored`].
    Store {
        /// The turns. A turn that is stored already is replaced.
        turns: Vec<Turn>,
        /// The first frame that is in none of them and may still be in a later one.
        committed: Mark,
        /// As in [`Output::Settle`].
        replayable: u32,
    },
    /// Store this about a call of a tool, after what was to be stored before. Then give [`Input::ToolStored`] for a call that is to be made.
    NoteTool(ToolNote),
    /// Have the operator's backend run a tool, then give [`Input::ToolResult`].
    RunTool(Called),
    /// What comes of this call is not wanted any more.
    CancelTool(String),
    /// Note what has become of a command of an administrator.
    NoteCommand {
        /// The command.
        id: String,
        /// Whether the agent was told.
        told: Result<(), NotTold>,
    },
    /// Append these rows to the ledger, and write the positions with them. Then give [`Input::Settled`].
    Settle {
        /// The rows. There may be none.
        rows: Vec<LedgerRow>,
        /// What the user gets back of what earlier rows have charged, and these.
        credits: Vec<LateCredit>,
        /// The position up to which audio is metered once this is written: without what came last and nobody has heard, unless `release` is set.
        through: u32,
        /// The mark before which everything is committed once this is written.
        committed: Mark,
        /// How many samples are metered and not committed, and may be played again without being metered again. Samples that were played
        /// again here already are counted only if this relay sends the client away. See [`Input::Checkpoint`].
        replayable: u32,
        /// What the store counts as spent if this relay is lost: what the requests under way may cost.
        exposed: NanoUsd,
        /// Whether what is set aside and not spent is given back.
        release: bool,
    },
    /// Set money aside, then give [`Input::Reserved`].
    Reserve {
        /// What the session may spend in all, since its beginning.
        through: Range,
        /// What the session has spent, and what its requests under way may cost.
        spent: NanoUsd,
        /// What the store counts as spent if this relay is lost.
        exposed: NanoUsd,
    },
    /// Note that a budget was used up.
    Exhausted(Shortage),
    /// Store the session's end, then tell the client. Everything is said and stored, and nothing follows.
    End {
        /// Why the session ends.
        code: CloseCode,
    },
}

/// What a call begins with, at its first relay or at one that took it over.
#[derive(Debug)]
pub struct Start {
    /// The mark of the next frame.
    pub mark: Mark,
    /// The number of the next turn.
    pub turn: u32,
    /// What the session has used so far, and the prices.
    pub tab: Tab,
    /// What the session, its user and its account may spend.
    pub caps: Caps,
    /// What is set aside for the session.
    pub grant: Grant,
    /// Whether another relay had the session before.
    pub is_taken_over: bool,
    /// How many samples were metered and not committed when their relay was lost. So many are played again, and not metered again.
    pub replayable: u32,
    /// The position up to which an earlier relay has metered audio.
    pub metered_through: u32,
    /// When the session's longest time is over, and the link ends it.
    pub ends: Option<Time>,
    /// What is left of answers of which no relay before could say how far they were heard, oldest first.
    pub broken_off: Vec<Turn>,
}

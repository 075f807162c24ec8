//! What an agent is: it hears or reads the user, and answers.
//!
//! An [`Agent`] is a machine without a socket, a clock, a store or money. It makes **requests** of providers and says the most that each may
//! use and then what it did use; the [call](crate::call) prices that, asks for the money first, and holds the agent to what it said. It gives
//! its **answer** piece by piece: words as they are known, sound as it is there, each tied to a place in the answer.
//!
//! # Run loop
//! One input, [`Agent::poll_output`] until it is `None`, then one timer for [`Agent::poll_timeout`].
//!
//! # Where to add an agent
//! One file here, and one line where the session puts its parts together (`session::assembly`).

mod conversation;
mod echo;
mod script;
pub(crate) mod speech_rate;
mod tape;
pub mod tool;
mod utterances;

use protocol::{Ability, ErrorCode, Time};

pub use conversation::{Conversation, Patience, Persona, Team, TurnTaking, Variable};
pub use echo::Echo;
pub use script::{Piece, Script};
use tool::{Called, Runs, ToolOutput};
pub use utterances::Ears;

use crate::money::bill::{AtMost, Quantity};
use crate::money::tab::RequestId;
use crate::provider::{Ask, Event, Feed};

/// How far the money of a call goes, counted in answers as they have been. The call counts: an agent knows no prices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Means {
    /// Far enough.
    #[default]
    Ample,
    /// For a few answers: the agent is to be brief, and to ask for nothing that may be for nothing.
    Little,
    /// For hardly one: what can be had more cheaply is to be had so.
    Scarce,
}

/// What an agent is told.
#[derive(Clone, Copy, Debug)]
pub enum AgentInput<'a> {
    /// Audio of the user: 16 kHz, each sample once, in order.
    Audio {
        /// Place of the first sample in the user's timeline.
        position: u32,
        /// The samples.
        samples: &'a [i16],
    },
    /// Audio of the user that is lost for good.
    Gap {
        /// Where it began.
        position: u32,
        /// Where the audio goes on.
        end: u32,
    },
    /// No audio comes for now (muted, hung up): what was being said is complete.
    Pause,
    /// The user typed something. What was being said is complete.
    Typed {
        /// Where the user's timeline stands.
        position: u32,
        /// The words.
        text: &'a str,
    },
    /// The page noticed that the user speaks while the agent does.
    BargeIn,
    /// The user has put the call on hold, muted and with the agent's sound held back, or is back. Nobody has to hear them until then.
    OnHold(bool),
    /// Words that the agent is to say as they are.
    Say {
        /// Where the user's timeline stands; `None` if it is not the page that wants them said, and so nothing is committed with them.
        position: Option<u32>,
        /// The words.
        text: &'a str,
        /// At once, whatever it is saying.
        interrupt: bool,
    },
    /// Something that the agent is to know, and need not answer.
    Context {
        /// Where the user's timeline stands.
        position: u32,
        /// The words.
        text: &'a str,
    },
    /// The page sets values for the agent's prompt.
    Variables {
        /// Where the user's timeline stands.
        position: u32,
        /// Names and values.
        values: &'a [(String, String)],
    },
    /// What the user has really said, in place of what was understood.
    Corrected {
        /// Which [`AgentOutput::Said`] or [`AgentOutput::Typed`]: they are counted together, from 0.
        said: u32,
        /// The words.
        text: &'a str,
    },
    /// What came of an [`AgentOutput::CallTool`]. It may come late, twice, or never.
    ToolResult {
        /// The call.
        call_id: &'a str,
        /// Who says so.
        from: Runs,
        /// What the tool gave, or what went wrong.
        output: &'a str,
        /// Whether it failed.
        is_error: bool,
    },
    /// More sound of the answer would be sent now, up to so many samples. It is asked again when that is sent.
    Room {
        /// At most so many.
        samples: u32,
    },
    /// An answer is over, heard to its end or not.
    AnswerOver {
        /// Which one: they are counted from 0, each time that words begin one.
        answer: u32,
        /// Bytes of its words that were heard. What has no sound is heard when it is said.
        heard: usize,
    },
    /// Of an answer that is over, and was taken for heard because nobody said otherwise, less was heard.
    TakenBack {
        /// Which one.
        answer: u32,
        /// Bytes of its words that were heard.
        heard: usize,
    },
    /// A provider says something about a request.
    Event {
        /// The request.
        request: RequestId,
        /// What it says. After [`Event::Finished`] or [`Event::Failed`] nothing follows.
        event: &'a Event,
    },
    /// The call's money goes so far from now on.
    Means {
        /// How far.
        means: Means,
        /// A request that there is too little for. It was not made, and nothing comes of it: the agent may ask for less.
        refused: Option<RequestId>,
    },
    /// The call's money or its time is used up. An agent that has last words ([`Agent::farewell`]) says them, and then
    /// [`AgentOutput::HangUp`]; nothing else that it asks for is made any more.
    Farewell,
    /// The call goes on elsewhere, and [`AgentInput::Leave`] comes next: what is not committed comes once more there, whole.
    HandOver,
    /// The call ends, or goes on elsewhere: every request is to be given up, and what it used is to be said.
    Leave,
    /// The time of [`Agent::poll_timeout`] has come.
    Timeout,
}

/// What an agent does.
#[derive(Clone, Debug, PartialEq)]
pub enum AgentOutput {
    /// The user speaks, since this position. Nothing from here on is final until [`AgentOutput::Said`].
    SpeechStarted {
        /// Where the speech began.
        at: u32,
    },
    /// The user begins a turn by speaking, which has its place in the order of speaking from here on: its words come later, in the order in
    /// which turns began. A turn that was not said to begin does so with its first words.
    TurnBegan {
        /// Where it began.
        at: u32,
    },
    /// Nothing has come of a turn that began: no words of it stay.
    TurnDropped {
        /// Where it began, as [`AgentOutput::TurnBegan`] or else its first [`AgentOutput::Partial`] says.
        at: u32,
    },
    /// What the user seems to be saying, as far as it is understood. It may change.
    Partial {
        /// The words so far.
        text: String,
        /// Where they begin.
        start: u32,
        /// Where they end.
        end: u32,
        /// Nothing before this position will be part of anything but these words, as they stand: they can be stored.
        final_through: Option<u32>,
    },
    /// The user goes on with the turn that they have taken last, of which nothing has come yet: the next [`AgentOutput::Partial`] and
    /// [`AgentOutput::Said`] stand in its place, whole. What had seemed to begin another turn, without words so far, is no turn of its own.
    TurnGoesOn,
    /// The user has said something, whole.
    Said {
        /// The words, or a description of them.
        text: String,
        /// Where they begin.
        start: u32,
        /// Where they end, with the silence that belongs to them.
        end: u32,
        /// Where the last word ends: from there on the user waits.
        words_end: u32,
    },
    /// The user has typed something. It counts among what was said, and is a turn of its own beside the one that is being spoken; words that
    /// come late for the turn before it begin a new one.
    Typed {
        /// The words.
        text: String,
        /// Where they stand in the user's timeline.
        position: u32,
    },
    /// The user has said something, whole, that ends no answer and wants none: a sign that they listen.
    Remarked {
        /// The words.
        text: String,
        /// Where they begin.
        start: u32,
        /// Where they end.
        end: u32,
    },
    /// Nothing before this position will be part of any later [`AgentOutput::Said`].
    Final {
        /// The position.
        through: u32,
    },
    /// Of the audio that no recogniser has listened to so far, only the end is kept for one: what came before that is heard by nobody any more.
    Dropped {
        /// Samples that are kept, the last ones that the agent was given.
        kept: u32,
        /// Where they end. What has come behind that is still to be given to the agent.
        end: u32,
    },
    /// More words of the answer. The first ones begin it.
    Words {
        /// What is added to those before, to the letter.
        text: String,
        /// Where in the answer's sound they begin, in samples since its first. 0 for an answer without sound.
        start: u32,
        /// Where they end, as far as is known.
        end: u32,
        /// No more words come.
        last: bool,
    },
    /// More sound of the answer, at the agent's rate.
    Sound(Vec<i16>),
    /// It is known when words are spoken of those that were given last: the voice says so, or has broken off.
    Spoken {
        /// Bytes of them, up to and with the last word that is spoken by then.
        bytes: usize,
        /// So far in the answer's sound: what comes behind that are the words behind those.
        end: u32,
    },
    /// The answer is whole: no more words, no more sound.
    AnswerEnd,
    /// The answer is held where it is, because the user may have begun to speak: nothing more of it is sent, and the page plays nothing of it.
    /// Or it goes on there.
    Hold(bool),
    /// The answer is dropped where it is, held or not: the user interrupts, or the agent has thought better of it.
    Cut,
    /// Nobody wanted to interrupt the answer that was held and now goes on.
    FalseInterruption,
    /// A tool is to be run, by the page or by a webhook, and [`AgentInput::ToolResult`] is to say what came of it.
    CallTool(Called),
    /// What comes of a tool is not wanted any more.
    CancelTool {
        /// The call.
        call_id: String,
        /// Who runs it.
        runs: Runs,
    },
    /// This is what has come of a call, and stays so.
    ToolOutput {
        /// The call.
        call_id: String,
        /// What has come of it.
        output: ToolOutput,
    },
    /// The agent can do something less well, or not at all; or again as well as ever.
    Degraded {
        /// What it is about.
        what: Ability,
        /// Whether it is degraded from now on.
        degraded: bool,
    },
    /// What it was told to say ([`AgentInput::Say`]) is not said: the call ends, or the agent leaves it.
    Unsaid {
        /// The words.
        text: String,
        /// Where the user's timeline stood, as it was told.
        position: Option<u32>,
    },
    /// The call is to end: nobody is there any more, or the last words after [`AgentInput::Farewell`] are said.
    HangUp,
    /// Something went wrong that the page is to know of. The call goes on.
    Trouble(ErrorCode),
    /// A request is to be made, as soon as there is the money for it.
    Ask {
        /// Another one each time, in ascending order.
        request: RequestId,
        /// Whom, as a place among the agent's providers.
        provider: usize,
        /// What.
        ask: Ask,
        /// What it uses at most.
        at_most: AtMost,
    },
    /// A request that is under way gets more. What a request is given comes to it in this order.
    Feed {
        /// The request.
        request: RequestId,
        /// What is added.
        feed: Feed,
        /// What the request uses at most with it, in all; `None` if that is no more than before. It waits until there is the money for it.
        at_most: Option<AtMost>,
    },
    /// These requests are likely to be made soon, besides those that are under way: places among the agent's providers, and what each uses at
    /// most. There is money for them by then, so that none waits. It stands until it is said anew.
    Expect(Vec<(usize, AtMost)>),
    /// There is no room for more of what a request says, or again. Its provider is not read meanwhile, and what was said already may still come.
    HoldBack {
        /// The request.
        request: RequestId,
        /// Whether it is held back from now on.
        held_back: bool,
    },
    /// A request is not wanted any more. No event follows.
    Cancel {
        /// The request.
        request: RequestId,
    },
    /// A request is over, and has used this. Said once for each that was asked for.
    Spent {
        /// The request.
        request: RequestId,
        /// How much; `None` if it was never made, or nothing is billed.
        used: Option<Quantity>,
        /// It is the agent's own estimate: the provider did not say.
        estimated: bool,
        /// The provider's own name for the request.
        provider_id: Option<String>,
    },
}

/// Hears the user and answers.
pub trait Agent: Send {
    /// Samples a second of [`AgentOutput::Sound`].
    fn rate(&self) -> u32;

    /// One thing happened.
    fn handle_input(&mut self, now: Time, input: AgentInput<'_>);

    /// The next thing it does.
    fn poll_output(&mut self) -> Option<AgentOutput>;

    /// When [`AgentInput::Timeout`] is due.
    fn poll_timeout(&self) -> Option<Time> {
        None
    }

    /// Whether nobody speaks and nothing is to be said: the user is not heard, no answer is being found or given, nothing waits, and no tool runs.
    /// A relay that is to stop sends the call elsewhere at such a moment, since an agent that begins there knows nothing but what is stored.
    fn is_between_turns(&self) -> bool;

    /// How many more texts there is room for that it is to say ([`AgentInput::Say`]) before one of them is said. `None` if it says nothing that it
    /// is told to, and takes no [`AgentInput::Context`] either.
    fn room_to_say(&self) -> Option<usize> {
        None
    }

    /// What its last words use at most, request by request, each of a provider by its place. The call keeps so much for them as long as it
    /// can. `None` if it has none to say: it is not told [`AgentInput::Farewell`] then.
    fn farewell(&self) -> Option<Vec<(usize, AtMost)>> {
        None
    }
}

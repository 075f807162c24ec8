//! Who has the floor: whether what the user does while the agent speaks holds the answer, cuts it, or changes nothing.
//!
//! A machine of its own, without any sound to give and without a request:
//!
//! ```text
//!                    voice, a sign         words
//!  Silent ──► Speaking ──────────► Held ─────────► Silent
//!    ▲            ▲                  │
//!    │ over       └──────────────────┘
//!    └────────────   quiet for a while, or a back-channel
//! ```
//!
//! - The user's **voice** over an answer holds it at once: nothing more of it is sent, and the page falls silent where it is. So does a sign of
//!   a recogniser that finds turns, and one of the page. What is no louder than an echo of the agent would be is no voice ([`Loudness`]).
//! - **Words** cut the answer, unless they are a back-channel ([`BackChannels`]) or the agent's own words coming back ([`Echo`]).
//! - When no words come, the answer **goes on** where it stopped: a cough, a key, a door and music are voices to a detector and have none. A
//!   sound that has held an answer for as long as one is held is known from then on, and holds nothing until it pauses or is louder.
//! - Where **nobody hears**, since every recogniser has failed, words can come only once one is well again, or in writing. Voice that goes on is
//!   taken for an interruption: the answer waits for words as long as for those of an utterance, and goes on where it stopped if none come.
//!
//! Only the agent's conversation cuts, on the word of this machine.

mod backchannel;
mod echo;

use std::collections::VecDeque;
use std::time::Duration;

use audio::Loudness;
use protocol::Time;

use backchannel::BackChannels;
pub(super) use backchannel::is_back_channel;
use echo::Echo;

/// An answer is held no longer than this, whatever is heard meanwhile, by a recogniser that hears everything as it comes.
const HOLD_MAX: Duration = Duration::from_secs(5);
/// The same where words come after an utterance only, and where nobody hears.
const HOLD_MAX_FOR_UTTERANCE: Duration = Duration::from_secs(10);
/// Words that belong to a voice come within this time after it, or there are none.
const WORDS_WITHIN: Duration = Duration::from_secs(5);
/// A back-channel that ends less than this before the end of an answer answers it: 1 s, in samples of the user.
const ANSWERS_WITHIN: u32 = 16_000;
/// It is understood within this time before that end.
const UNDERSTOOD_WITHIN: Duration = Duration::from_secs(3);
/// The agent's own voice may come back as late as this after its end: 0.5 s, in samples of the user.
const ECHO_MAX: u32 = 8_000;
/// Words may be said to end so much after they do, 500 ms: by a recogniser, and since the page says a little late that the agent has ended, or is
/// told so.
const TOLD_LATE: u32 = 8_000;
/// Words may be said to begin so much before they do, 300 ms: a detector of voice reports some of the silence before it, and more than the
/// echo is late.
const EARLY: u32 = 4_800;
/// A recogniser's sign counts if somebody was loud within this time before it: 1 s, in samples of the user.
const SIGN_OF: u32 = 16_000;

/// How turns are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnTaking {
    /// A voice that goes on for so long is an interruption where nobody hears its words: the answer waits for some.
    pub interrupted_after: Duration,
    /// An answer that is held goes on when the user has been silent for so long and no words came.
    pub resume_after: Duration,
    /// Whether the greeting may be interrupted.
    pub interruptible_greeting: bool,
    /// How long from its beginning a conversation may not be interrupted. Echo cancellers take seconds to settle.
    pub uninterruptible: Duration,
    /// The language that the user speaks, as a BCP 47 tag; any if it is not known.
    pub language: Option<String>,
}

impl Default for TurnTaking {
    fn default() -> Self {
        TurnTaking {
            interrupted_after: Duration::from_millis(500),
            resume_after: Duration::from_secs(1),
            interruptible_greeting: true,
            uninterruptible: Duration::ZERO,
            language: None,
        }
    }
}

/// What is to be done with the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// It is held where it is.
    Hold,
    /// It goes on where it was held: nobody has interrupted.
    Resume,
}

/// What words of the user are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remark {
    /// A turn of the user, or the beginning of one.
    Turn,
    /// A sign that the user listens. It ends no answer and wants none.
    BackChannel,
    /// The agent's own words.
    Echo,
}

/// See the module.
pub(super) struct Floor {
    manners: TurnTaking,
    back_channels: BackChannels,
    state: State,
    loudness: Loudness,
    echo: Echo,
    /// When the conversation began, if that was here.
    began: Option<Time>,
    is_new: bool,
    /// The answer is the greeting.
    greets: bool,
    /// Where in the user's timeline the sound of the last answer began, and where it ended.
    sounded: Option<(u32, u32)>,
    /// The same of the answer before it, whose words a recogniser may tell when the last one sounds.
    sounded_before: Option<(u32, u32)>,
    /// Somebody was loud just before the last answer began, and it was no echo of the one before.
    was_loud: bool,
    /// Words of the turn that the user is taking were taken for one.
    is_turn: bool,
    /// Where the last back-channel ended that was said into the answer, and when it was understood.
    remarked: Option<(u32, Time)>,
    /// Where the user's audio ends.
    end: u32,
    /// Words come when an utterance is over, and not while it is spoken.
    words_come_late: bool,
    /// Every recogniser has failed.
    is_deaf: bool,
    /// No words come any more of what was heard before this.
    understood_through: u32,
    decisions: VecDeque<Decision>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The agent does not sound.
    Silent,
    /// It does.
    Speaking,
    /// It was held at `since`; the user was last heard at `last`, where their audio ended at `end`. Their voice `is_interruption` although
    /// nobody hears what it says.
    Held { since: Time, last: Time, end: u32, is_interruption: bool },
}

impl Floor {
    /// The floor of a conversation that begins at this position of the user's timeline, here or, unless it `is_new`, earlier. Words come
    /// while they are spoken, or only afterwards (`words_come_late`).
    pub(super) fn new(manners: TurnTaking, position: u32, is_new: bool, words_come_late: bool) -> Floor {
        Floor {
            back_channels: BackChannels::of(manners.language.as_deref()),
            manners,
            state: State::Silent,
            loudness: Loudness::default(),
            echo: Echo::default(),
            began: None,
            is_new,
            greets: false,
            sounded: None,
            sounded_before: None,
            was_loud: false,
            is_turn: false,
            remarked: None,
            end: position,
            words_come_late,
            is_deaf: false,
            understood_through: position,
            decisions: VecDeque::new(),
        }
    }

    /// Something happens in the conversation, the first time ever: it begins.
    pub(super) fn begin(&mut self, now: Time) {
        if self.is_new {
            self.began.get_or_insert(now);
        }
    }

    /// The next answer is the greeting.
    pub(super) fn greet(&mut self) {
        self.greets = true;
    }

    /// More words of an answer are given.
    pub(super) fn agent_says(&mut self, text: &str) {
        self.echo.agent_says(text);
    }

    /// More sound of an answer is given, at so many samples a second.
    pub(super) fn agent_sounds(&mut self, samples: &[i16], rate: u32) {
        self.loudness.agent_sounds(samples, rate);
        if self.state == State::Silent {
            self.was_loud = !self.may_still_come_back() && self.loudness.is_close();
            self.state = State::Speaking;
            (self.sounded_before, self.sounded) = (self.sounded, Some((self.end, self.end)));
            self.remarked = None;
        }
    }

    /// The answer is over, heard to its end or not. Says whether the user has answered it already.
    pub(super) fn answer_over(&mut self, now: Time) -> bool {
        self.note_sounding();
        self.loudness.agent_is_silent(self.end.saturating_add(ECHO_MAX));
        self.greets = false;
        self.state = State::Silent;
        // Of somebody who is muted nothing comes, while time goes by.
        self.remarked.take().is_some_and(|(end, at)| {
            end.saturating_add(ANSWERS_WITHIN) > self.end && now.since(at) <= UNDERSTOOD_WITHIN
        })
    }

    /// The answer is being cut, and by what the user has really said or done.
    pub(super) fn cut(&mut self) {
        self.note_sounding();
        self.greets = false;
        (self.state, self.remarked) = (State::Silent, None);
    }

    /// Whoever has held the answer holds it no more. Whether somebody did.
    pub(super) fn let_go(&mut self) -> bool {
        let is_held = matches!(self.state, State::Held { .. });
        if is_held {
            self.state = State::Speaking;
        }
        is_held
    }

    /// Whether it has to know where somebody speaks: while the agent sounds, and as long as its voice may come back.
    pub(super) fn wants_ears(&self) -> bool {
        self.state != State::Silent || self.may_still_come_back()
    }

    /// Whether words that end here may be those of the last answer that come back.
    fn may_still_come_back(&self) -> bool {
        self.sounded.is_some_and(|(_, until)| self.end <= until.saturating_add(ECHO_MAX + TOLD_LATE))
    }

    /// Audio of the user, in which somebody speaks or not. Where it [does not have to know](Self::wants_ears), nobody does.
    pub(super) fn hear(&mut self, now: Time, position: u32, samples: &[i16], is_voiced: bool) {
        self.end = position.saturating_add(samples.len() as u32);
        self.note_sounding();
        if self.loudness.hear(position, samples, is_voiced) {
            self.notice(now);
        }
        let goes_on = u128::from(self.loudness.goes_on()) * 1_000
            >= self.manners.interrupted_after.as_millis() * 16_000;
        if let State::Held { is_interruption, .. } = &mut self.state {
            *is_interruption |= self.is_deaf && is_voiced && goes_on;
        }
    }

    /// No words come any more of what was heard before this position.
    pub(super) fn understood(&mut self, through: u32) {
        self.understood_through = self.understood_through.max(through);
    }

    /// Nobody hears the user any more, or again somebody does.
    pub(super) fn deafen(&mut self, is_deaf: bool) {
        self.is_deaf = is_deaf;
    }

    /// A recogniser says that the user begins a turn.
    pub(super) fn turn_begins(&mut self, now: Time) {
        // What was loud before the answer was nothing over it.
        let since = self.sounded.map_or(0, |(from, _)| from).max(self.end.saturating_sub(SIGN_OF));
        if self.loudness.was_loud_since(since) {
            self.notice(now);
        }
    }

    /// Somebody may have begun to speak, or goes on.
    pub(super) fn notice(&mut self, now: Time) {
        let (is_guarded, heard_to) = (self.is_guarded(now), self.end);
        match &mut self.state {
            State::Speaking if !is_guarded => {
                self.state = State::Held { since: now, last: now, end: heard_to, is_interruption: false };
                self.decisions.push_back(Decision::Hold);
            }
            State::Held { last, end, .. } => (*last, *end) = (now, heard_to),
            State::Speaking | State::Silent => {}
        }
    }

    /// What the words are of the turn that the user takes, which begin at `start` and end at `words_end`, in what was heard up to `end`. More may
    /// follow, unless the turn `is_whole`.
    pub(super) fn judge(
        &mut self,
        text: &str,
        start: u32,
        words_end: u32,
        end: u32,
        is_whole: bool,
    ) -> Remark {
        if self.is_turn {
            return Remark::Turn;
        }
        if self.is_echo(text, start, words_end, end, is_whole) {
            return Remark::Echo;
        }
        if let Some((_, until)) = self.sounded.filter(|(from, _)| *from <= start.saturating_add(EARLY)) {
            let is_sounding = matches!(self.state, State::Speaking | State::Held { .. });
            let is_early = words_end.saturating_add(ANSWERS_WITHIN) <= until;
            if (is_sounding || is_early) && self.back_channels.has(text, is_whole) {
                return Remark::BackChannel;
            }
        }
        self.is_turn = true;
        Remark::Turn
    }

    /// Whether these words are the agent's own: where its voice may come back, without anybody's voice, and alike.
    fn is_echo(&self, text: &str, start: u32, words_end: u32, end: u32, is_whole: bool) -> bool {
        // Behind that nobody listens for a voice, either, so that words which the user says after the agent were quiet as well.
        let comes_back = |(from, until): (u32, u32), early: u32| {
            from <= start.saturating_add(early) && words_end <= until.saturating_add(ECHO_MAX + TOLD_LATE)
        };
        // Nobody has listened for a voice before the answer: who was loud there may have said the first of the words.
        let early = if self.was_loud { 0 } else { EARLY };
        let may_be_echo = self.sounded.is_some_and(|sounded| comes_back(sounded, early))
            || self.sounded_before.is_some_and(|sounded| comes_back(sounded, EARLY));
        let is_quiet = !self.loudness.had_voice_between(start.saturating_sub(ECHO_MAX), end);
        // Whoever has held the answer is somebody.
        let is_sure = is_whole || matches!(self.state, State::Held { .. });
        may_be_echo && is_quiet && self.echo.has(text, is_sure)
    }

    /// The user's turn is over, and was this.
    pub(super) fn turn_over(&mut self, now: Time, remark: Remark, end: u32) {
        self.is_turn = false;
        if remark == Remark::BackChannel {
            self.remarked = Some((end, now));
            if matches!(self.state, State::Held { .. }) {
                self.resume();
            }
        }
    }

    /// The words of the turn that the user was taking were none.
    pub(super) fn drop_turn(&mut self) {
        self.is_turn = false;
    }

    /// Whether the answer is the greeting.
    pub(super) fn is_greeting(&self) -> bool {
        self.greets
    }

    /// Whether the greeting may not be interrupted.
    pub(super) fn keeps_greeting(&self) -> bool {
        !self.manners.interruptible_greeting
    }

    /// Whether the answer that sounds may not be interrupted now.
    pub(super) fn is_guarded(&self, now: Time) -> bool {
        let guarded = self.began.is_some_and(|began| now < began + self.manners.uninterruptible);
        guarded || self.greets && self.keeps_greeting()
    }

    /// Time passes.
    pub(super) fn handle_timeout(&mut self, now: Time) {
        if self.poll_timeout().is_none_or(|due| now < due) {
            return;
        }
        if let State::Held { last, .. } = self.state {
            if now < last + self.manners.resume_after {
                // Whatever sounds, it has no words.
                self.loudness.get_used_to_it();
            }
            self.resume();
        }
    }

    /// When time has passed.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        match self.state {
            State::Held { since, last, is_interruption: true, .. } => {
                Some((last + WORDS_WITHIN).min(since + HOLD_MAX_FOR_UTTERANCE))
            }
            State::Held { since, last, end, .. } if self.words_come_late => {
                let is_understood = self.understood_through >= end;
                let wait = if is_understood { self.manners.resume_after } else { WORDS_WITHIN };
                Some((last + wait).min(since + HOLD_MAX_FOR_UTTERANCE))
            }
            State::Held { since, last, .. } => Some((last + self.manners.resume_after).min(since + HOLD_MAX)),
            State::Silent | State::Speaking => None,
        }
    }

    /// What is to be done next.
    pub(super) fn poll(&mut self) -> Option<Decision> {
        self.decisions.pop_front()
    }

    fn resume(&mut self) {
        self.state = State::Speaking;
        self.decisions.push_back(Decision::Resume);
    }

    /// As long as the answer sounds, or is held, it has not ended.
    fn note_sounding(&mut self) {
        if let (State::Speaking | State::Held { .. }, Some((_, until))) = (self.state, &mut self.sounded) {
            *until = self.end;
        }
    }
}

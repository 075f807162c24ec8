//! How a conversation understands the user: it has recognisers hear them, and if one fails another.
//!
//! A recogniser that is fed hears everything as it comes, and says itself where a turn ends. Any other is asked about one utterance at a
//! time, which the [`Utterances`] find.
//!
//! What it costs to find a voice is paid once: where a recogniser finds the turns, the ears listen only while the agent sounds, to hear a voice
//! over it before the recogniser does. Otherwise they listen to what stands out from the noise of the room, and while the agent sounds to all.

mod outage;
mod spoken;
mod streamed;

use std::collections::VecDeque;
use std::time::Duration;

use audio::SPEECH_RATE;
use protocol::Time;

use super::super::utterances::{Ears, Utterances};
use super::outbox::Outbox;
use crate::money::bill::Quantity;
use crate::money::tab::RequestId;
use crate::provider::{Event, Skills};
use spoken::Spoken;
use streamed::Streamed;

/// A recogniser: its place among the agent's providers, and what it can.
pub(super) type Recogniser = (usize, Skills);

/// What was understood. Positions are those of the user's timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Understood {
    /// The user speaks.
    Began {
        /// Since here.
        at: u32,
    },
    /// What they seem to be saying, from the beginning of the turn; never empty.
    Words {
        /// The words so far.
        text: String,
        /// Where they begin.
        start: u32,
        /// Up to where it was heard: the silence behind the last word may be part of it.
        end: u32,
        /// Where the last word ends.
        words_end: u32,
        /// The words stay as they are up to here, and only what comes behind is still open.
        final_through: Option<u32>,
    },
    /// What they seem to have said, from the beginning of the turn, if that is over; never empty.
    MayBeOver {
        /// The words.
        text: String,
    },
    /// It is not over.
    GoesOn,
    /// What they have said; never empty.
    Said {
        /// The words.
        text: String,
        /// Where they begin.
        start: u32,
        /// Where they end, with the silence that belongs to them.
        end: u32,
        /// Where the last word ends.
        words_end: u32,
    },
    /// Nothing was understood of what they began to say.
    Nothing {
        /// Where that was, as [`Understood::Began`] says.
        at: u32,
    },
    /// The request is over whose words those were, if there were any, and has used this.
    Spent {
        /// The request.
        request: RequestId,
        /// How much.
        used: Option<Quantity>,
        /// The provider did not say.
        estimated: bool,
        /// The provider's own name for it.
        provider_id: Option<String>,
    },
    /// Nothing before this position will be part of anything that is understood later.
    Final {
        /// The position.
        through: u32,
    },
    /// Nobody hears the user any more, or again somebody does.
    Deaf(bool),
}

/// Hears the user.
pub(super) enum Hearing<E> {
    Streamed(Streamed<E>),
    Spoken(Spoken<E>),
}

impl<E: Ears> Hearing<E> {
    /// Hears audio that begins at `position`. The first recogniser decides how it is done, and those after it stand in for it: the configuration
    /// has only such as do it in the same way. A turn that is as long as `longest_turn` is over, unless that is zero.
    pub(super) fn new(
        recognisers: &[Recogniser],
        ears: E,
        position: u32,
        longest_turn: Duration,
    ) -> Option<Hearing<E>> {
        let &(_, first) = recognisers.first()?;
        let alike = recognisers.iter().filter(|(_, skills)| skills.is_fed == first.is_fed);
        Some(if first.is_fed {
            let longest_turn = longest_turn.as_secs().saturating_mul(SPEECH_RATE.0.into());
            let longest_turn = u32::try_from(longest_turn).unwrap_or(u32::MAX);
            let places = alike.map(|(place, _)| *place).collect();
            Hearing::Streamed(Streamed::new(places, ears, position, longest_turn))
        } else {
            let recognisers = alike.map(|(place, skills)| (*place, skills.billing)).collect();
            Hearing::Spoken(Spoken::new(recognisers, Utterances::new(ears, position)))
        })
    }

    /// Audio of the user comes, and the agent sounds over it or not: what is heard may be its own voice that comes back.
    pub(super) fn agent_sounds(&mut self, sounds: bool) {
        match self {
            Hearing::Streamed(streamed) => streamed.agent_sounds(sounds),
            Hearing::Spoken(spoken) => spoken.agent_sounds(sounds),
        }
    }

    /// Audio of the user.
    pub(super) fn hear(&mut self, position: u32, samples: &[i16], outbox: &mut Outbox) {
        match self {
            Hearing::Streamed(streamed) => streamed.hear(position, samples, outbox),
            Hearing::Spoken(spoken) => spoken.hear(samples, outbox),
        }
    }

    /// Whether somebody speaks, as the ears find it. Where a recogniser finds the turns, they find nobody unless the agent sounds.
    pub(super) fn is_voiced(&self) -> bool {
        match self {
            Hearing::Streamed(streamed) => streamed.is_voiced(),
            Hearing::Spoken(spoken) => spoken.is_voiced(),
        }
    }

    /// Whether the user says something, or has, of which there are no words before it was understood.
    pub(super) fn hears_an_utterance(&self) -> bool {
        match self {
            Hearing::Streamed(_) => false,
            Hearing::Spoken(spoken) => spoken.hears_an_utterance(),
        }
    }

    /// Audio that is lost for good.
    pub(super) fn skip(&mut self, position: u32, end: u32, outbox: &mut Outbox) {
        match self {
            Hearing::Streamed(streamed) => streamed.skip(end),
            Hearing::Spoken(spoken) => spoken.skip(position, end, outbox),
        }
    }

    /// No audio comes for now: what was being said is complete.
    pub(super) fn pause(&mut self, outbox: &mut Outbox) {
        match self {
            Hearing::Streamed(streamed) => streamed.pause(outbox),
            Hearing::Spoken(spoken) => spoken.pause(outbox),
        }
    }

    /// The user is on hold, or back.
    pub(super) fn hold(&mut self, on_hold: bool, outbox: &mut Outbox) {
        match self {
            Hearing::Streamed(streamed) => streamed.hold(on_hold, outbox),
            // It asks about what was said, and nothing is.
            Hearing::Spoken(_) => {}
        }
    }

    /// A provider says something. `false` if it is about none of its requests.
    pub(super) fn handle_event(
        &mut self,
        now: Time,
        request: RequestId,
        event: &Event,
        outbox: &mut Outbox,
    ) -> bool {
        match self {
            Hearing::Streamed(streamed) => streamed.handle_event(now, request, event, outbox),
            Hearing::Spoken(spoken) => spoken.handle_event(now, request, event, outbox),
        }
    }

    /// Time has passed: recognisers that have all failed may be asked again.
    pub(super) fn handle_timeout(&mut self, now: Time, outbox: &mut Outbox) {
        match self {
            Hearing::Streamed(streamed) => streamed.handle_timeout(now, outbox),
            Hearing::Spoken(spoken) => spoken.handle_timeout(now, outbox),
        }
    }

    /// When it wants to be told that time has passed.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        match self {
            Hearing::Streamed(streamed) => streamed.poll_timeout(),
            Hearing::Spoken(spoken) => spoken.poll_timeout(),
        }
    }

    /// What is not final is said once more, to somebody else.
    pub(super) fn hand_over(&mut self) {
        match self {
            Hearing::Streamed(streamed) => streamed.hand_over(),
            // Of an utterance that is not understood yet nothing is known.
            Hearing::Spoken(_) => {}
        }
    }

    /// Every request is given up.
    pub(super) fn leave(&mut self, outbox: &mut Outbox) {
        match self {
            Hearing::Streamed(streamed) => streamed.leave(outbox),
            Hearing::Spoken(spoken) => spoken.leave(outbox),
        }
    }

    /// What was understood next.
    pub(super) fn poll(&mut self) -> Option<Understood> {
        self.understood().pop_front()
    }

    fn understood(&mut self) -> &mut VecDeque<Understood> {
        match self {
            Hearing::Streamed(streamed) => &mut streamed.understood,
            Hearing::Spoken(spoken) => &mut spoken.understood,
        }
    }
}

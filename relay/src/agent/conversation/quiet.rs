//! Whether anybody is still there: an agent that hears nothing for a while asks once, and then says goodbye.

use std::time::Duration;

use protocol::Time;

/// How long somebody may speak before there are words of it: the longest utterance that a recogniser is asked about at a time.
const UNDERSTANDING: Duration = Duration::from_secs(25);

/// What an agent does when nobody says anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patience {
    /// How long it waits before it asks, and then before it says goodbye. Zero is for ever.
    pub after: Duration,
    /// What it asks; nothing if it is empty.
    pub question: String,
    /// What it says before it ends the call; nothing if it is empty.
    pub goodbye: String,
}

/// Waits for the user.
#[derive(Debug)]
pub(super) struct Quiet {
    patience: Patience,
    stage: Stage,
    /// When it has waited for long enough. `None` while the agent thinks or speaks, and on hold.
    due: Option<Time>,
    /// While the user is on hold: whether somebody is waited for once they are back.
    on_hold: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Waits,
    HasAsked,
    SaysGoodbye,
}

/// What comes of waiting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Waited {
    /// These words are to be said.
    Say(String),
    /// The call is to end.
    End,
}

impl Quiet {
    pub(super) fn new(patience: Patience) -> Quiet {
        let due = (patience.after > Duration::ZERO).then_some(Time::ZERO);
        Quiet { patience, stage: Stage::Waits, due, on_hold: None }
    }

    /// The user has said something, or has typed.
    pub(super) fn heard(&mut self, now: Time) {
        self.stage = Stage::Waits;
        self.wait(now, Duration::ZERO);
    }

    /// The user makes a sound, which may become words: where they are waited for, they have longer.
    pub(super) fn hears(&mut self, now: Time) {
        if self.due.is_some() {
            self.wait(now, UNDERSTANDING);
        }
    }

    /// The agent thinks or speaks: nobody is waited for.
    pub(super) fn pause(&mut self) {
        self.due = None;
        self.on_hold = self.on_hold.and(Some(false));
    }

    /// The user is on hold and need not say anything, or is back and has as long as ever.
    pub(super) fn hold(&mut self, now: Time, on_hold: bool) {
        if on_hold {
            self.on_hold = self.on_hold.or(Some(self.due.take().is_some()));
        } else if self.on_hold.take() == Some(true) {
            self.wait(now, Duration::ZERO);
        }
    }

    /// The agent has nothing more to say. What that was may have been its goodbye.
    pub(super) fn go_on(&mut self, now: Time) -> Option<Waited> {
        if self.stage == Stage::SaysGoodbye {
            self.due = None;
            return Some(Waited::End);
        }
        self.wait(now, Duration::ZERO);
        None
    }

    /// What is to be done at this time, if it has waited for long enough.
    pub(super) fn poll(&mut self, now: Time) -> Option<Waited> {
        let due = self.due.filter(|due| *due <= now)?;
        if due == Time::ZERO {
            // The call has only begun.
            return self.go_on(now);
        }
        let words = match self.stage {
            Stage::Waits => {
                self.stage = Stage::HasAsked;
                self.patience.question.clone()
            }
            Stage::HasAsked | Stage::SaysGoodbye => {
                self.stage = Stage::SaysGoodbye;
                self.patience.goodbye.clone()
            }
        };
        if words.is_empty() { self.go_on(now) } else { Some(Waited::Say(words)) }
    }

    /// When [`Quiet::poll`] is due.
    pub(super) fn due(&self) -> Option<Time> {
        self.due
    }

    fn wait(&mut self, now: Time, more: Duration) {
        if let Some(waits) = &mut self.on_hold {
            *waits = true;
        } else if self.patience.after > Duration::ZERO {
            self.due = Some(now + self.patience.after + more);
        }
    }
}

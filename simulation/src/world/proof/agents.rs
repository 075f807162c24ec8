//! What has to be true of what agents do: of their answers, and of what they say that providers have used.

use std::time::Duration;

use ::relay::money::bill::Quantity;
use protocol::client::State;

use super::super::World;
use super::super::truth::Epoch;

/// How long an answer may take on a bad day of the providers, behind another one that takes as long as that.
const PATIENCE: Duration = Duration::from_secs(100);

/// Recognisers and voices are paid for what they were given, all of it: samples to understand, characters to speak.
pub(super) fn check_given(epochs: &[Epoch]) -> Result<(), String> {
    for epoch in epochs {
        let log = epoch.log.lock();
        for (request, given) in &epoch.given {
            let used = match log.spent.get(request) {
                Some(Some(
                    Quantity::Characters(used) | Quantity::Samples(used) | Quantity::Repeated(used),
                )) => used,
                _ => continue,
            };
            if used != given {
                return Err(format!("request {request} was given {given}, and {used} are said to be used"));
            }
        }
    }
    Ok(())
}

impl World<'_> {
    /// What has no words interrupts no answer: a cough, a key, a door.
    pub(super) fn check_cuts(&self, epochs: &[Epoch]) -> Result<(), String> {
        if !self.scenario.who.is_conversation() {
            return Ok(());
        }
        for epoch in epochs {
            let log = epoch.log.lock();
            if log.cuts > 0 && log.words == 0 {
                return Err(format!("{} answers were cut, and nobody had said a word", log.cuts));
            }
        }
        Ok(())
    }

    /// Who has stayed on the line has an answer to every turn, or was told why there is none.
    pub(in super::super) fn check_answered(&mut self) -> Result<(), String> {
        let is_up = self.client.state() == State::Connected;
        if self.scenario.lingers.is_none() || !self.scenario.is_fair() || !is_up {
            return Ok(());
        }
        for live in &self.live {
            let log = live.log.lock();
            // A bad line may bring it late.
            if let Some((said, waits)) = log.waiting.too_long(self.now, PATIENCE) {
                return Err(format!("{said:?} has no answer, {waits:?} after it was said or asked about"));
            }
            if let Some(words) = log.is_left_unsaid(self.now, PATIENCE) {
                return Err(format!(
                    "{words:?} is neither said nor taken back, and the user has long been silent"
                ));
            }
        }
        self.tally.awaited += 1;
        Ok(())
    }
}

//! What has to be true of what agents do: of their answers, and of what they say that providers have used.

use std::time::Duration;

use ::relay::money::bill::Quantity;
use protocol::client::State;

use super::super::World;
use super::super::truth::Epoch;
use crate::watched::Patience;

/// How long an answer may take on a bad day of the providers, behind another one that takes as long as that, and behind what the agent is told to say;
/// and in all, if a model has to be asked anew. [`crate::scenario`] has users stay on the line for longer.
const PATIENCE: Patience =
    Patience { since_asked: Duration::from_secs(130), in_all: Duration::from_secs(240) };

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

/// Nothing is booked of a request that has reached nobody.
pub(super) fn check_reached(epochs: &[Epoch]) -> Result<(), String> {
    for epoch in epochs {
        let log = epoch.log.lock();
        let used = log.spent.iter().filter(|(_, used)| used.is_some());
        let mut unreached = used.filter(|(request, _)| !epoch.reached.contains(request));
        if let Some((request, used)) = unreached.find(|(request, _)| epoch.billed.contains_key(request)) {
            return Err(format!("request {request} has reached nobody, and is said to have used {used:?}"));
        }
    }
    Ok(())
}

impl World<'_> {
    /// Who has stayed on the line has an answer to every turn, or was told why there is none.
    pub(in super::super) fn check_answered(&mut self) -> Result<(), String> {
        let is_up = self.client.state() == State::Connected;
        let is_fair = self.scenario.is_fair() && !self.truth.is_erased && !self.truth.is_lossy;
        if self.scenario.lingers.is_none() || !is_fair || !is_up {
            return Ok(());
        }
        // A relay that does not know yet that another one has the session answers nobody.
        let used = self.page.connection;
        for live in self.live.iter().filter(|live| live.connection == used) {
            let log = live.log.lock();
            // A bad line may bring it late.
            if let Some((said, waits)) = log.waiting.too_long(self.now, PATIENCE) {
                return Err(format!("{said:?} has no answer, {waits:?} after it was said"));
            }
            if let Some(words) = log.is_left_unsaid(self.now, PATIENCE.since_asked) {
                return Err(format!(
                    "{words:?} is neither said nor taken back, and the user has long been silent"
                ));
            }
        }
        self.tally.awaited += 1;
        Ok(())
    }
}

//! For how many samples a user is charged for each recogniser that hears all of a call.

use std::collections::BTreeMap;

use relay::money::tab::RequestId;

/// Samples that a recogniser heard at the user's expense.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Charged {
    /// Those that came while it was there.
    pub(crate) at_least: u64,
    /// Those with what came before, while none was there: it hears as much of that as was not given up by then.
    pub(crate) at_most: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Listening {
    by_request: BTreeMap<RequestId, Charged>,
    listener: Option<RequestId>,
    /// Samples that came while no recogniser was there.
    unheard: u64,
}

impl Listening {
    /// The recogniser of this request is there.
    pub(super) fn begin(&mut self, request: RequestId) {
        if self.listener.replace(request) != Some(request) {
            let unheard = std::mem::take(&mut self.unheard);
            self.by_request.entry(request).or_default().at_most += unheard;
        }
    }

    /// Of what came while no recogniser was there only so many samples are kept for one, the last ones.
    pub(super) fn drop_but(&mut self, kept: u64) {
        self.unheard = self.unheard.min(kept);
    }

    /// A request is over.
    pub(super) fn end(&mut self, request: RequestId) {
        self.listener.take_if(|listener| *listener == request);
    }

    /// Audio comes that somebody is to hear.
    pub(super) fn hear(&mut self, samples: u64) {
        let Some(listener) = self.listener else {
            self.unheard += samples;
            return;
        };
        let charged = self.by_request.entry(listener).or_default();
        charged.at_least += samples;
        charged.at_most += samples;
    }

    /// What the user was charged for this request.
    pub(crate) fn of(&self, request: RequestId) -> Charged {
        self.by_request.get(&request).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recogniser_is_charged_for_what_comes_while_it_is_there_and_at_most_for_what_came_before() {
        let (first, second) = (RequestId(0), RequestId(1));
        let mut listening = Listening::default();
        listening.hear(100);
        listening.begin(first);
        listening.hear(1_000);
        listening.begin(first);
        listening.end(second);
        listening.hear(1_000);
        listening.end(first);
        listening.hear(10);
        listening.drop_but(7);
        listening.begin(second);
        listening.drop_but(0);
        assert_eq!(listening.of(first), Charged { at_least: 2_000, at_most: 2_100 });
        assert_eq!(listening.of(second), Charged { at_least: 0, at_most: 7 });
    }
}

//! How often recognisers are asked about one utterance for nothing, and may bill it: the operator pays for that, so it has a bound.

use std::collections::BTreeSet;

use relay::money::bill::Quantity;
use relay::money::tab::RequestId;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct InVain {
    /// The request about the utterance that was asked about last, and the utterance.
    asked: Option<(RequestId, Vec<i16>)>,
    /// Requests about it that the user does not pay for.
    times: usize,
    /// Who was asked about any.
    recognisers: BTreeSet<usize>,
}

impl InVain {
    /// This recogniser is asked about an utterance.
    pub(super) fn ask(&mut self, request: RequestId, recogniser: usize, speech: &[i16]) {
        if self.asked.as_ref().is_none_or(|(_, before)| before != speech) {
            self.times = 0;
        }
        self.asked = Some((request, speech.to_vec()));
        self.recognisers.insert(recogniser);
    }

    /// A request has used this. `false` if the utterance was billed for nothing more often than there are recognisers, and once.
    pub(super) fn spend(&mut self, request: RequestId, used: Option<Quantity>) -> bool {
        if self.asked.as_ref().is_none_or(|(asked, _)| *asked != request) {
            return true;
        }
        match used {
            Some(Quantity::Repeated(_) | Quantity::RepeatedTokens(_)) => self.times += 1,
            // Somebody has understood it, and the next one is another one even if it sounds the same.
            Some(_) => self.asked = None,
            None => {}
        }
        self.times <= self.recognisers.len() + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_utterance_is_billed_for_nothing_by_each_recogniser_once_and_once_more_at_most() {
        let mut in_vain = InVain::default();
        let mut next = 0;
        let mut asks = |recogniser: usize, speech: &[i16], used: Option<Quantity>| {
            next += 1;
            in_vain.ask(RequestId(next), recogniser, speech);
            in_vain.spend(RequestId(next), used) && in_vain.spend(RequestId(0), Some(Quantity::Repeated(9)))
        };
        let repeated = Some(Quantity::Repeated(2));
        for speech in [[1, 2], [3, 4]] {
            assert!(asks(0, &speech, repeated) && asks(1, &speech, repeated) && asks(0, &speech, repeated));
            assert!(asks(1, &speech, None), "whoever was not reached bills nothing");
            assert!(!asks(1, &speech, repeated));
        }
        assert!(asks(0, &[5, 6], Some(Quantity::Samples(2))) && asks(0, &[5, 6], repeated));
    }
}

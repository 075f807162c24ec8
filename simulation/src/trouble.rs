//! Kinds of trouble that can be left out of every call: a call that fails with one of them and not without it shows where to look.

/// A kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Networks that lose, cut and delay.
    Network,
    /// Relays that are killed or told to stop.
    Relays,
    /// A database that is away, refuses, or loses its answers; a disk that is full.
    Store,
    /// Money that is short, and somebody else who spends it.
    Money,
    /// Providers that fail.
    Faults,
    /// Recognisers and voices that stall.
    Stall,
    /// Recognisers and voices that say the same twice, and something behind their end.
    Twice,
    /// Recognisers whose words come after the end of their turn.
    Late,
    /// Recognisers that say in the end that they bill other than they were given.
    Bill,
    /// Users who cough.
    Cough,
    /// Models that speak Anthropic's dialect.
    Anthropic,
    /// Pages and administrators that have the agent say something.
    Say,
}

/// Every kind, by its word on the command line.
const WORDS: [(&str, Trouble); 12] = [
    ("network", Trouble::Network),
    ("relays", Trouble::Relays),
    ("store", Trouble::Store),
    ("money", Trouble::Money),
    ("faults", Trouble::Faults),
    ("stall", Trouble::Stall),
    ("twice", Trouble::Twice),
    ("late", Trouble::Late),
    ("bill", Trouble::Bill),
    ("cough", Trouble::Cough),
    ("anthropic", Trouble::Anthropic),
    ("say", Trouble::Say),
];

/// The kinds of trouble that are left out.
#[derive(Clone, Debug, Default)]
pub struct Without(Vec<Trouble>);

impl Without {
    /// The kinds that these words name, which commas part.
    ///
    /// # Errors
    /// If there is no kind of one of the words: with the words that there are.
    pub fn named(words: &str) -> Result<Without, String> {
        let kind = |word: &str| WORDS.iter().find(|(known, _)| *known == word).map(|(_, kind)| *kind);
        let kinds: Option<Vec<Trouble>> = words.split(',').map(kind).collect();
        kinds.map(Without).ok_or_else(|| {
            let known: Vec<&str> = WORDS.iter().map(|(word, _)| *word).collect();
            format!("{words}: the kinds of trouble are {}", known.join(", "))
        })
    }

    pub(crate) fn leaves_out(&self, kind: Trouble) -> bool {
        self.0.contains(&kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fixed, TRACED, Tally, Trace};

    /// In so many calls each kind of trouble might have happened and did not in some.
    const SEEDS: u64 = 150;

    #[test]
    fn each_word_leaves_out_its_own_kind_and_one_that_names_none_is_refused_with_those_that_do() {
        for (word, kind) in WORDS {
            let without = Without::named(word).expect("it names a kind");
            assert!(WORDS.iter().all(|(_, other)| without.leaves_out(*other) == (*other == kind)), "{word}");
        }
        let without = Without::named("stall,late").expect("both name a kind");
        assert!(without.leaves_out(Trouble::Stall) && without.leaves_out(Trouble::Late));
        let refused = Without::named("stall,slow").expect_err("there is no such kind");
        assert!(refused.contains("twice"), "{refused}");
    }

    /// A call as it happens, without its first line, which says what it may be like.
    fn traced(fixed: &Fixed, seed: u64) -> (Tally, String, Vec<String>) {
        TRACED.take();
        let tally = crate::run(fixed, seed, Trace(true));
        let mut lines = TRACED.take();
        let first = lines.remove(0);
        (tally.unwrap_or_else(|cause| panic!("seed {seed}: {cause}")), first, lines)
    }

    #[test]
    fn a_call_without_a_kind_of_trouble_that_does_not_happen_in_it_is_the_same_call() {
        type Count = fn(&Tally) -> u64;
        let kinds: [(&str, Count); 5] = [
            ("faults", |tally| tally.failing),
            ("stall", |tally| tally.stalls),
            ("twice", |tally| tally.repeats),
            ("late", |tally| tally.late),
            ("say", |tally| tally.says),
        ];
        let mut spared = [0; 5];
        for seed in 1..=SEEDS {
            let (tally, first, lines) = traced(&Fixed::default(), seed);
            for (place, (word, count)) in kinds.iter().enumerate() {
                if count(&tally) > 0 {
                    continue;
                }
                let without = Without::named(word).expect("it names a kind");
                let (_, left, rest) = traced(&Fixed::default().without(without), seed);
                spared[place] += u64::from(first != left);
                let differs = lines.iter().zip(&rest).find(|(one, other)| one != other);
                assert_eq!(differs, None, "seed {seed} without {word}");
                assert_eq!(lines.len(), rest.len(), "seed {seed} without {word}");
            }
        }
        assert!(spared.iter().all(|calls| *calls > 0), "it might have happened in {spared:?} calls");
    }

    #[test]
    fn recognisers_bill_what_they_were_given_where_false_bills_are_left_out() {
        let honest = Fixed::default().without(Without::named("bill").expect("it names a kind"));
        let mut false_bills = 0;
        for seed in 1..=SEEDS {
            let (with, ..) = traced(&Fixed::default(), seed);
            let (without, ..) = traced(&honest, seed);
            false_bills += with.excess + with.credits;
            assert_eq!((without.excess, without.credits), (0, 0), "seed {seed}");
        }
        assert!(false_bills > 0);
    }
}

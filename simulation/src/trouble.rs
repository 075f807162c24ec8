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
    /// Users who cough.
    Cough,
    /// Models that speak Anthropic's dialect.
    Anthropic,
}

/// Every kind, by its word on the command line.
const WORDS: [(&str, Trouble); 10] = [
    ("network", Trouble::Network),
    ("relays", Trouble::Relays),
    ("store", Trouble::Store),
    ("money", Trouble::Money),
    ("faults", Trouble::Faults),
    ("stall", Trouble::Stall),
    ("twice", Trouble::Twice),
    ("late", Trouble::Late),
    ("cough", Trouble::Cough),
    ("anthropic", Trouble::Anthropic),
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
}

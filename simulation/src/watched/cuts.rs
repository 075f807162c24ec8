//! Why answers were dropped where they were: each of them for words of the user, or for something that the agent was told to say at once.

/// See the module. An agent is told one thing, and then it is heard what it does: what cuts an answer is in the same step as the cut.
#[derive(Debug, Default)]
pub(crate) struct Cuts {
    /// Cuts that had their reason.
    pub(crate) explained: u64,
    /// Cuts of this step whose reason did not come yet.
    open: u64,
    /// The reason is known of whatever is cut in this step.
    is_explained: bool,
}

impl Cuts {
    /// Another step begins, in which the agent may be told to say something at once. `false` if an answer was cut in the one before, and there was
    /// no reason.
    pub(super) fn begin(&mut self, interrupts: bool) -> bool {
        self.is_explained = interrupts;
        std::mem::take(&mut self.open) == 0
    }

    /// The user is heard to say something, or has typed it.
    pub(super) fn say(&mut self) {
        self.is_explained = true;
        self.explained += std::mem::take(&mut self.open);
    }

    /// An answer is dropped where it is, while the call goes on. Of words that drop it is said behind that, or before.
    pub(super) fn cut(&mut self) {
        if self.is_explained {
            self.explained += 1;
        } else {
            self.open += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_cut_by_words_of_the_same_step_and_not_by_those_of_an_earlier_one() {
        let mut cuts = Cuts::default();
        assert!(cuts.begin(false));
        cuts.cut();
        cuts.say();
        assert!(cuts.begin(false), "the words came behind it");
        cuts.say();
        cuts.cut();
        assert!(cuts.begin(false), "the words came before it");
        cuts.cut();
        assert!(!cuts.begin(false), "that was a cough");
        assert!(cuts.begin(true), "it is said once");
        cuts.cut();
        assert!(cuts.begin(false), "the agent was told to say something at once");
        assert_eq!(cuts.explained, 3);
    }
}

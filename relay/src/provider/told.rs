//! Words that were told as final before their recogniser has said that they are: it tells them again, and whoever asked is told once.
//!
//! Marks and capitals change when words become final, so only letters are compared.

/// Words that were told.
#[derive(Default)]
pub(super) struct Told {
    letters: String,
    count: usize,
}

impl Told {
    /// How many words they are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// How many words this text has in common with them, from the first one on.
    pub(super) fn common(&self, text: &str) -> usize {
        let mut told = self.letters.chars();
        words(text).take_while(|(word, _)| letters(word).all(|letter| told.next() == Some(letter))).count()
    }

    /// The words of this text were told as well.
    pub(super) fn add(&mut self, text: &str) {
        for (word, _) in words(text) {
            self.add_word(word);
        }
    }

    /// This word was told as well.
    pub(super) fn add_word(&mut self, word: &str) {
        self.letters.extend(letters(word));
        self.count += 1;
    }

    /// What of a text is behind them; `None` if the text begins with other words.
    pub(super) fn behind<'a>(&self, text: &'a str) -> Option<&'a str> {
        let mut told = self.letters.chars().peekable();
        if told.peek().is_none() {
            return Some(text);
        }
        for (word, end) in words(text) {
            if !letters(word).all(|letter| told.next() == Some(letter)) {
                return None;
            }
            if told.peek().is_none() {
                return Some(after(text, end));
            }
        }
        // All of it was told, and more.
        Some("")
    }

    /// The words of this text are not told again.
    pub(super) fn forget(&mut self, text: &str) {
        self.letters = self.letters.chars().skip(letters(text).count()).collect();
        let left = self.count.saturating_sub(words(text).count());
        self.count = if self.letters.is_empty() { 0 } else { left.max(1) };
    }
}

/// What of a text is behind so many of its words.
pub(super) fn behind_words(text: &str, count: usize) -> &str {
    let Some(last) = count.checked_sub(1) else { return text };
    words(text).nth(last).map_or("", |(_, end)| after(text, end))
}

/// What of a text is behind this place, unless that is a mark of the word before it.
fn after(text: &str, end: usize) -> &str {
    let rest = text[end..].trim_start();
    if letters(rest).next().is_some() { rest } else { "" }
}

/// The words of a text, and where each ends in it. What is written without spaces has a word in each of its signs.
pub(super) fn words(text: &str) -> impl Iterator<Item = (&str, usize)> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let left = text[from..].trim_start();
        let first = left.chars().next()?;
        let ends = |c: char| c.is_whitespace() || is_sign(c);
        let length = if is_sign(first) { first.len_utf8() } else { left.find(ends).unwrap_or(left.len()) };
        from = text.len() - left.len() + length;
        Some((&left[..length], from))
    })
}

/// From here on scripts have no spaces: Chinese, Japanese.
fn is_sign(c: char) -> bool {
    c >= '\u{2E80}'
}

/// What is left of a text without marks and capitals, which change when a turn ends.
pub(super) fn letters(text: &str) -> impl Iterator<Item = char> {
    text.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Told {
        let mut told = Told::default();
        told.add(text);
        told
    }

    #[test]
    fn what_is_behind_words_that_were_told_does_not_depend_on_marks_capitals_and_spaces() {
        for (before, text, behind) in [
            ("", "Hello.", Some("Hello.")),
            ("hello there", "Hello, there! How are you?", Some("How are you?")),
            ("twenty one", "Twenty-one of them", Some("of them")),
            ("hello there", "Hello there.", Some("")),
            ("hello there", "Hello", Some("")),
            ("hello there", "", Some("")),
            ("hello there", "Help", None),
            ("你好", "你好。", Some("")),
            ("你好", "你好吗", Some("吗")),
            // A mark alone takes nothing away.
            ("?", "Hello", Some("Hello")),
        ] {
            assert_eq!(told(before).behind(text), behind, "{text:?} behind {before:?}");
        }
        for (text, common) in [("I have 21 tables", 2), ("i have, Twenty", 3), ("we have", 0), ("", 0)] {
            assert_eq!(told("I have twenty one").common(text), common, "{text:?}");
        }
        assert_eq!(behind_words("One, two. Three!", 2), "Three!");
        assert_eq!(behind_words("One, two.", 2), "");
        assert_eq!(behind_words("One", 5), "");
        assert_eq!(behind_words("One", 0), "One");
    }

    #[test]
    fn what_has_come_again_in_parts_is_forgotten_part_by_part() {
        let mut told = told("I want to book");
        told.forget("I want");
        assert_eq!((told.behind("to book a table"), told.count()), (Some("a table"), 2));
        told.forget("to book");
        assert_eq!((told.behind("to begin with"), told.count()), (Some("to begin with"), 0));
    }

    #[test]
    fn what_is_written_without_spaces_has_a_word_in_each_sign() {
        let found: Vec<&str> = words(" Hello,  人々 100\u{a0}x ").map(|(word, _)| word).collect();
        assert_eq!(found, ["Hello,", "人", "々", "100", "x"]);
    }
}

//! Whether words that a recogniser heard are the agent's own.

use std::collections::VecDeque;

/// The agent's newest words, so many characters of them: a piece that is told when its sound begins, and the one before it. In a script without
/// spaces each character is a word.
const REMEMBERED: usize = 800;
/// Of what was heard, the newest words are looked at, so many of them.
const LOOKED_AT: usize = 30;
/// So many hundredths of a whole turn's words have to be the agent's, in its order: a recogniser mishears an echo now and then.
const ALIKE_PERCENT: usize = 60;
/// As long as more may follow, so many hundredths are enough, and so many others are no sign of somebody else.
const ALIKE_PERCENT_SO_FAR: usize = 40;
const OTHERS_SO_FAR: usize = 4;

/// What the agent has said of late.
#[derive(Debug, Default)]
pub(super) struct Echo {
    said: VecDeque<String>,
    /// Characters of those.
    characters: usize,
}

impl Echo {
    pub(super) fn agent_says(&mut self, text: &str) {
        for word in words(text) {
            self.characters += word.chars().count();
            self.said.push_back(word);
            while self.characters > REMEMBERED
                && let Some(oldest) = self.said.pop_front()
            {
                self.characters -= oldest.chars().count();
            }
        }
    }

    /// Whether these are words of the agent, or as long as the turn is not whole, may be.
    pub(super) fn has(&self, text: &str, is_whole: bool) -> bool {
        let heard = words(text);
        let heard = &heard[heard.len().saturating_sub(LOOKED_AT)..];
        let common = self.in_common(heard);
        let is_alike = |percent: usize| common * 100 >= heard.len() * percent;
        let is_its_own = match is_whole {
            true => is_alike(ALIKE_PERCENT),
            false => is_alike(ALIKE_PERCENT_SO_FAR) || heard.len() - common <= OTHERS_SO_FAR,
        };
        !heard.is_empty() && is_its_own
    }

    /// Words of the longest sequence that both have.
    fn in_common(&self, heard: &[String]) -> usize {
        let mut lengths = vec![0; heard.len() + 1];
        for said in &self.said {
            let mut before = 0;
            for (index, word) in heard.iter().enumerate() {
                let above = lengths[index + 1];
                lengths[index + 1] = if word == said { before + 1 } else { above.max(lengths[index]) };
                before = above;
            }
        }
        lengths[heard.len()]
    }
}

/// The words of a text as they sound: without punctuation, in small letters. Where words have no spaces between them, each letter is one.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for c in text.chars() {
        let stands_alone = c >= '\u{2E80}';
        if stands_alone && c.is_alphanumeric() {
            words.extend([c.to_string(), String::new()]);
        } else if c.is_alphanumeric() {
            if let Some(word) = words.last_mut() {
                word.extend(c.to_lowercase());
            }
        } else if !matches!(c, '\'' | '’') {
            words.push(String::new());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_agents_own_if_enough_of_them_are_in_its_order() {
        let mut echo = Echo::default();
        echo.agent_says("One two three four five six. Seven, eight!");
        for (text, is_whole, is_own) in [
            ("", true, false),
            ("", false, false),
            // Three fifths of a whole turn, in order.
            ("one x three y five", true, true),
            ("one x y z five", true, false),
            ("five four three two one", true, false),
            // Two fifths of one that may go on, or no more than four others.
            ("a b c d e f one two three four", false, true),
            ("a b c d e f one two three", false, false),
            ("a b c d one", false, true),
            ("a b c d e one", false, false),
        ] {
            assert_eq!(echo.has(text, is_whole), is_own, "{text}");
        }
    }

    #[test]
    fn the_newest_words_of_the_agent_and_of_the_user_are_compared() {
        let mut echo = Echo::default();
        echo.agent_says("zebra");
        echo.agent_says(&"la ".repeat((REMEMBERED - "zebra".len()) / 2));
        assert!(echo.has("Zebra?", true));
        echo.agent_says("la");
        assert!(!echo.has("Zebra?", true));
        assert!(echo.has(&format!("{}{}", "no ".repeat(12), "la ".repeat(18)), true));
        assert!(!echo.has(&format!("{}{}", "no ".repeat(13), "la ".repeat(17)), true));
        assert!(echo.has(&format!("{}{}", "no ".repeat(100), "la ".repeat(30)), true), "thirty count");
    }
}

//! What a language model thinks aloud: `<think>…</think>` at the beginning of its text, which is neither spoken nor shown.
//!
//! The templates of some models, such as DeepSeek-R1 and Qwen3's thinking ones, end the prompt with the opening tag: the text then has the closing one
//! only. Nobody can tell such a thought from words before it ends, so it has to be said of a model.

/// How a thought begins.
const OPEN: &str = "<think>";
/// How it ends.
const CLOSE: &str = "</think>";

/// Tells thoughts from words while a text comes, however it is cut.
///
/// A thought begins only where no word was shown yet, white space apart; later the tag is a word like any other. White space around a thought
/// is part of it. A thought that never ends lasts to the end of the text. Every byte is a word's or a thought's, and time and room are those of
/// the text.
#[derive(Debug)]
pub(super) struct Thoughts(Place);

#[derive(Debug)]
enum Place {
    /// No word was shown.
    Before {
        /// White space, and what may become the opening tag: nothing else.
        held: String,
        /// So many bytes of the opening tag are at the end of `held`.
        matched: usize,
        /// There was a thought.
        thought: bool,
    },
    /// In a thought, after so many bytes of the closing tag.
    Inside { matched: usize },
    /// Words were shown.
    After,
}

/// What a piece of text was.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// Words, for whoever reads or listens.
    pub(super) words: String,
    /// Bytes of thoughts.
    pub(super) thought: usize,
}

impl Thoughts {
    /// For one text, which is in a thought from its beginning if the model `thinks_first`.
    pub(super) fn new(thinks_first: bool) -> Thoughts {
        Thoughts(if thinks_first { Place::Inside { matched: 0 } } else { Place::before(false) })
    }

    /// The next piece of the text.
    pub(super) fn read(&mut self, text: &str) -> Told {
        let mut told = Told::default();
        for (at, next) in text.char_indices() {
            match &mut self.0 {
                Place::After => {
                    told.words.push_str(&text[at..]);
                    break;
                }
                Place::Before { held, matched: 0, thought } if next.is_whitespace() => {
                    if *thought {
                        told.thought += next.len_utf8();
                    } else {
                        held.push(next);
                    }
                }
                Place::Before { held, matched, .. } if OPEN[*matched..].starts_with(next) => {
                    held.push(next);
                    *matched += 1;
                    if *matched == OPEN.len() {
                        told.thought += held.len();
                        self.0 = Place::Inside { matched: 0 };
                    }
                }
                Place::Before { held, .. } => {
                    told.words.push_str(held);
                    told.words.push(next);
                    self.0 = Place::After;
                }
                Place::Inside { matched } => {
                    told.thought += next.len_utf8();
                    // Only its first character is `<`, so what does not go on may begin anew there and nowhere else.
                    *matched = if CLOSE[*matched..].starts_with(next) {
                        *matched + 1
                    } else {
                        usize::from(next == '<')
                    };
                    if *matched == CLOSE.len() {
                        self.0 = Place::before(true);
                    }
                }
            }
        }
        told
    }

    /// The text is over: what was held back is a word after all.
    pub(super) fn end(&mut self) -> String {
        match std::mem::replace(&mut self.0, Place::After) {
            Place::Before { held, .. } => held,
            Place::Inside { .. } | Place::After => String::new(),
        }
    }
}

impl Place {
    fn before(thought: bool) -> Place {
        Place::Before { held: String::new(), matched: 0, thought }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of a text in these pieces.
    fn read<'a>(pieces: impl IntoIterator<Item = &'a str>) -> Told {
        read_by(Thoughts::new(false), pieces)
    }

    fn read_by<'a>(mut thoughts: Thoughts, pieces: impl IntoIterator<Item = &'a str>) -> Told {
        let mut all = Told::default();
        for piece in pieces {
            let told = thoughts.read(piece);
            all.words.push_str(&told.words);
            all.thought += told.thought;
        }
        all.words.push_str(&thoughts.end());
        assert_eq!(thoughts.end(), "", "it ends once");
        all
    }

    const TEXTS: [(&str, &str); 19] = [
        ("", ""),
        ("Hello", "Hello"),
        ("  Hello <3", "  Hello <3"),
        ("<think>a plan</think>Hello", "Hello"),
        ("\n <think>\na plan ä\u{2028}\n</think>\n\nHello", "Hello"),
        ("<think>one</think> <think>two</think>\nHello", "Hello"),
        ("<think></think>Hello", "Hello"),
        // Never closed, or not wholly.
        ("<think>a plan", ""),
        ("<think>a plan</think", ""),
        ("<think>a < b, </thin </</think>Hello", "Hello"),
        // Never opened wholly.
        ("<thin", "<thin"),
        ("<<think>a</think>", "<<think>a</think>"),
        (" <thinner>", " <thinner>"),
        // Not at the beginning.
        ("Say <think>a</think>", "Say <think>a</think>"),
        ("<think>a</think>Say <think>b</think>", "Say <think>b</think>"),
        ("</think>Hello", "</think>Hello"),
        ("<THINK>a", "<THINK>a"),
        // Nothing but white space.
        (" \n ", " \n "),
        ("<think>a</think> <thin", "<thin"),
    ];

    #[test]
    fn words_and_thoughts_are_told_apart_however_the_text_is_cut() {
        for (text, words) in TEXTS {
            let whole = read([text]);
            assert_eq!(whole.words, words, "{text:?}");
            assert_eq!(whole.words.len() + whole.thought, text.len(), "{text:?}: no byte is lost");
            let places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
            for &one in &places {
                for &other in places.iter().filter(|other| **other >= one) {
                    let pieces = [&text[..one], &text[one..other], &text[other..]];
                    assert_eq!(read(pieces), whole, "{pieces:?}");
                }
            }
            let single = text.split("").filter(|piece| !piece.is_empty());
            assert_eq!(read(single), whole, "{text:?} character by character");
        }
    }

    #[test]
    fn who_thinks_first_has_said_nothing_before_the_end_of_that() {
        for (text, words) in [
            ("", ""),
            ("a plan</think>Hello", "Hello"),
            ("\na < b, </thin </</think>\n\nHello", "Hello"),
            ("<think>a plan</think> Hello", "Hello"),
            ("one</think><think>two</think>Hello", "Hello"),
            ("a</think>Say </think>b", "Say </think>b"),
            // Never closed, or not wholly.
            ("a plan", ""),
            ("a plan</think", ""),
        ] {
            let whole = read_by(Thoughts::new(true), [text]);
            assert_eq!(whole.words, words, "{text:?}");
            assert_eq!(whole.words.len() + whole.thought, text.len(), "{text:?}: no byte is lost");
            let single = text.split("").filter(|piece| !piece.is_empty());
            assert_eq!(read_by(Thoughts::new(true), single), whole, "{text:?} character by character");
        }
    }

    /// Every text of up to seven of these pieces, in these pieces: what is shown is what a reader of the whole would show.
    #[test]
    fn every_short_text_is_read_as_by_one_who_has_all_of_it() {
        const PIECES: [&str; 6] = ["<think>", "</think>", "<th", "ink>", " ", "a"];
        for length in 0..=7 {
            for number in 0..PIECES.len().pow(length) {
                let pieces: Vec<&str> = (0..length)
                    .map(|place| PIECES[number / PIECES.len().pow(place) % PIECES.len()])
                    .collect();
                assert_eq!(read(pieces.iter().copied()).words, shown(&pieces.concat()), "{pieces:?}");
            }
        }
    }

    /// The rule, for a text that is there as a whole.
    fn shown(text: &str) -> &str {
        let mut rest = text;
        while let Some(thought) = rest.trim_start().strip_prefix(OPEN) {
            let Some((_, after)) = thought.split_once(CLOSE) else { return "" };
            rest = after.trim_start();
        }
        rest
    }
}

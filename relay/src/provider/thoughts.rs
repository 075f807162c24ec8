//! What a language model thinks aloud: `<think>…</think>` in its text, which is neither spoken nor shown.
//!
//! The templates of some models, such as DeepSeek-R1 and Qwen3's thinking ones, end the prompt with the opening tag: the text then has the closing one
//! only. Nobody can tell such a thought from words before it ends, so it has to be said of a model.

/// How a thought begins.
const OPEN: &str = "<think>";
/// How it ends.
const CLOSE: &str = "</think>";
/// So many backticks at the beginning of a line begin a block of code, at least.
const FENCE: usize = 3;

/// Tells thoughts from words while a text comes, however it is cut.
///
/// A thought begins anywhere, any number of times, and one that never ends lasts to the end of the text. A closing tag outside of a thought is left
/// out alone. White space before the first word is part of a thought that is there; between two words that a thought has parted, a space is put in
/// where none is. In a block of code, and alone between backticks, a tag is a word like any other. Every byte is a word's or a thought's, and
/// time and room are those of the text.
#[derive(Debug, Default)]
pub(super) struct Thoughts {
    /// In a thought.
    inside: bool,
    /// What may become a tag, or a tag of which the next character tells whether it is quoted.
    tag: String,
    /// Whether the character before `tag` is a backtick.
    after_backtick: bool,
    /// Backticks of this line so far, since the last tag in it.
    backticks: usize,
    /// White space before the first word, while no thought has come.
    lead: String,
    /// The last character that was shown.
    last: Option<char>,
    /// A tag was left out since that character.
    is_parted: bool,
    code: Code,
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
        Thoughts { inside: thinks_first, ..Thoughts::default() }
    }

    /// The next piece of the text.
    pub(super) fn read(&mut self, text: &str) -> Told {
        let mut told = Told::default();
        for next in text.chars() {
            self.take(next, &mut told);
        }
        told
    }

    /// The text is over: what was held back is told.
    pub(super) fn end(&mut self) -> Told {
        let mut told = Told::default();
        if self.is_whole() {
            self.tagged(false, &mut told);
        }
        self.put_held(&mut told);
        told.words.push_str(&std::mem::take(&mut self.lead));
        told
    }

    fn take(&mut self, next: char, told: &mut Told) {
        if self.is_whole() {
            let is_quoted = next == '`' && self.after_backtick && self.backticks % 2 == 1;
            self.tagged(is_quoted, told);
        }
        if !self.tag.is_empty() {
            let rest = [OPEN, CLOSE].map(|tag| tag.strip_prefix(self.tag.as_str()));
            if rest.into_iter().flatten().any(|rest| rest.starts_with(next)) {
                self.tag.push(next);
                return;
            }
            self.put_held(told);
        }
        if next == '<' && (self.inside || !self.code.is_open()) {
            self.tag.push(next);
        } else {
            self.put(next, told);
        }
    }

    fn is_whole(&self) -> bool {
        self.tag == OPEN || self.tag == CLOSE
    }

    /// The tag that is held is whole.
    fn tagged(&mut self, is_quoted: bool, told: &mut Told) {
        if is_quoted {
            return self.put_held(told);
        }
        self.inside = self.tag == OPEN;
        self.is_parted = true;
        self.backticks = 0;
        self.after_backtick = false;
        told.thought += self.tag.len() + self.lead.len();
        self.tag.clear();
        self.lead.clear();
    }

    /// What is held is no tag.
    fn put_held(&mut self, told: &mut Told) {
        for held in std::mem::take(&mut self.tag).chars() {
            self.put(held, told);
        }
    }

    /// A character that is of no tag.
    fn put(&mut self, next: char, told: &mut Told) {
        self.after_backtick = next == '`';
        match next {
            '`' => self.backticks += 1,
            '\n' => self.backticks = 0,
            _ => {}
        }
        let leads = self.last.is_none() && next.is_whitespace();
        if self.inside || leads && self.is_parted {
            told.thought += next.len_utf8();
            return;
        }
        if leads {
            self.lead.push(next);
            return;
        }
        match self.last {
            None => told.words.push_str(&std::mem::take(&mut self.lead)),
            Some(last) if self.is_parted && next.is_alphanumeric() && !last.is_whitespace() => {
                told.words.push(' ');
            }
            Some(_) => {}
        }
        self.is_parted = false;
        self.last = Some(next);
        told.words.push(next);
        self.code.show(next);
    }
}

/// Whether the words are in a block of code (CommonMark, "Fenced code blocks"): one between lines that begin with backticks.
#[derive(Debug, Default)]
struct Code {
    /// Backticks that the block began with; 0 outside of one.
    opened: usize,
    /// Backticks that this line begins with, white space apart.
    run: usize,
    /// Whether the line goes on behind them, if only with white space.
    is_past: bool,
    /// Whether anything is behind them.
    has_more: bool,
    /// Whether a backtick is: then it is code within a line.
    has_backtick: bool,
}

impl Code {
    fn is_open(&self) -> bool {
        self.opened > 0
    }

    /// The next character of the words.
    fn show(&mut self, next: char) {
        match next {
            '\n' => {
                let opened = match self.opened {
                    0 if self.run >= FENCE && !self.has_backtick => self.run,
                    opened if self.run >= opened && !self.has_more => 0,
                    opened => opened,
                };
                *self = Code { opened, ..Code::default() };
            }
            '`' if !self.is_past => self.run += 1,
            next => {
                self.is_past |= self.run > 0 || !next.is_whitespace();
                self.has_more |= !next.is_whitespace();
                self.has_backtick |= next == '`';
            }
        }
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
        let mut add = |told: Told| {
            all.words.push_str(&told.words);
            all.thought += told.thought;
        };
        for piece in pieces {
            add(thoughts.read(piece));
        }
        add(thoughts.end());
        assert_eq!(thoughts.end(), Told::default(), "it ends once");
        all
    }

    const TEXTS: [(&str, &str); 37] = [
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
        ("Say <think>a plan", "Say "),
        ("Say <think>", "Say "),
        // Never opened wholly.
        ("<thin", "<thin"),
        (" <thinner>", " <thinner>"),
        ("<<thinner></thinner>", "<<thinner></thinner>"),
        ("<THINK>a", "<THINK>a"),
        // Behind words.
        ("<<think>a</think>", "<"),
        ("Say <think>a</think>", "Say "),
        ("Say <think>a\n</think> b", "Say  b"),
        ("<think>a</think>Say<think>b</think>\n\nc.<think>d</think>, e", "Say\n\nc., e"),
        ("<think>a <think>b</think> c", "c"),
        // Closed only.
        ("</think>Hello", "Hello"),
        (" \n</think>\n\nHello", "Hello"),
        ("A plan.\n</think>\n\nHello", "A plan.\n\n\nHello"),
        // Nothing but white space.
        (" \n ", " \n "),
        ("<think>a</think> <thin", "<thin"),
        // Alone between backticks, and not.
        ("Tags: `<think>`, `</think>`.", "Tags: `<think>`, `</think>`."),
        ("`a`, `<think>`", "`a`, `<think>`"),
        ("`a`<think>`b`</think>.", "`a`."),
        ("`<think>a</think>`", "``"),
        ("5` <think>a</think>", "5` "),
        ("<think>it ends with `</think>`, b</think>Hello", "Hello"),
        // In a block of code, and behind it.
        ("```xml\n<think>a</think>\n```\n<think>b</think>c", "```xml\n<think>a</think>\n```\nc"),
        (" ````\n```\n</think>\n````\n</think>c", " ````\n```\n</think>\n````\nc"),
        ("``` `\n<think>a</think>", "``` `\n"),
        ("Say ```\n<think>a</think>", "Say ```\n"),
        ("<think>a</think>```\n<think>\n``` \n</think>.", "```\n<think>\n``` \n."),
    ];

    #[test]
    fn words_and_thoughts_are_told_apart_however_the_text_is_cut() {
        for (text, words) in TEXTS {
            let whole = read([text]);
            assert_eq!(whole.words, words, "{text:?}");
            assert_eq!(whole.words.len() + whole.thought, text.len(), "{text:?}: no byte is lost");
            assert_eq!(whole.words, shown(text), "{text:?}");
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
    fn words_on_both_sides_of_a_thought_are_two() {
        for (text, words) in [
            ("Say<think>a</think>b", "Say b"),
            ("One.<think>a</think></think>Two", "One. Two"),
            ("你好<think>a</think>世界", "你好 世界"),
            ("One</think>two", "One two"),
        ] {
            let told = read(text.split("").filter(|piece| !piece.is_empty()));
            assert_eq!(told, read([text]), "{text:?}");
            assert_eq!(told.words, words, "{text:?}");
            assert_eq!(told.words.len() + told.thought, text.len() + 1, "{text:?}: a space is put in");
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
            ("a</think>Say </think>b", "Say b"),
            ("a</think>Say <think>b</think>c", "Say c"),
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

    /// Every text of up to six of these pieces, in these pieces: what is shown is what a reader of the whole would show.
    #[test]
    fn every_short_text_is_read_as_by_one_who_has_all_of_it() {
        const PIECES: [&str; 8] = ["<think>", "</think>", "<th", "ink>", " ", "a", "`", "\n```\n"];
        for length in 0..=6 {
            for number in 0..PIECES.len().pow(length) {
                let pieces: Vec<&str> = (0..length)
                    .map(|place| PIECES[number / PIECES.len().pow(place) % PIECES.len()])
                    .collect();
                assert_eq!(read(pieces.iter().copied()).words, shown(&pieces.concat()), "{pieces:?}");
            }
        }
    }

    /// The rule, for a text that is there as a whole.
    fn shown(text: &str) -> String {
        let mut words = String::new();
        let (mut inside, mut is_parted) = (false, false);
        let (mut at, mut line) = (0, 0);
        while let Some(next) = text[at..].chars().next() {
            let tag = [OPEN, CLOSE].into_iter().find(|tag| text[at..].starts_with(tag));
            let tag = tag.filter(|_| inside || !ends_in_code(&words));
            let tag = tag.filter(|tag| {
                let (before, behind) = (&text[line..at], &text[at + tag.len()..]);
                let is_odd = before.matches('`').count() % 2 == 1;
                !(is_odd && before.ends_with('`') && behind.starts_with('`'))
            });
            if let Some(tag) = tag {
                at += tag.len();
                line = at;
                (inside, is_parted) = (tag == OPEN, true);
                if words.trim().is_empty() {
                    words.clear();
                }
                continue;
            }
            at += next.len_utf8();
            if next == '\n' {
                line = at;
            }
            if inside || (is_parted && words.is_empty() && next.is_whitespace()) {
                continue;
            }
            if is_parted && next.is_alphanumeric() && words.ends_with(|last: char| !last.is_whitespace()) {
                words.push(' ');
            }
            is_parted = false;
            words.push(next);
        }
        words
    }

    /// Whether what follows these words is in a block of code.
    fn ends_in_code(words: &str) -> bool {
        let mut opened = 0;
        for line in words.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let line = line.trim();
            let more = line.trim_start_matches('`');
            let run = line.len() - more.len();
            if opened == 0 && run >= FENCE && !more.contains('`') {
                opened = run;
            } else if opened > 0 && run >= opened && more.is_empty() {
                opened = 0;
            }
        }
        opened > 0
    }
}

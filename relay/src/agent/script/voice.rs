//! One line of speech: what a voice can say, and nothing that it would stumble over.

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// What is spoken, as far as it is put together.
#[derive(Debug, Default)]
pub(super) struct Voice {
    text: String,
    /// White space stands behind the text.
    has_space: bool,
    /// Something was left out behind the text.
    has_gap: bool,
}

impl Voice {
    /// More of what is spoken. Runs of white space become one space, and what has no sound is left out.
    pub(super) fn say(&mut self, char: char) {
        if char.is_whitespace() {
            self.has_space = !self.text.is_empty();
        } else if is_pictograph(char) || is_invisible(char) || (char == '\u{200d}' && !self.ends_in_letter())
        {
            self.has_gap = true;
        } else {
            let closes_gap = self.has_gap && matches!(char, '.' | ',' | ';' | ':' | '!' | '?' | '…');
            if self.has_space && !closes_gap {
                self.text.push(' ');
            }
            self.text.push(char);
            (self.has_space, self.has_gap) = (false, false);
        }
    }

    pub(super) fn say_all(&mut self, text: impl IntoIterator<Item = char>) {
        for char in text {
            self.say(char);
        }
    }

    /// A short pause, unless there is one already.
    pub(super) fn pause(&mut self) {
        if self.text.ends_with(['(', '[', '{', '“', '„', '«', '‘']) {
            return;
        }
        if !self.is_at_pause() {
            self.has_space = false;
            self.say(',');
        }
        self.say(' ');
    }

    /// A line ends: a pause as between two sentences, unless its punctuation makes one.
    pub(super) fn end_line(&mut self) {
        if !self.is_at_pause() {
            self.has_space = false;
            let is_wide = self.text.ends_with(|char| matches!(char, '\u{3040}'..='\u{9fff}'));
            self.say(if is_wide { '。' } else { '.' });
        }
        self.say(' ');
    }

    /// What is spoken; nothing where no word is left.
    pub(super) fn finish(self) -> String {
        if self.text.chars().any(char::is_alphanumeric) { self.text } else { String::new() }
    }

    fn is_at_pause(&self) -> bool {
        let text = self.text.trim_end_matches(|char| "\"'”’“»)]」』）".contains(char));
        let last = text.chars().next_back();
        last.is_none_or(|char| !char.is_alphanumeric() && ".!?…:;,–。！？：；，、।؟؛،".contains(char))
    }

    fn ends_in_letter(&self) -> bool {
        let is_letter = |char: char| char.is_alphabetic() || is_mark(char);
        !self.has_gap && !self.has_space && self.text.chars().next_back().is_some_and(is_letter)
    }
}

/// An emoji or another small picture, or one of the signs that put them together.
pub(super) fn is_pictograph(char: char) -> bool {
    match char {
        // Variation selectors, keycaps, tags of flags, skin tones.
        '\u{fe00}'..='\u{fe0f}' | '\u{20e3}' | '\u{e0020}'..='\u{e007f}' | '\u{1f3fb}'..='\u{1f3ff}' => true,
        // Arrows and signs of mathematics are read; what stands among them with a picture's look is not.
        '\u{25fd}' | '\u{25fe}' => true,
        '\u{2190}'..='\u{2bff}' | '\u{3030}' | '\u{303d}' | '\u{3297}' | '\u{3299}' | '\u{1f000}'.. => {
            char.general_category() == GeneralCategory::OtherSymbol
                || ('\u{1f000}'..='\u{1faff}').contains(&char)
        }
        _ => false,
    }
}

fn is_mark(char: char) -> bool {
    matches!(char.general_category(), GeneralCategory::NonspacingMark | GeneralCategory::SpacingMark)
}

/// Control characters, and those that only say how text is set.
fn is_invisible(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{ad}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}')
        || matches!(char, '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{fffc}' | '\u{fffd}')
}

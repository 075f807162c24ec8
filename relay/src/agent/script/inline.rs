//! Marks within a line: emphasis, code, links, addresses, tags, entities.

use super::entity::entity;
use super::voice::Voice;

/// What a piece was cut in, when it was longer than a piece may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// In text.
    None,
    /// In the target of a link: it goes on up to its bracket.
    Target,
    /// In the address of a page: it goes on up to a space.
    Address,
}

/// Reads the text of a line to a voice.
pub(super) struct Inline<'a> {
    chars: &'a [char],
    place: usize,
    voice: &'a mut Voice,
    rest: Rest,
}

impl<'a> Inline<'a> {
    pub(super) fn new(chars: &'a [char], voice: &'a mut Voice) -> Inline<'a> {
        Inline { chars, place: 0, voice, rest: Rest::None }
    }

    /// Reads all of it, and says what it is cut in. `rest` is what the text before was cut in.
    pub(super) fn read(mut self, rest: Rest) -> Rest {
        match rest {
            Rest::None => {}
            Rest::Target => {
                self.place = self.find(0, |char| char == ')' || char.is_whitespace());
                self.place += usize::from(self.at(self.place) == Some(')'));
                self.rest = if self.place == self.chars.len() { rest } else { Rest::None };
            }
            Rest::Address => {
                self.place = self.find(0, |char| !is_of_address(char));
                self.rest = if self.place == self.chars.len() { rest } else { Rest::None };
            }
        }
        while let Some(char) = self.at(self.place) {
            self.rest = Rest::None;
            let read = match char {
                '\\' => self.escape(),
                '`' => self.code(),
                '!' => self.image(),
                '[' | ']' => self.bracket(char),
                '<' => self.tag(),
                '&' => self.entity(),
                '*' | '_' | '~' | '#' => self.mark(char),
                '—' | '―' | '-' => self.dash(char),
                '|' => self.separator(),
                _ => self.address(),
            };
            // What is no mark is said as it is.
            if !read {
                self.voice.say(char);
                self.place += 1;
            }
        }
        self.rest
    }

    fn at(&self, place: usize) -> Option<char> {
        self.chars.get(place).copied()
    }

    /// The character before this place, a space at the beginning.
    fn before(&self, place: usize) -> char {
        place.checked_sub(1).and_then(|before| self.at(before)).unwrap_or(' ')
    }

    /// The first place from `place` on where `stops` holds, or the end.
    fn find(&self, place: usize, stops: impl Fn(char) -> bool) -> usize {
        let rest = self.chars.get(place..).unwrap_or_default();
        rest.iter().position(|char| stops(*char)).map_or(self.chars.len(), |found| place + found)
    }

    fn escape(&mut self) -> bool {
        let Some(next) = self.at(self.place + 1).filter(char::is_ascii_punctuation) else { return false };
        self.voice.say(next);
        self.place += 2;
        true
    }

    fn code(&mut self) -> bool {
        let begin = self.find(self.place, |char| char != '`');
        let length = begin - self.place;
        let mut close = self.find(begin, |char| char == '`');
        while close < self.chars.len() {
            let end = self.find(close, |char| char != '`');
            if end - close == length {
                self.voice.say_all(self.chars[begin..close].iter().copied());
                self.place = end;
                return true;
            }
            close = self.find(end, |char| char == '`');
        }
        self.place = begin;
        true
    }

    /// The text in place of an image is read.
    fn image(&mut self) -> bool {
        let text_end = self.find(self.place, |char| char == ']');
        let is_image = self.at(self.place + 1) == Some('[') && self.at(text_end + 1) == Some('(');
        self.place += usize::from(is_image);
        is_image
    }

    /// Brackets are not read, nor the target of a link, nor the number of a source.
    fn bracket(&mut self, bracket: char) -> bool {
        if bracket == '[' {
            let close = self.find(self.place, |char| char == ']');
            let inside = &self.chars[self.place + 1..close.max(self.place + 1)];
            let is_note = inside.first() == Some(&'^') && inside.len() > 1;
            let is_number = !inside.is_empty() && inside.iter().all(char::is_ascii_digit);
            let is_source = is_number && !self.before(self.place).is_whitespace();
            if close < self.chars.len() && self.at(close + 1) != Some('(') && (is_note || is_source) {
                self.place = close + 1;
                return true;
            }
        } else if self.at(self.place + 1) == Some('(') {
            return self.target();
        }
        self.place += 1;
        true
    }

    fn target(&mut self) -> bool {
        let mut depth = 0_usize;
        for place in self.place + 1..self.chars.len() {
            match self.chars[place] {
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                self.place = place + 1;
                return true;
            }
        }
        let end = self.find(self.place, char::is_whitespace);
        self.rest = if end == self.chars.len() { Rest::Target } else { Rest::None };
        self.place = end;
        true
    }

    fn tag(&mut self) -> bool {
        let begin = self.place + 1;
        let end = self.find(begin, |char| char == '>');
        if end == self.chars.len() {
            return false;
        }
        let inside: String = self.chars[begin..end].iter().collect();
        if inside.starts_with("!--") {
            self.place = end + 1;
            return true;
        }
        if !inside.contains(char::is_whitespace) && (inside.contains("://") || inside.contains('@')) {
            self.place += 1;
            let is_address = self.address();
            if !is_address {
                self.voice.say_all(inside.chars());
            }
            self.place = end + 1;
            return true;
        }
        let name = inside.trim_start_matches('/');
        let name_end =
            name.find(|char: char| !char.is_ascii_alphanumeric() && char != '-').unwrap_or(name.len());
        let (name, attributes) = name.split_at(name_end);
        let attributes = attributes.trim_matches(|char: char| char.is_whitespace() || char == '/');
        let is_tag = name.starts_with(|char: char| char.is_ascii_alphabetic())
            && (attributes.is_empty() || attributes.contains('='));
        if is_tag {
            let is_block =
                ["br", "p", "li", "div", "tr", "hr"].iter().any(|block| name.eq_ignore_ascii_case(block));
            if is_block {
                self.voice.end_line();
            }
            self.place = end + 1;
        }
        is_tag
    }

    fn entity(&mut self) -> bool {
        let end = self.find(self.place, |char| char == ';').min(self.chars.len());
        if end == self.chars.len() || end - self.place > 10 {
            return false;
        }
        let name: String = self.chars[self.place + 1..end].iter().collect();
        let Some(char) = entity(&name) else { return false };
        self.voice.say(char);
        self.place = end + 1;
        true
    }

    /// Emphasis and the like are not read; a mark that stands for something is.
    fn mark(&mut self, mark: char) -> bool {
        let end = self.find(self.place, |char| char != mark);
        let (before, next) = (self.before(self.place), self.at(end).unwrap_or(' '));
        let is_lone = before.is_whitespace() && next.is_whitespace();
        let is_read = match mark {
            '*' if end - self.place > 1 => false,
            '*' if is_lone => self.is_product(end),
            '*' => before.is_ascii_digit() && next.is_ascii_digit(),
            '_' => before.is_alphanumeric() && next.is_alphanumeric(),
            '#' => !is_lone,
            _ => end - self.place == 1,
        };
        if is_read {
            self.voice.say_all(self.chars[self.place..end].iter().copied());
        }
        self.place = end;
        true
    }

    /// Whether a lone asterisk stands between two numbers, or signs for them.
    fn is_product(&self, end: usize) -> bool {
        let next = self.find(end, |char| !char.is_whitespace());
        let mut before = self.chars[..self.place].iter().rev().skip_while(|char| char.is_whitespace());
        let (last, earlier) = (before.next().copied().unwrap_or(' '), before.next().copied().unwrap_or(' '));
        let is_factor = |char: char, beside: char| {
            char.is_ascii_digit()
                || "()".contains(char)
                || (char.is_alphabetic() && !beside.is_alphanumeric())
        };
        is_factor(last, earlier) && is_factor(self.at(next).unwrap_or(' '), self.at(next + 1).unwrap_or(' '))
    }

    /// A dash between parts of a sentence is a pause.
    fn dash(&mut self, dash: char) -> bool {
        let end = self.find(self.place, |char| char != dash);
        let is_spaced =
            self.before(self.place).is_whitespace() && self.at(end).is_none_or(char::is_whitespace);
        let next = self.find(end, |char| !char.is_whitespace());
        let is_punctuated = self.at(next).is_some_and(|char| ".,;:!?…".contains(char));
        if dash == '-' && !(end - self.place >= 2 && is_spaced) {
            self.voice.say_all(self.chars[self.place..end].iter().copied());
        } else if !is_punctuated {
            self.voice.pause();
        }
        self.place = end;
        true
    }

    fn separator(&mut self) -> bool {
        let is_lone = self.before(self.place).is_whitespace()
            && self.at(self.place + 1).is_none_or(char::is_whitespace);
        if is_lone {
            self.voice.pause();
            self.place += 1;
        }
        is_lone
    }

    /// The address of a page is read as its host.
    fn address(&mut self) -> bool {
        if self.before(self.place).is_ascii_alphanumeric() || !self.chars[self.place].is_ascii_alphabetic() {
            return false;
        }
        let end = self.find(self.place, |char| !is_of_address(char));
        let text: String = self.chars[self.place..end].iter().collect();
        let Some(host) = host(&text) else { return false };
        self.voice.say_all(host.chars());
        // Punctuation at the end is the sentence's.
        let is_closing = |char: char| ".,;:!?'*_~".contains(char) || (char == ')' && !text.contains('('));
        let address = text.trim_end_matches(is_closing);
        self.rest =
            if end == self.chars.len() && address.len() == text.len() { Rest::Address } else { Rest::None };
        self.place += address.chars().count();
        true
    }
}

fn is_of_address(char: char) -> bool {
    char.is_ascii_graphic() && !"<>\"`[]{}|\\^".contains(char)
}

/// The host in the address of a page.
fn host(text: &str) -> Option<&str> {
    let lower = text.to_ascii_lowercase();
    let begin = match lower.find("://") {
        Some(scheme) if lower[..scheme].chars().all(|char| char.is_ascii_alphabetic()) => scheme + 3,
        _ if lower.starts_with("www.") => 0,
        _ => return None,
    };
    let authority = text[begin..].split(['/', '?', '#', ')', ',', ';', '*']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default().split(':').next().unwrap_or_default();
    let host = if lower[begin..].starts_with("www.") { host.get(4..).unwrap_or_default() } else { host };
    let host = host.trim_end_matches(|char: char| !char.is_ascii_alphanumeric());
    (!host.is_empty()).then_some(host)
}

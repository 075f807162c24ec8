//! What is spoken for a piece: line by line, without what only sets it.

use super::inline::{Inline, Rest};
use super::voice::Voice;

/// Says pieces, one after the other.
#[derive(Debug)]
pub(super) struct Speaker {
    /// The next piece begins a line.
    begins_line: bool,
    /// What the last piece was cut in.
    rest: Rest,
}

impl Speaker {
    pub(super) fn new() -> Speaker {
        Speaker { begins_line: true, rest: Rest::None }
    }

    /// What is spoken for these characters.
    pub(super) fn speak(&mut self, written: &[char], is_code: bool) -> String {
        let begins_line = std::mem::replace(&mut self.begins_line, written.last() == Some(&'\n'));
        if is_code {
            self.rest = Rest::None;
            return String::new();
        }
        let mut voice = Voice::default();
        for (number, line) in written.split(|char| *char == '\n').enumerate() {
            if number > 0 {
                voice.end_line();
                self.rest = Rest::None;
            }
            if number > 0 || begins_line {
                self.line(line, &mut voice);
            } else {
                self.text(line, &mut voice);
            }
        }
        voice.finish()
    }

    /// A line from its beginning.
    fn line(&mut self, line: &[char], voice: &mut Voice) {
        let line = trim_start(line);
        if is_rule(line) {
            return;
        }
        if let Some(row) = line.strip_prefix(&['|']) {
            return self.row(row, voice);
        }
        let marks = line.iter().take_while(|char| **char == '#').count();
        if (1..=6).contains(&marks) && line.get(marks).is_none_or(|char| char.is_whitespace()) {
            let heading = trim_end(&line[marks..]);
            let closing = heading.iter().rev().take_while(|char| **char == '#').count();
            let (text, _) = heading.split_at(heading.len() - closing);
            let is_closed = text.last().is_none_or(|char| char.is_whitespace());
            return self.text(if is_closed { text } else { heading }, voice);
        }
        match line {
            ['-' | '*' | '+' | '•' | '·' | '‣' | '–', ' ' | '\t', item @ ..] => {
                let item = trim_start(item);
                let task = matches!(item, ['[', ' ' | 'x' | 'X', ']', ' ', ..]);
                self.text(if task { &item[3..] } else { item }, voice);
            }
            _ => self.text(line, voice),
        }
    }

    /// The cells of a row, with commas between them.
    fn row(&mut self, row: &[char], voice: &mut Voice) {
        let mut begin = 0;
        let mut said = false;
        for end in 0..=row.len() {
            let is_end = row.get(end).is_none_or(|char| *char == '|');
            let is_escaped = end > 0 && row[end - 1] == '\\' && end < row.len();
            if !is_end || is_escaped {
                continue;
            }
            let cell = trim_end(trim_start(&row[begin..end]));
            begin = end + 1;
            if !cell.is_empty() {
                if said {
                    voice.pause();
                }
                self.text(cell, voice);
                said = true;
            }
        }
    }

    fn text(&mut self, text: &[char], voice: &mut Voice) {
        self.rest = Inline::new(text, voice).read(self.rest);
    }
}

/// A line of marks only: a rule, or what separates the head of a table.
fn is_rule(line: &[char]) -> bool {
    let marks = line.iter().filter(|char| matches!(char, '-' | '*' | '_' | '=')).count();
    let is_mark =
        |char: &char| matches!(char, '-' | '*' | '_' | '=' | '|' | ':' | '+') || char.is_whitespace();
    marks >= 2 && line.iter().all(is_mark)
}

/// Without indentation and the marks of quotations.
fn trim_start(line: &[char]) -> &[char] {
    let begin = line.iter().position(|char| !char.is_whitespace() && *char != '>');
    &line[begin.unwrap_or(line.len())..]
}

fn trim_end(line: &[char]) -> &[char] {
    let end = line.iter().rposition(|char| !char.is_whitespace()).map_or(0, |last| last + 1);
    &line[..end]
}

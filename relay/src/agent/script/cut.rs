//! Where a piece ends.

use unicode_segmentation::UnicodeSegmentation;

use super::MAX_CHARS;
use super::atom::atom_end;
use super::line::{Fence, Line};
use super::sentence::{is_stop, sentence_end};
use super::window::{Wait, Window};

/// A sentence of fewer letters is spoken together with the next one. A sign of Chinese or Japanese counts as three.
const SHORT_LETTERS: usize = 10;
/// How long the first sentence may be before it is cut at a clause.
const LONG_BEGINNING_CHARS: usize = 120;
/// The shortest clause that is cut off a long first sentence.
const CLAUSE_CHARS: usize = 40;

/// The end of a piece.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// So many characters.
    pub(super) chars: usize,
    /// All of it is a block of code, or part of one.
    pub(super) is_code: bool,
}

/// Finds the ends of pieces, one after the other.
#[derive(Debug)]
pub(super) struct Cutter {
    /// Nothing that is spoken was cut off yet.
    is_first: bool,
    /// The block of code that the next piece goes on with.
    fence: Option<Fence>,
    /// The line that the next piece goes on with, `None` if it begins one.
    line: Option<Line>,
}

impl Cutter {
    pub(super) fn new() -> Cutter {
        Cutter { is_first: true, fence: None, line: None }
    }

    /// The end of the piece that the window begins with, if what has come decides it.
    pub(super) fn cut(&mut self, window: &Window<'_>) -> Option<Cut> {
        let mut lines = Vec::new();
        let (cut, fence) = match self.fence {
            Some(fence) => self.code(window, 0, fence),
            None => self.prose(window, &mut lines),
        }
        .ok()?;
        let ends_line = window.chars()[cut.chars - 1] == '\n';
        let begun = lines.iter().rev().find(|(begin, _)| *begin < cut.chars).map(|(_, line)| *line);
        self.line = if ends_line { None } else { begun.or(self.line).or(Some(Line::Prose)) };
        self.fence = fence;
        self.is_first &= cut.is_code || letters(&window.chars()[..cut.chars]) == 0;
        Some(cut)
    }

    /// Text to be spoken. Each line that begins on the way is noted.
    fn prose(
        &self,
        window: &Window<'_>,
        lines: &mut Vec<(usize, Line)>,
    ) -> Result<(Cut, Option<Fence>), Wait> {
        let text = |chars| Ok((Cut { chars, is_code: false }, None));
        let mut line = self.line;
        let mut breaths = Breaths::default();
        let mut place = 0;
        while place < MAX_CHARS {
            if line.is_none() {
                let begun = Line::at(window, place)?;
                line = Some(begun);
                lines.push((place, begun));
                match begun {
                    Line::Fence(fence) if is_blank(&window.chars()[..place]) => {
                        return self.code(window, place, fence);
                    }
                    Line::Fence(_) => return text(place),
                    Line::Block(begin) => {
                        place = begin;
                        continue;
                    }
                    Line::Blank(_) | Line::Prose => {}
                }
            }
            if let (true, Some(clause)) = (self.is_first && place > LONG_BEGINNING_CHARS, breaths.first) {
                return text(clause);
            }
            let Some(char) = window.at(place)? else { break };
            if char == '\n' {
                if let Some(end) = Cutter::line_end(window, place, line)? {
                    return text(end);
                }
                line = None;
                place += 1;
            } else if is_stop(char) {
                let end = sentence_end(window, place)?;
                if let Some(end) = end.cut.filter(|end| *end <= MAX_CHARS && self.is_enough(window, *end)) {
                    return text(end);
                }
                place = end.behind;
            } else if let Some(end) = atom_end(window, place)? {
                place = end;
            } else {
                place += 1;
                breaths.note(&window.chars()[..place]);
            }
        }
        window.at(MAX_CHARS)?;
        text(if window.is_full() { breaths.forced(window.chars()) } else { window.chars().len() })
    }

    /// Where the piece ends, if it ends with the line that ends at this place.
    fn line_end(window: &Window<'_>, place: usize, line: Option<Line>) -> Result<Option<usize>, Wait> {
        if letters(&window.chars()[..place]) == 0 {
            return Ok(None);
        }
        if matches!(line, Some(Line::Block(_))) {
            return Ok(Some(place + 1));
        }
        Ok(match Line::at(window, place + 1)? {
            Line::Blank(end) => Some(end.min(MAX_CHARS)),
            Line::Fence(_) | Line::Block(_) => Some(place + 1),
            Line::Prose => None,
        })
    }

    /// A block of code that goes on or is opened in the line at this place.
    fn code(&self, window: &Window<'_>, begin: usize, fence: Fence) -> Result<(Cut, Option<Fence>), Wait> {
        let mut place = begin;
        let begins_line = self.fence.is_some() && self.line.is_none();
        let mut last_line = None;
        if !begins_line {
            place = window.find(place, |char| char == '\n')? + 1;
        }
        while place <= MAX_CHARS && window.at(place)?.is_some() {
            last_line = Some(place).filter(|place| *place > 0).or(last_line);
            if let Some(end) = fence.closed_by(window, place)?.filter(|end| *end <= MAX_CHARS) {
                return Ok((Cut { chars: end, is_code: true }, None));
            }
            place = window.find(place, |char| char == '\n')? + 1;
        }
        let end = if window.is_full() { last_line.unwrap_or(MAX_CHARS) } else { window.chars().len() };
        Ok((Cut { chars: end, is_code: true }, Some(fence)))
    }

    fn is_enough(&self, window: &Window<'_>, end: usize) -> bool {
        letters(&window.chars()[..end]) >= if self.is_first { 1 } else { SHORT_LETTERS }
    }
}

/// Where a sentence that is too long can be cut.
#[derive(Default)]
struct Breaths {
    /// The first clause that is long enough for a beginning.
    first: Option<usize>,
    /// The last clause.
    clause: Option<usize>,
    /// The last space.
    space: Option<usize>,
}

impl Breaths {
    /// Whether it can be cut behind these characters.
    fn note(&mut self, chars: &[char]) {
        let place = chars.len();
        let mut back = chars.iter().rev().copied();
        let (last, before, earlier) = (back.next(), back.next(), back.next());
        let is_space =
            last.is_some_and(|last| last.is_whitespace() && !matches!(last, '\u{a0}' | '\u{202f}'));
        let is_clause = match (last, before) {
            (Some('，' | '、' | '；' | '：'), _) => true,
            (_, Some(',' | ';' | ':' | '–' | '—' | '،' | '؛')) => is_space,
            (_, Some('-')) => is_space && earlier == Some(' '),
            _ => false,
        };
        if is_space || is_clause {
            self.space = Some(place);
        }
        if is_clause {
            self.clause = Some(place);
            self.first = self.first.or(self.clause.filter(|clause| *clause >= CLAUSE_CHARS));
        }
    }

    /// Where a piece without an end is cut: late, and where it hurts least.
    fn forced(&self, chars: &[char]) -> usize {
        let is_late = |place: &usize| *place >= MAX_CHARS / 2;
        let any_space = || (1..=MAX_CHARS).rev().find(|place| chars[place - 1].is_whitespace());
        let place = self.clause.filter(is_late).or(self.space.filter(is_late));
        place.or_else(|| any_space().filter(is_late)).unwrap_or_else(|| between_graphemes(chars))
    }
}

/// The last place, up to the longest piece, that is between two characters as people see them.
fn between_graphemes(chars: &[char]) -> usize {
    let text: String = chars.iter().collect();
    let mut place = 0;
    for grapheme in text.graphemes(true) {
        let end = place + grapheme.chars().count();
        if end > MAX_CHARS {
            break;
        }
        place = end;
    }
    if place == 0 { MAX_CHARS } else { place }
}

fn is_blank(chars: &[char]) -> bool {
    chars.iter().all(|char| char.is_whitespace())
}

/// Letters and digits, by how long they take to say.
fn letters(chars: &[char]) -> usize {
    let weight = |char: &char| match char {
        '\u{2e80}'..='\u{d7ff}' | '\u{20000}'..='\u{3ffff}' => 3,
        _ => 1,
    };
    chars.iter().filter(|char| char.is_alphanumeric()).map(weight).sum()
}

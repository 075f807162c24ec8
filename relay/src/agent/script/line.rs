//! What a line is, by how it begins.

use super::window::{Wait, Window};

/// A line of Markdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Nothing but space; the next line begins at this place.
    Blank(usize),
    /// It opens a block of code.
    Fence(Fence),
    /// A heading, a list item, a row of a table or a rule: it is complete when the line ends. Its text begins at this place.
    Block(usize),
    /// Running text.
    Prose,
}

/// What a block of code is opened with; it is closed by at least as many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fence {
    mark: char,
    length: usize,
}

impl Line {
    /// The line that begins at this place.
    pub(super) fn at(window: &Window<'_>, begin: usize) -> Result<Line, Wait> {
        let text = window.find(begin, |char| !is_margin(char))?;
        let Some(mark) = window.at(text)? else { return Ok(Line::Blank(text)) };
        match mark {
            '\n' => Ok(Line::Blank(text + 1)),
            '`' | '~' => Line::fence(window, text, mark),
            '#' => {
                let end = window.find(text, |char| char != '#')?;
                Line::block_if_space(window, end, end - text <= 6)
            }
            '|' => Ok(Line::Block(text + 1)),
            '-' | '*' | '_' | '+' | '•' | '·' | '‣' | '–' => {
                let end = window.find(text, |char| char != mark)?;
                let is_rule = end - text >= 3 && window.at(end)?.is_none_or(|char| char == '\n');
                if is_rule {
                    Ok(Line::Block(end))
                } else {
                    Line::block_if_space(window, end, end == text + 1)
                }
            }
            '0'..='9' => {
                let end = window.find(text, |char| !char.is_ascii_digit())?;
                match window.at(end)? {
                    Some('.' | ')') => Line::block_if_space(window, end + 1, end - text <= 3),
                    _ => Ok(Line::Prose),
                }
            }
            _ => Ok(Line::Prose),
        }
    }

    fn block_if_space(window: &Window<'_>, end: usize, is_mark: bool) -> Result<Line, Wait> {
        let block = is_mark && window.at(end)?.is_some_and(|char| char == ' ' || char == '\t');
        Ok(if block { Line::Block(end) } else { Line::Prose })
    }

    fn fence(window: &Window<'_>, text: usize, mark: char) -> Result<Line, Wait> {
        let end = window.find(text, |char| char != mark)?;
        if end - text < 3 {
            return Ok(Line::Prose);
        }
        // What stands behind a fence names the language: with another backtick it is code within a line.
        let language = window.find(end, |char| char == '\n' || (mark == '`' && char == '`'))?;
        let is_inline = window.at(language)? == Some('`');
        Ok(if is_inline { Line::Prose } else { Line::Fence(Fence { mark, length: end - text }) })
    }
}

impl Fence {
    /// Where the line after the closing one begins, if the line at this place closes the block.
    pub(super) fn closed_by(self, window: &Window<'_>, begin: usize) -> Result<Option<usize>, Wait> {
        let text = window.find(begin, |char| !is_margin(char))?;
        let end = window.find(text, |char| char != self.mark)?;
        if end - text < self.length {
            return Ok(None);
        }
        let next = window.find(end, |char| !matches!(char, ' ' | '\t' | '\r'))?;
        Ok(match window.at(next)? {
            Some('\n') => Some(next + 1),
            None if !window.is_full() => Some(next),
            None | Some(_) => None,
        })
    }
}

/// Indentation, and the marks of quotations.
fn is_margin(char: char) -> bool {
    matches!(char, ' ' | '\t' | '\r' | '>')
}

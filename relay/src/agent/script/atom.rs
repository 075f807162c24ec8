//! What is not cut in two where that can be helped: code within a line, links, tags.

use super::window::{Wait, Window};

/// Where the atom ends that begins at this place, if one does. It ends in the same line.
pub(super) fn atom_end(window: &Window<'_>, place: usize) -> Result<Option<usize>, Wait> {
    match window.at(place)? {
        Some('`') => code_end(window, place).map(Some),
        Some('[') => link_end(window, place),
        Some('<') => tag_end(window, place),
        Some('\\') => {
            let is_escape = matches!(window.at(place + 1)?, Some('`' | '[' | '<' | '\\'));
            Ok(is_escape.then_some(place + 2))
        }
        _ => Ok(None),
    }
}

/// Backticks up to as many backticks; without those it is the backticks alone.
fn code_end(window: &Window<'_>, place: usize) -> Result<usize, Wait> {
    let begin = window.find(place, |char| char != '`')?;
    let mut end = begin;
    loop {
        let close = window.find(end, |char| char == '`' || char == '\n')?;
        if window.at(close)? != Some('`') {
            return Ok(begin);
        }
        end = window.find(close, |char| char != '`')?;
        if end - close == begin - place {
            return Ok(end);
        }
    }
}

/// `[text](target)`.
fn link_end(window: &Window<'_>, place: usize) -> Result<Option<usize>, Wait> {
    let Some(text) = closing(window, place, '[', ']')? else { return Ok(None) };
    match window.at(text)? {
        Some('(') => closing(window, text, '(', ')'),
        _ => Ok(None),
    }
}

fn tag_end(window: &Window<'_>, place: usize) -> Result<Option<usize>, Wait> {
    if !window.at(place + 1)?.is_some_and(|char| char.is_ascii_alphabetic() || matches!(char, '/' | '!')) {
        return Ok(None);
    }
    let end = window.find(place, |char| char == '>' || char == '\n')?;
    Ok((window.at(end)? == Some('>')).then_some(end + 1))
}

/// Behind the bracket that closes the one at this place.
fn closing(window: &Window<'_>, place: usize, open: char, close: char) -> Result<Option<usize>, Wait> {
    let mut depth = 0_usize;
    let mut end = place;
    loop {
        end = window.find(end, |char| char == open || char == close || char == '\n')?;
        match window.at(end)? {
            Some(char) if char == open => depth += 1,
            Some(char) if char == close => depth -= 1,
            _ => return Ok(None),
        }
        end += 1;
        if depth == 0 {
            return Ok(Some(end));
        }
    }
}

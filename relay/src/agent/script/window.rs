//! The characters that a piece may be made of, as far as they have come.

use super::MAX_CHARS;

/// What has come does not decide yet: more of the answer is needed, or its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wait;

/// The beginning of what was not handed out: at most one character more than a piece may have.
pub(super) struct Window<'a> {
    chars: &'a [char],
    /// Nothing comes after it that may be waited for: the answer is over, or the piece is as long as it may be.
    is_whole: bool,
}

impl<'a> Window<'a> {
    pub(super) fn new(chars: &'a [char], finished: bool) -> Window<'a> {
        Window { chars, is_whole: finished || chars.len() > MAX_CHARS }
    }

    pub(super) fn chars(&self) -> &'a [char] {
        self.chars
    }

    /// Whether it is longer than a piece may be.
    pub(super) fn is_full(&self) -> bool {
        self.chars.len() > MAX_CHARS
    }

    /// The character at this place; `None` behind the last one.
    pub(super) fn at(&self, place: usize) -> Result<Option<char>, Wait> {
        match self.chars.get(place) {
            Some(&char) => Ok(Some(char)),
            None if self.is_whole => Ok(None),
            None => Err(Wait),
        }
    }

    /// The first place from `place` on where `stops` holds, or behind the last character.
    pub(super) fn find(&self, mut place: usize, stops: impl Fn(char) -> bool) -> Result<usize, Wait> {
        while let Some(char) = self.at(place)? {
            if stops(char) {
                break;
            }
            place += 1;
        }
        Ok(place)
    }
}

//! Whether a sentence ends at a stop.

use super::abbreviations::{
    is_never_last, opens_sentences, stands_after_ordinal, stands_before_number, stands_before_ordinal,
};
use super::voice::is_pictograph;
use super::window::{Wait, Window};

/// The longest word that is looked at behind a stop.
const WORD_CHARS: usize = 20;

/// What one or several stops in a row mean.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stop {
    /// Behind the stops.
    pub(super) behind: usize,
    /// Where the next sentence begins, if this one ends.
    pub(super) cut: Option<usize>,
}

/// Whether a sentence can end with it.
pub(super) fn is_stop(char: char) -> bool {
    is_wide_stop(char) || matches!(char, '.' | '!' | '?' | '…' | '‽')
}

/// Whether a sentence ends with it, whatever follows.
fn is_wide_stop(char: char) -> bool {
    matches!(char, '。' | '！' | '？' | '｡' | '．' | '।' | '॥' | '؟' | '۔' | '።' | '។' | '။' | '։')
}

/// What closes a sentence behind its stop.
fn is_closer(char: char) -> bool {
    is_wide_closer(char)
        || matches!(
            char,
            '"' | '\''
                | '”'
                | '“'
                | '’'
                | '‘'
                | '»'
                | '«'
                | '›'
                | '‹'
                | ')'
                | ']'
                | '}'
                | '*'
                | '_'
                | '~'
        )
}

fn is_wide_closer(char: char) -> bool {
    matches!(char, '」' | '』' | '）' | '】' | '》' | '〉' | '］' | '｝' | '〗' | '〕')
}

/// Whether a text that nothing follows ends a sentence.
pub(super) fn ends_one(text: &str) -> bool {
    let is_behind = |char: char| char.is_whitespace() || is_closer(char) || is_pictograph(char);
    text.trim_end_matches(is_behind).ends_with(is_stop)
}

/// What the stop at this place means.
pub(super) fn sentence_end(window: &Window<'_>, place: usize) -> Result<Stop, Wait> {
    let behind = window.find(place, |char| !is_stop(char))?;
    let stops = &window.chars()[place..behind];
    let mut end = window.find(behind, |char| !is_closer(char))?;
    let next = window.at(end)?;
    if stops.iter().copied().any(is_wide_stop) {
        // A quotation of Chinese or Japanese may go on in its sentence, with a comma or a particle of saying.
        let goes_on = matches!(next, Some('，' | '、' | '；' | '：')) || (end > behind && next == Some('と'));
        let space = usize::from(next.is_some_and(char::is_whitespace));
        return Ok(Stop { behind, cut: (!goes_on).then_some(end + space) });
    }
    if let Some(guillemet) = spaced_guillemet(window, end)? {
        end = guillemet;
    }
    let cut = match window.at(end)? {
        None => Some(end),
        Some(next) if next.is_whitespace() => {
            let before = Before { chars: &window.chars()[..place], stops };
            behind_space(window, &before, end)?
        }
        Some(_) => None,
    };
    Ok(Stop { behind, cut })
}

/// French sets a space before what closes a quotation; German opens one with the same sign.
fn spaced_guillemet(window: &Window<'_>, end: usize) -> Result<Option<usize>, Wait> {
    if !window.at(end)?.is_some_and(|char| matches!(char, ' ' | '\u{a0}' | '\u{202f}'))
        || window.at(end + 1)? != Some('»')
    {
        return Ok(None);
    }
    let closes = window.at(end + 2)?.is_none_or(char::is_whitespace);
    Ok(closes.then_some(end + 2))
}

/// What stands before a place where a sentence may end.
struct Before<'a> {
    chars: &'a [char],
    stops: &'a [char],
}

/// Where the next sentence begins behind the space at this place.
fn behind_space(window: &Window<'_>, before: &Before<'_>, space: usize) -> Result<Option<usize>, Wait> {
    let begin = window.find(space, |char| !char.is_whitespace() || char == '\n')?;
    let next = match window.at(begin)? {
        None => return Ok(Some(begin)),
        Some('\n') => return Ok((!before.is_open_at_line_end()).then_some(begin + 1)),
        Some(next) => next,
    };
    if !can_begin(next) {
        return Ok(None);
    }
    let goes_on = match before.stops {
        ['.'] => before.goes_on(window, begin, next)?,
        [.., '.' | '…'] => next == 'I' && !window.at(begin + 1)?.is_some_and(char::is_alphanumeric),
        _ => false,
    };
    Ok((!goes_on).then_some(begin))
}

impl Before<'_> {
    /// The word that the stop belongs to.
    fn word(&self) -> &[char] {
        let is_edge = |char: &char| char.is_whitespace() || "([{\"'“„«‘*_/".contains(*char);
        let begin = self.chars.iter().rposition(is_edge).map_or(0, |edge| edge + 1);
        &self.chars[begin..]
    }

    fn spelled(&self) -> String {
        self.word().iter().filter(|char| **char != '\\').collect()
    }

    /// The word before that, with what stands at its end.
    fn earlier(&self) -> String {
        let rest = &self.chars[..self.chars.len() - self.word().len()];
        let words: String = rest.iter().collect();
        words.split_whitespace().next_back().unwrap_or_default().to_owned()
    }

    /// Whether a line that ends here leaves its sentence open.
    fn is_open_at_line_end(&self) -> bool {
        self.stops == ['.'] && is_never_last(&self.spelled())
    }

    /// Whether the sentence goes on behind one full stop, with a word that could begin another one.
    fn goes_on(&self, window: &Window<'_>, begin: usize, next: char) -> Result<bool, Wait> {
        let word = self.spelled();
        if is_never_last(&word) {
            return Ok(true);
        }
        if stands_before_number(&word) {
            return Ok(next.is_numeric() || next == '#');
        }
        if !word.is_empty() && word.chars().all(|char| char.is_ascii_digit() || char == '.') {
            // A noun follows an ordinal number: "am 3. Mai", and not "I am 42. She is 40".
            let next = word_at(window, begin)?;
            let has_article = stands_before_ordinal(&self.earlier()) && !opens_sentences(&next);
            return Ok(stands_after_ordinal(&next) || (word.len() <= 5 && has_article));
        }
        let parts: Vec<&str> = word.split('.').collect();
        let is_spelled = parts.iter().all(|part| is_short(part));
        if is_spelled && parts.len() > 1 {
            let is_time_of_day = word.eq_ignore_ascii_case("p.m") || word.eq_ignore_ascii_case("a.m");
            return Ok(!is_time_of_day && !opens_sentences(&word_at(window, begin)?));
        }
        if is_initial(&word) && word != "I" {
            let earlier = self.earlier();
            let is_one_of_many = earlier.strip_suffix('.').is_some_and(is_initial);
            return Ok(is_one_of_many || !opens_sentences(&word_at(window, begin)?));
        }
        Ok(false)
    }
}

/// One letter of an alphabet that has capitals.
fn is_initial(part: &str) -> bool {
    let mut chars = part.chars();
    let is_cased = chars.next().is_some_and(|char| char.is_uppercase() || char.is_lowercase());
    is_cased && chars.next().is_none()
}

/// One or two letters, as between the stops of "Ph.D." and "EE.UU.".
fn is_short(part: &str) -> bool {
    matches!(part.chars().count(), 1 | 2)
        && part.chars().all(|char| char.is_uppercase() || char.is_lowercase())
}

/// Whether a sentence can begin with it.
fn can_begin(char: char) -> bool {
    let is_letter = char.is_alphabetic() && !char.is_lowercase();
    is_letter
        || char.is_numeric()
        || is_pictograph(char)
        || "([{\"'“„‘«‹»¿¡「『（【《*_`#~$€£¥<@!".contains(char)
}

/// The word that begins at this place.
fn word_at(window: &Window<'_>, begin: usize) -> Result<String, Wait> {
    let begin = window.find(begin, char::is_alphanumeric)?;
    let mut end = begin;
    while end < begin + WORD_CHARS && window.at(end)?.is_some_and(char::is_alphanumeric) {
        end += 1;
    }
    Ok(window.chars()[begin..end].iter().collect())
}

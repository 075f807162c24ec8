//! A turn that goes on and on: which of its words are taken to be final before it is over.
//!
//! Flux tells a turn whole each time. If nothing of it were final before its end, nothing could be stored before that either, while a client keeps
//! no more than the last 30 s of what is not stored, and another recogniser is given the last 60 s. So of a long turn the words that have not
//! changed for a while stay, up to the longest pause among them.

use serde_json::Value;

use super::super::deepgram::spoken_before;
use super::super::told::{Told, behind_words, letters, words};

/// From this length on a turn has words that stay before it is over: 15 s of audio since the first of those that do not stay yet.
const LONG: u32 = 15 * 16_000;
/// Words that have been the same for so much audio, 5 s, stay the same.
const UNCHANGED: u32 = 5 * 16_000;
/// Fewer words than are spoken in so much audio, 4 s, are not taken alone.
const AT_LEAST: u32 = 4 * 16_000;

/// What is known of a turn's words. Places are samples at 16 kHz since the first that the request was given.
#[derive(Default)]
pub(super) struct Growing {
    /// The words that stay.
    told: Told,
    /// Words that have come in their place in an update that may be taken back, and whether they stood in the last one.
    instead: Option<Told>,
    is_instead: bool,
    /// Where the last of them ends, if all of the turn was told and that is known.
    told_end: Option<u32>,
    /// The words behind them as the turn was told last, by their letters. Of each: where the sound ended with which it was known first, and all
    /// before it as well. There is no other hint at where it is spoken.
    open: Vec<(String, u32)>,
}

impl Growing {
    /// What of a turn's text is behind the words that stay. `spoken` is the text word by word, with times or without.
    pub(super) fn rest<'a>(&mut self, text: &'a str, spoken: &Value) -> &'a str {
        self.is_instead = false;
        if let Some(rest) = self.told.behind(text) {
            return rest;
        }
        // They were not meant to change, and may be as they were in the next update.
        self.is_instead = true;
        if let Some(rest) = self.instead.as_ref().and_then(|instead| instead.behind(text)) {
            return rest;
        }
        let count = self.changed(text, spoken);
        let mut instead = Told::default();
        words(text).take(count).for_each(|(word, _)| instead.add_word(word));
        self.instead = Some(instead);
        behind_words(text, count)
    }

    /// How many words of a turn's text have come in the place of those that stay and have changed.
    fn changed(&self, text: &str, spoken: &Value) -> usize {
        if let Some(count) = self.told_end.and_then(|end| spoken_before(text, spoken, end)) {
            return count;
        }
        // What was open begins where its first word is, as near to its old place as there is one. Where there is none, all is open from the first
        // word on that has changed: rather is a word told twice than lost.
        let known: Vec<&str> = words(text).map(|(word, _)| word).collect();
        let is_next = |place: &usize| {
            let next = self.open.first().map(|(next, _)| next.chars());
            next.zip(known.get(*place)).is_some_and(|(next, word)| letters(word).eq(next))
        };
        let count = self.told.count();
        let nearest = (0..known.len()).filter(is_next).min_by_key(|place| place.abs_diff(count));
        nearest.unwrap_or_else(|| self.told.common(text))
    }

    /// The turn is told up to here, and this text is behind the words that stay. Whether more of them stay from now on: so many bytes of it, and
    /// where they end.
    pub(super) fn settle(&mut self, text: &str, end: u32) -> Option<(usize, u32)> {
        self.note(text, end);
        let &(_, first) = self.open.first()?;
        if end.saturating_sub(first) < LONG {
            return None;
        }
        // Between these two words is the longest pause, as far as can be told: a cut there goes through no word.
        let pairs = self.open.windows(2).enumerate();
        let may_stay = |known: u32| known >= first + AT_LEAST && known.saturating_add(UNCHANGED) <= end;
        let pauses = pairs.filter(|(_, pair)| may_stay(pair[0].1));
        let (last, _) = pauses.max_by_key(|(_, pair)| pair[1].1.saturating_sub(pair[0].1))?;
        self.stay(text, last)
    }

    /// Of this text, which is behind the words that stay, those stay as well that were known when the turn had been told up to here: so many bytes
    /// of it, and where they end. `None` if that is no word.
    pub(super) fn stay_before(&mut self, text: &str, end: u32) -> Option<(usize, u32)> {
        let known = self.open.iter().take_while(|(_, known)| *known <= end).count();
        self.stay(text, known.checked_sub(1)?)
    }

    /// All of the turn stays: this text is behind the words that did, and the last word ends there, if that is known.
    pub(super) fn stay_whole(&mut self, text: &str, words_end: Option<u32>) {
        self.open.clear();
        self.adopt();
        self.told.add(text);
        self.told_end = words_end.or(self.told_end);
    }

    /// More words stay, behind those that stood in the last update.
    fn adopt(&mut self) {
        if let Some(instead) = self.instead.take().filter(|_| self.is_instead) {
            self.told = instead;
        }
        self.is_instead = false;
    }

    fn stay(&mut self, text: &str, last: usize) -> Option<(usize, u32)> {
        let (_, length) = words(text).nth(last)?;
        let end = self.open[last].1;
        // Where it was known first is no hint at where it ends.
        self.told_end = None;
        self.adopt();
        self.open.drain(..=last).for_each(|(word, _)| self.told.add_word(&word));
        Some((length, end))
    }

    /// The turn is told up to here, and this text is behind the words that stay. A word that changes takes with it what is behind it: nothing of
    /// that was known before.
    pub(super) fn note(&mut self, text: &str, end: u32) {
        let mut count = 0;
        for (word, _) in words(text) {
            let is_same = self.open.get(count).is_some_and(|(known, _)| letters(word).eq(known.chars()));
            if !is_same {
                self.open.truncate(count);
                self.open.push((letters(word).collect(), end));
            }
            count += 1;
        }
        self.open.truncate(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u32 = 16_000;

    /// A turn of a word each half second, with a pause of two seconds behind each tenth one; and where each word is known first.
    fn monologue(seconds: u32) -> Vec<(String, u32)> {
        let mut at = SECOND;
        let mut spoken = Vec::new();
        for number in 0.. {
            at += SECOND / 2 + if number % 10 == 0 { 2 * SECOND } else { 0 };
            if at > seconds * SECOND {
                break;
            }
            spoken.push((format!("Word{number},"), at));
        }
        spoken
    }

    /// What stays of it, piece by piece with its end, and what is open at the end, when it is told four times a second, as `tell` changes it.
    fn pieces(
        spoken: &[(String, u32)],
        seconds: u32,
        tell: impl Fn(u32, String) -> String,
    ) -> (Vec<(String, u32)>, String) {
        let (mut growing, mut stay, mut open) = (Growing::default(), Vec::new(), String::new());
        for quarter in 1..=4 * seconds {
            let now = quarter * SECOND / 4;
            let known: Vec<&str> =
                spoken.iter().filter(|(_, at)| *at <= now).map(|(word, _)| word.as_str()).collect();
            let text = tell(now, known.join(" "));
            let rest = growing.rest(&text, &Value::Null);
            let settled = growing.settle(rest, now);
            open = rest.to_owned();
            if let Some((length, end)) = settled {
                stay.push((rest[..length].to_owned(), end));
                open = rest[length..].trim_start().to_owned();
            }
            let unsettled = now - stay.last().map_or(0, |(_, end)| *end);
            assert!(unsettled <= 20 * SECOND, "{} s are open", unsettled / SECOND);
        }
        (stay, open)
    }

    #[test]
    fn of_a_long_turn_the_words_stay_that_do_not_change_and_each_is_told_once() {
        let spoken = monologue(120);
        let all: Vec<&str> = spoken.iter().map(|(word, _)| word.as_str()).collect();
        // Marks and capitals come and go.
        let marked =
            |now: u32, text: String| if now.is_multiple_of(8_000) { text.to_uppercase() } else { text };
        for tell in [&(|_, text| text) as &dyn Fn(u32, String) -> String, &marked] {
            let (stay, open) = pieces(&spoken, 120, tell);
            assert!(stay.len() >= 8, "{stay:?}");
            let told: Vec<&str> = stay.iter().map(|(text, _)| text.as_str()).chain([open.as_str()]).collect();
            assert_eq!(told.join(" ").to_lowercase(), all.join(" ").to_lowercase());
            for (text, end) in &stay {
                let last = text.rsplit(' ').next().expect("a word").to_lowercase();
                let (_, known) =
                    spoken.iter().find(|(word, _)| word.to_lowercase() == last).expect("it was spoken");
                assert!((*known..known + SECOND / 4).contains(end), "{last} ends at {known}, not at {end}");
                assert!(last.ends_with("9,"), "the cut is in the pause, and not behind {last}");
            }
        }
    }

    #[test]
    fn a_turn_of_ordinary_length_has_no_word_that_stays_before_it_is_over() {
        let (stay, _) = pieces(&monologue(15), 15, |_, text| text);
        assert_eq!(stay, []);
    }

    #[test]
    fn words_that_go_on_changing_do_not_stay() {
        let spoken = ["I", "think", "that", "it", "is", "number"].into_iter().map(str::to_owned);
        let spoken: Vec<(String, u32)> = spoken.zip((1..).map(|second| second * SECOND)).collect();
        let (stay, open) = pieces(&spoken, 20, |now, text| format!("{text} {now} and the last one"));
        assert_eq!(stay, [("I think that it is number".to_owned(), 6 * SECOND)]);
        assert!(open.ends_with(" and the last one"), "{open}");
    }

    #[test]
    fn what_is_behind_words_that_stay_is_found_also_where_they_change_against_expectation() {
        let mut growing = Growing::default();
        let text = "I have twenty one of them and of the others";
        let mut known = 0;
        for (_, end) in words(text) {
            known += SECOND;
            growing.settle(&text[..end], known);
        }
        let settled = (0..40).find_map(|second| growing.settle(text, known + second * SECOND));
        let (length, _) = settled.expect("it is long enough");
        let rest = text[length..].trim_start();
        assert!(text[..length].contains("one") && !rest.is_empty(), "{rest}");
        let mut rest_of = |text: &str| growing.rest(text, &Value::Null).to_owned();
        assert_eq!(rest_of(text), rest);
        assert_eq!(rest_of(&text.replace("twenty one", "twenty-one")), rest);
        assert_eq!(rest_of(&text.replace("twenty one", "21")), rest, "nothing of it is lost");
        assert_eq!(rest_of("I"), "");
        assert_eq!(rest_of(""), "");
    }
}

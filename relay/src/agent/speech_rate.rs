//! How fast voices speak, in each script, and where words end: what can be told of a sound without knowing more of it than its text.

use unicode_segmentation::UnicodeSegmentation;

/// A voice speaks so many letters a second, or a little less.
const LETTERS_PER_SECOND: u32 = 18;
/// It speaks so many Chinese characters a second, or a little less: each is a syllable, of which people who read Mandarin aloud speak 5.2 a second
/// (Pellegrino, Coupé and Marsico 2011, "A cross-language perspective on speech information rate", Language 87). In Japanese most have two.
const HAN_PER_SECOND: u32 = 5;
/// It speaks so many signs of a syllable a second, or a little less: kana and Hangul. People who read Japanese aloud speak 7.8 syllables a second,
/// and nobody in that study more.
const SYLLABLES_PER_SECOND: u32 = 8;

/// How many samples of sound these words are at least, at so many samples a second: a voice takes as long for them, or a little longer.
pub(crate) fn lasts_at_least(text: &str, rate: u32) -> u32 {
    text.chars().map(|c| rate / a_second(c)).fold(0, u32::saturating_add)
}

/// Where words of a text end, in bytes: before a space, and on both sides of what Unicode takes for a word (UAX #29) in a script that writes no
/// spaces between its words.
pub(crate) fn ends_of_words(text: &str) -> impl Iterator<Item = usize> + '_ {
    text.split_word_bound_indices().flat_map(|(at, word)| {
        let first = word.chars().next();
        let stands_alone = first.is_some_and(is_of_script_without_spaces);
        let ends_before = stands_alone || first.is_some_and(char::is_whitespace);
        let behind = stands_alone.then_some(at + word.len());
        ends_before.then_some(at).into_iter().chain(behind)
    })
}

/// The words of a text: what stands between its spaces, cut where words end.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace().flat_map(|piece| {
        let mut begins = 0;
        let ends = ends_of_words(piece).chain([piece.len()]);
        ends.filter_map(move |end| {
            let word = &piece[begins..end];
            begins = end;
            (!word.is_empty()).then_some(word)
        })
    })
}

/// Among how many of the next words of a text this one is looked for, some of which may be spoken in other words (`7` as `seven`). Farther away
/// it stands there by chance, and a Chinese character or a kana does so sooner than a word.
pub(crate) fn look_ahead(word: &str) -> usize {
    if word.chars().next().is_some_and(is_of_script_without_spaces) { 4 } else { 8 }
}

/// How many characters like this one a voice speaks a second.
fn a_second(c: char) -> u32 {
    match c {
        // Kana, Hangul and Yi.
        '\u{1100}'..='\u{11FF}'
        | '\u{3040}'..='\u{30FF}'
        | '\u{3130}'..='\u{318F}'
        | '\u{31F0}'..='\u{31FF}'
        | '\u{A000}'..='\u{A4CF}'
        | '\u{A960}'..='\u{A97F}'
        | '\u{AC00}'..='\u{D7FF}'
        | '\u{FF65}'..='\u{FFDC}' => SYLLABLES_PER_SECOND,
        // The stops that are written with Chinese characters are pauses of about such a length.
        '\u{2E80}'..='\u{9FFF}'
        | '\u{F900}'..='\u{FAFF}'
        | '\u{FF00}'..='\u{FF20}'
        | '\u{20000}'..='\u{3FFFF}' => HAN_PER_SECOND,
        _ => LETTERS_PER_SECOND,
    }
}

/// Whether it is written in Chinese or Japanese, or with the letters of Thai, Lao, Burmese or Khmer. Korean has spaces.
fn is_of_script_without_spaces(c: char) -> bool {
    matches!(
        c,
        '\u{0E00}'..='\u{0EFF}'
            | '\u{1000}'..='\u{109F}'
            | '\u{1780}'..='\u{17FF}'
            | '\u{2E80}'..='\u{A4CF}'
            | '\u{F900}'..='\u{FAFF}'
            | '\u{FE30}'..='\u{FE4F}'
            | '\u{FF00}'..='\u{FFEF}'
            | '\u{20000}'..='\u{3FFFF}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_end_at_spaces_and_at_each_character_that_stands_for_itself() {
        for (text, expected) in [
            ("", &[] as &[&str]),
            (" Grüß dich,\n Welt\u{202f}! ", &["Grüß", "dich,", "Welt", "!"]),
            ("你好，世界。", &["你", "好", "，", "世", "界", "。"]),
            ("コーヒーです。", &["コーヒー", "で", "す", "。"]),
            ("สวัสดี ค่ะ", &["ส", "วั", "ส", "ดี", "ค่", "ะ"]),
            ("OK你好 Tom，“再见”", &["OK", "你", "好", "Tom", "，", "“", "再", "见", "”"]),
            ("저는 학생입니다.", &["저는", "학생입니다."]),
        ] {
            assert_eq!(words(text).collect::<Vec<_>>(), expected, "{text:?}");
        }
    }
}

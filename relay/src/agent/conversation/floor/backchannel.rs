//! What people say to show that they listen, by language.

use super::echo::words;

/// Whoever says more than this at a time wants to say something.
const SAID_MAX: usize = 4;

/// A language, and its back-channels as [`words`] has them. What can be a request or a refusal is not here.
type Language = (&'static str, &'static [&'static str]);

/// In every language.
const EVERYWHERE: &[&str] =
    &["mhm", "mm hm", "mm hmm", "mmhm", "mmhmm", "mm", "mmm", "hm", "hmm", "aha", "ah", "oh", "ok", "okay"];

const LANGUAGES: &[Language] = &[
    (
        "en",
        &[
            "uh huh",
            "uhhuh",
            "mm yeah",
            "yeah",
            "yes",
            "yep",
            "yup",
            "right",
            "sure",
            "i see",
            "got it",
            "alright",
            "all right",
            "of course",
        ],
    ),
    (
        "de",
        &[
            "ja",
            "jaja",
            "genau",
            "klar",
            "stimmt",
            "ach so",
            "achso",
            "gut",
            "alles klar",
            "verstehe",
            "richtig",
            "oké",
        ],
    ),
    ("fr", &["oui", "ouais", "daccord", "je vois", "voilà", "bien", "très bien", "bien sûr"]),
    ("es", &["sí", "si", "vale", "claro", "ajá", "ya", "entiendo", "de acuerdo", "muy bien"]),
    ("it", &["sì", "si", "va bene", "certo", "capisco", "esatto", "giusto"]),
    ("pt", &["sim", "tá", "tá bom", "certo", "aham", "uhum", "entendi", "claro", "está bem"]),
    ("nl", &["ja", "jaja", "oké", "precies", "juist", "klopt", "goed", "ik snap het"]),
    ("ja", &["は い", "う ん", "う ん う ん", "え え", "な る ほ ど", "そ う で す ね", "へ え"]),
    ("zh", &["嗯", "嗯 嗯", "对", "是", "是 的", "好", "好 的", "哦", "明 白"]),
];

/// The back-channels of whoever speaks.
#[derive(Debug)]
pub(super) struct BackChannels(Vec<&'static [&'static str]>);

impl BackChannels {
    /// Those of a language by its tag; of all languages if it is none of them, or not known.
    pub(super) fn of(tag: Option<&str>) -> BackChannels {
        let primary = tag.and_then(|tag| tag.split('-').next()).unwrap_or_default();
        let of_it = LANGUAGES.iter().filter(|(name, _)| name.eq_ignore_ascii_case(primary));
        let mut phrases: Vec<_> = of_it.map(|(_, phrases)| *phrases).collect();
        if phrases.is_empty() {
            phrases.extend(LANGUAGES.iter().map(|(_, phrases)| *phrases));
        }
        phrases.push(EVERYWHERE);
        BackChannels(phrases)
    }

    /// Whether a text is nothing else than back-channels, and few of them. As long as more may follow, the last one need not be whole: "all"
    /// may become "all right".
    pub(super) fn has(&self, text: &str, is_whole: bool) -> bool {
        let text = words(text).join(" ");
        let (mut rest, mut said) = (text.as_str(), 0);
        while !rest.is_empty() {
            said += 1;
            // The longest first: "mm hm" is one.
            let all = || self.0.iter().flat_map(|phrases| phrases.iter());
            match all().filter(|phrase| begins_with(rest, phrase)).max_by_key(|phrase| phrase.len()) {
                Some(phrase) => rest = rest[phrase.len()..].trim_start(),
                None if !is_whole && all().any(|phrase| begins_with(phrase, rest)) => break,
                None => return false,
            }
        }
        (1..=SAID_MAX).contains(&said)
    }
}

/// Whether a text is nothing else than back-channels in this language.
pub(in super::super) fn is_back_channel(language: Option<&str>, text: &str) -> bool {
    BackChannels::of(language).has(text, true)
}

fn begins_with(text: &str, phrase: &str) -> bool {
    text.strip_prefix(phrase).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_shows_that_they_listen_says_nothing_and_who_says_more_does() {
        for (tag, listens, speaks) in [
            (
                "en",
                &["Mhm.", "Uh-huh", "Yes, yes.", "Okay, I see.", "mm-hmm", "Okay okay okay okay"][..],
                &["No.", "Yes, but wait", "Stop", "Okay okay okay okay okay", ""][..],
            ),
            ("en-GB", &["All right."], &["Ja."]),
            ("de-CH", &["Ja, genau.", "Ach so!", "Alles klar"], &["Nein", "Ja aber", "Moment", "yeah"]),
            ("fr", &["D’accord.", "Très bien"], &["Non", "Attendez"]),
            ("ja", &["はい。", "なるほど"], &["いいえ", "待って"]),
            ("zh-TW", &["嗯嗯", "好的。"], &["不", "等一下"]),
            ("multi", &["Sí", "yeah", "ja"], &["no"]),
        ] {
            let back_channels = BackChannels::of(Some(tag));
            for text in listens {
                assert!(back_channels.has(text, true), "{tag}: {text}");
            }
            for text in speaks {
                assert!(!back_channels.has(text, true), "{tag}: {text}");
            }
        }
    }
}

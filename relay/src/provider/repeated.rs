//! Whether the words of a provider repeat what it was asked. What users, agents and tools say is in no log, and some servers answer a question that
//! they do not like with the whole of it, or with a piece.

use super::{Ask, Message};

/// So many words in a row that stand in both are no coincidence.
const IN_A_ROW: usize = 3;
/// A text of fewer words is looked for as a whole from this length on, in bytes: a shorter one, such as "No", stands in many words by chance.
const WHOLE_BYTES: usize = 5;
/// A word with a digit, such as a number that somebody has dictated, is one from this length on, in bytes.
const NUMBER_BYTES: usize = 3;
/// The first of the scripts that put no spaces between words, such as Thai and Chinese: each of their characters counts as a word.
const UNSPACED: char = '\u{0e00}';
/// What stands around a piece that is quoted.
const QUOTES: [(char, char); 6] =
    [('"', '"'), ('\'', '\''), ('`', '`'), ('\u{201c}', '\u{201d}'), ('\u{2018}', '\u{2019}'), ('«', '»')];

/// The texts that a provider was asked something with.
pub(super) struct Asked(Vec<String>);

impl Asked {
    /// What this asks.
    pub(super) fn of(ask: &Ask) -> Asked {
        let mut texts = Vec::new();
        match ask {
            Ask::Chat(chat) => chat.messages.iter().for_each(|message| match message {
                Message::System(text) | Message::User(text) => texts.push(text.clone()),
                Message::Assistant { text, calls } => {
                    texts.push(text.clone());
                    texts.extend(calls.iter().map(|call| call.arguments.clone()));
                }
                Message::ToolOutput { output, .. } => texts.push(output.clone()),
            }),
            Ask::Speak(text) => texts.push(text.clone()),
            Ask::Listen | Ask::Transcribe(_) => {}
        }
        Asked(texts)
    }

    /// More of the last text, which may go on in the middle of a word.
    pub(super) fn more(&mut self, text: &str) {
        match self.0.last_mut() {
            Some(last) => last.push_str(text),
            None => self.0.push(text.to_owned()),
        }
    }

    /// Whether these words repeat some of it: a text of one or two words, three words in a row of a longer one, a number, or whatever they quote.
    /// Words that are cut may repeat more than can be seen: then the last one may not begin any word of it either.
    pub(super) fn is_repeated_in(&self, said: &str, is_cut: bool) -> bool {
        let said = unescaped(said);
        let quoted: Vec<Vec<String>> = quoted(&said).into_iter().map(words).collect();
        let said = words(&said);
        let last = said.last().filter(|_| is_cut);
        self.0.iter().any(|text| {
            let asked = words(text);
            let has = |row: &[String]| !row.is_empty() && asked.windows(row.len()).any(|words| words == row);
            let is_telling =
                asked.len() >= IN_A_ROW || asked.iter().map(String::len).sum::<usize>() >= WHOLE_BYTES;
            let is_in_a_row = is_telling && said.windows(IN_A_ROW.min(asked.len())).any(has);
            let is_number = |word: &String| word.len() >= NUMBER_BYTES && word.contains(char::is_numeric);
            is_in_a_row
                || quoted.iter().any(|quoted| has(quoted))
                || said.iter().filter(|word| is_number(word)).any(|word| asked.contains(word))
                || last.is_some_and(|last| asked.iter().any(|word| word.starts_with(last.as_str())))
        })
    }
}

/// The words of a text, whatever stands between them and however they are written.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut goes_on = false;
    for char in text.chars() {
        let (is_of_a_word, is_a_word) = (char.is_alphanumeric(), char >= UNSPACED);
        match words.last_mut() {
            _ if !is_of_a_word => {}
            Some(word) if goes_on && !is_a_word => word.extend(char.to_lowercase()),
            _ => words.push(char.to_lowercase().collect()),
        }
        goes_on = is_of_a_word && !is_a_word;
    }
    words
}

/// The pieces of a text that stand between quotation marks. An apostrophe within a word is none.
fn quoted(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    for (opening, closing) in QUOTES {
        let mut from = 0;
        while let Some(at) = text[from..].find(opening) {
            let begins = from + at + opening.len_utf8();
            let is_apostrophe = text[..from + at].chars().next_back().is_some_and(char::is_alphanumeric);
            from = begins;
            if is_apostrophe {
                continue;
            }
            let mut ends = text[begins..].match_indices(closing).map(|(at, _)| begins + at);
            let is_end = |end: &usize| {
                let after = text[end + closing.len_utf8()..].chars().next();
                !after.is_some_and(char::is_alphanumeric)
            };
            if let Some(end) = ends.find(is_end) {
                pieces.push(&text[begins..end]);
                from = end + closing.len_utf8();
            }
        }
    }
    pieces
}

/// A text without the escapes of JSON, which one text has within another.
fn unescaped(text: &str) -> String {
    let mut units = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        if char != '\\' {
            units.extend_from_slice(char.encode_utf16(&mut [0; 2]));
            continue;
        }
        let rest = chars.as_str();
        let unit = rest.strip_prefix('u').and_then(|rest| rest.get(..4));
        match unit.and_then(|unit| u16::from_str_radix(unit, 16).ok()) {
            Some(unit) => {
                units.push(unit);
                chars = rest[5..].chars();
            }
            None => {
                units.push(u16::from(b' '));
                if rest.starts_with(['n', 'r', 't']) {
                    chars.next();
                }
            }
        }
    }
    String::from_utf16_lossy(&units)
}

#[cfg(test)]
mod tests {
    use super::super::{Chat, ToolCall};
    use super::*;

    fn asked(texts: &[&str]) -> Asked {
        Asked(texts.iter().map(|text| (*text).to_owned()).collect())
    }

    #[test]
    fn what_repeats_a_piece_of_what_was_asked_is_found_however_it_is_written() {
        let asked = asked(&[
            "You are brief and kind.",
            "My card is 4929 1203, and my name is Ada O'Neill.",
            "Heliotrope.",
            "我的银行卡号是多少",
            "{\"iban\":\"DE02\"}",
        ]);
        for said in [
            "[{'input': {'content': 'My card is 4929 1203, and my name is Ada'}}]",
            "cannot parse: MY CARD  IS\\n4929",
            "unexpected input my\\nname\\nis",
            "bad value \"Ada\"",
            "not allowed: `O'Neill`",
            "invalid number 4929 at 7",
            "heliotrope: no such tool",
            "输入无效：银行卡号",
            "bad input \\u94f6\\u884c\\u5361",
            "unknown argument iban (DE02)",
            "you are brief",
        ] {
            assert!(asked.is_repeated_in(said, false), "{said}");
        }
    }

    #[test]
    fn what_a_provider_says_in_its_own_words_is_no_repetition() {
        let asked = asked(&[
            "",
            "No.",
            "My card is 4929 1203, and my name is Ada. It's the model that I don't trust.",
        ]);
        for said in [
            "",
            "no end in time",
            "HTTP 404: The model `gpt-9` does not exist or you do not have access to it.",
            "HTTP 400: Unsupported parameter: 'max_tokens' isn't supported with this model, it's too old",
            "HTTP 429: Rate limit reached for requests per minute: Limit 3, Used 3. My advice is to wait",
            "HTTP 400: maximum context length is 8192 tokens",
        ] {
            assert!(!asked.is_repeated_in(said, false), "{said}");
        }
        assert!(!Asked::of(&Ask::Listen).is_repeated_in("anything at all", true));
    }

    #[test]
    fn the_last_word_of_what_is_cut_begins_no_word_of_what_was_asked() {
        let asked = asked(&["Krankenversicherung"]);
        assert!(asked.is_repeated_in("invalid input: Kranken", true));
        assert!(!asked.is_repeated_in("invalid input: Kranken", false));
        assert!(!asked.is_repeated_in("invalid input: something", true));
    }

    #[test]
    fn everything_that_is_asked_in_words_is_looked_for() {
        let call =
            ToolCall { id: "c".to_owned(), name: "f".to_owned(), arguments: "to Lyon soon".to_owned() };
        let messages = vec![
            Message::System("be very polite".to_owned()),
            Message::User("where is Anna".to_owned()),
            Message::Assistant { text: "let me look".to_owned(), calls: vec![call] },
            Message::ToolOutput {
                call_id: "c".to_owned(),
                output: "the train leaves".to_owned(),
                is_error: false,
            },
        ];
        let chat = Asked::of(&Ask::Chat(Chat { messages, tools: Vec::new(), max_output_tokens: 1 }));
        for said in ["be very polite", "where is anna", "let me look", "to lyon soon", "the train leaves"] {
            assert!(chat.is_repeated_in(said, false), "{said}");
        }
        let mut voice = Asked::of(&Ask::Speak("Good mor".to_owned()));
        voice.more("ning, Anna");
        assert!(voice.is_repeated_in("cannot speak: good morning anna", false));
    }
}

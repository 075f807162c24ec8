//! What a client says among its audio: lossless, numbered in one sequence with it.

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Mark, ParseError};
use crate::json::Document;

/// The longest text that an agent is to read, say or know, in characters (Unicode scalar values).
pub const TEXT_MAX_CHARS: usize = 4_000;
/// The longest output of a tool, and all variables of one message together, in characters.
pub const DATA_MAX_CHARS: usize = 16_000;
/// Room that any message of a client fits in, in bytes, whatever is in its text.
pub const MESSAGE_MAX_BYTES: usize = 128 * 1024;

macro_rules! upward {
    ($(
        $(#[$doc:meta])*
        $word:literal => $variant:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }
    )*) => {
        /// A message that keeps its place among the audio: delivered in order with it, once, never swallowed by a gap.
        ///
        /// As a value of its own, without its place, its fields are written in camel case: as an application sees them.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
        #[serde(tag = "type", rename_all_fields = "camelCase")]
        pub enum Upward {
            $($(#[$doc])* #[serde(rename = $word)] $variant { $($(#[$field_doc])* $field: $type,)* },)*
        }

        impl Upward {
            /// The `type` of each on the wire, which is also the word of `features` that a relay has to name.
            pub const WORDS: &[&str] = &[$($word,)*];

            /// Its `type` on the wire.
            #[must_use]
            pub const fn word(&self) -> &'static str {
                match self { $(Upward::$variant { .. } => $word,)* }
            }

            /// Reads the one that `word` names.
            fn read_as(word: &str, document: &Document<'_>) -> Option<Self> {
                match word {
                    $($word => {
                        #[derive(Deserialize)]
                        struct Fields { $($field: $type,)* }
                        document.read().map(|Fields { $($field,)* }| Upward::$variant { $($field,)* })
                    })*
                    _ => None,
                }
            }
        }

        impl Serialize for Numbered {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match &self.message {
                    $(Upward::$variant { $($field,)* } => {
                        let fields = [$(stringify!($field),)*].len() + 3;
                        let mut object = serializer.serialize_struct($word, fields)?;
                        object.serialize_field("type", $word)?;
                        object.serialize_field("seq", &self.mark.seq)?;
                        object.serialize_field("position", &self.mark.position)?;
                        $(object.serialize_field(stringify!($field), $field)?;)*
                        object.end()
                    })*
                }
            }
        }
    };
}

/// Hands the list of what a client says among its audio to the macro `$then`: of each its documentation, its `type`, its name and its fields.
#[macro_export]
macro_rules! upward_messages {
    ($then:ident) => {
        $then! {
            /// What the user typed: an utterance like one that was spoken.
            "text" => Text {
                /// The words.
                text: String,
            }
            /// Words that the agent is to speak as they are.
            "say" => Say {
                /// The words.
                text: String,
                /// Whether what the agent is saying is cut off for them.
                interrupt: bool,
            }
            /// Something that the agent is to know, and need not answer.
            "context" => Context {
                /// The words.
                text: String,
            }
            /// Values for the agent's prompt, in place of the earlier ones of the same names.
            "variables" => Variables {
                /// Names and values.
                variables: Variables,
            }
            /// What a tool that the page runs has given.
            "tool_result" => ToolResult {
                /// The id of the `tool_call`.
                call_id: String,
                /// What it gave, or what went wrong.
                output: String,
                /// Whether it failed.
                is_error: bool,
            }
            /// What the user really said in a turn, in place of what was understood.
            "correction" => Correction {
                /// The turn.
                turn: u32,
                /// The words.
                text: String,
            }
        }
    };
}

upward_messages!(upward);

/// Names and values, an object on the wire. Of one name that comes twice, the later value counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables(pub Vec<(String, String)>);

impl Serialize for Variables {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl<'de> Deserialize<'de> for Variables {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = Variables;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Variables, A::Error> {
                let mut variables = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    variables.push(entry);
                }
                Ok(Variables(variables))
            }
        }
        deserializer.deserialize_map(Texts)
    }
}

/// More text than a message may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// Characters that it may have.
    pub limit: usize,
    /// Characters that it has.
    pub asked: usize,
}

impl Upward {
    /// Reads one from JSON text, whose `seq` and `position` are of no matter.
    ///
    /// # Errors
    /// When it is another message, or not as it has to be.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let document = Document::parse(text).ok_or(ParseError::Malformed)?;
        let word = document.word().ok_or(ParseError::Malformed)?;
        Upward::read_as(&word, &document).ok_or(ParseError::Malformed)
    }

    /// Bytes of all its text.
    #[must_use]
    pub fn length(&self) -> usize {
        match self {
            Upward::Text { text }
            | Upward::Say { text, .. }
            | Upward::Context { text }
            | Upward::Correction { text, .. } => text.len(),
            Upward::ToolResult { call_id, output, .. } => call_id.len() + output.len(),
            Upward::Variables { variables } => {
                variables.0.iter().map(|(name, value)| name.len() + value.len()).sum()
            }
        }
    }

    /// Looks whether its text is as short as it has to be.
    ///
    /// # Errors
    /// With what it may have and what it has.
    pub fn check_length(&self) -> Result<(), TooLong> {
        let chars = |text: &String| text.chars().count();
        let (limit, asked) = match self {
            Upward::Text { text }
            | Upward::Say { text, .. }
            | Upward::Context { text }
            | Upward::Correction { text, .. } => (TEXT_MAX_CHARS, chars(text)),
            Upward::ToolResult { call_id, output, .. } => (DATA_MAX_CHARS, chars(call_id) + chars(output)),
            Upward::Variables { variables } => {
                (DATA_MAX_CHARS, variables.0.iter().map(|(name, value)| chars(name) + chars(value)).sum())
            }
        };
        if asked > limit { Err(TooLong { limit, asked }) } else { Ok(()) }
    }
}

/// An upward message in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbered {
    /// Its number, and the position of the audio that it stands before.
    pub mark: Mark,
    /// What it says.
    pub message: Upward,
}

impl Numbered {
    pub(super) fn is(word: &str) -> bool {
        Upward::WORDS.contains(&word)
    }

    pub(super) fn read(word: &str, document: &Document<'_>) -> Option<Self> {
        Some(Numbered { mark: document.read()?, message: Upward::read_as(word, document)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClientMessage, write_json};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn length_is_counted_in_characters_and_the_longest_fits_a_message_however_it_is_written() {
        for (text, limit) in [("ü", TEXT_MAX_CHARS), ("\u{1}", TEXT_MAX_CHARS), ("\u{10348}", TEXT_MAX_CHARS)]
        {
            let longest = Upward::Text { text: text.repeat(limit) };
            assert_eq!(longest.check_length(), Ok(()));
            let longer = Upward::Context { text: text.repeat(limit + 1) };
            assert_eq!(longer.check_length(), Err(TooLong { limit, asked: limit + 1 }));
        }
        let output = "\u{1}".repeat(DATA_MAX_CHARS);
        let longest = Upward::ToolResult { call_id: String::new(), output, is_error: false };
        assert_eq!(longest.check_length(), Ok(()));
        let mark = Mark { seq: u32::MAX, position: u32::MAX };
        let json = ClientMessage::from(Numbered { mark, message: longest }).to_json();
        assert!(json.len() <= MESSAGE_MAX_BYTES, "{}", json.len());
    }

    #[test]
    fn what_an_application_is_told_back_of_a_tool_has_its_fields_in_camel_case_and_the_wire_has_not() {
        let wire =
            r#"{"type":"tool_result","seq":1,"position":0,"call_id":"c7","output":"{}","is_error":true}"#;
        let message = Upward::parse(wire).expect("a message");
        let told = r#"{"type":"tool_result","callId":"c7","output":"{}","isError":true}"#;
        assert_eq!(write_json(&message), told);
        let numbered = Numbered { mark: Mark { seq: 1, position: 0 }, message };
        assert_eq!(ClientMessage::from(numbered).to_json(), wire);
    }

    #[test]
    fn variables_are_an_object_of_texts_and_nothing_else() {
        let empty = r#"{"type":"variables","seq":1,"position":0,"variables":{}}"#;
        let read = Upward::parse(empty).expect("none are some, too");
        let numbered = Numbered { mark: Mark { seq: 1, position: 0 }, message: read };
        assert_eq!(ClientMessage::from(numbered).to_json(), empty);
        for wrong in
            [r#"{"type":"variables","variables":{"a":1}}"#, r#"{"type":"variables","variables":["a"]}"#]
        {
            assert_eq!(Upward::parse(wrong), Err(ParseError::Malformed), "{wrong}");
        }
    }
}

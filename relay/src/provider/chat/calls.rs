//! Calls of tools, put together from the pieces in which chat servers send them.

use serde_json::Value;

use crate::provider::ToolCall;
use crate::provider::fields::{is_nothing, whole};

/// The calls that one answer may have; more are left out.
const CALLS_MAX: usize = 64;

/// The calls of one answer.
///
/// A piece says which call it is of by its `index` (OpenAI's API reference, "Chat, streaming"), and the first one of a call has an `id` and a
/// name. Other servers send every call with the index 0 or none, without an id, with arguments that are whole or even an object. So another
/// call begins with an id that is new, and with a name where the call has one already, unless the arguments so far are only half of a JSON
/// text. A call that never gets a name is left out.
#[derive(Debug)]
pub(super) struct Calls {
    /// What the names of calls begin with that a server has not named: another one for each request.
    prefix: String,
    open: Vec<Open>,
    /// Calls that were told.
    told: usize,
    /// Their names.
    taken: Vec<String>,
}

#[derive(Debug, Default)]
struct Open {
    index: Option<u64>,
    id: Option<String>,
    name: String,
    arguments: Json,
}

/// A JSON text that comes in pieces.
#[derive(Debug, Default)]
struct Json {
    text: String,
    /// Something other than white space has come.
    is_begun: bool,
    /// Objects and lists that are open.
    depth: usize,
    in_string: bool,
    /// The last character was a backslash in a string.
    escaped: bool,
}

/// What a piece says.
struct Piece<'a> {
    index: Option<u64>,
    id: Option<&'a str>,
    name: Option<&'a str>,
    arguments: String,
}

impl Calls {
    /// For the answer to one request.
    pub(super) fn new(prefix: String) -> Calls {
        Calls { prefix, open: Vec::new(), told: 0, taken: Vec::new() }
    }

    /// The next piece, an item of `tool_calls`.
    pub(super) fn read(&mut self, piece: &Value) {
        let piece = Piece::from(piece);
        let call = match self.place(&piece) {
            Some(place) => &mut self.open[place],
            None if piece.id.is_none() && piece.name.is_none() && piece.arguments.is_empty() => return,
            None if self.told + self.open.len() == CALLS_MAX => return,
            None => self.open.push_mut(Open { index: piece.index, ..Open::default() }),
        };
        if call.id.is_none() {
            call.id = piece.id.map(str::to_owned);
        }
        if call.name.is_empty() {
            call.name.push_str(piece.name.unwrap_or_default());
        }
        call.arguments.push(&piece.arguments);
    }

    /// The calls that have come so far. Nothing more is added to them.
    pub(super) fn take(&mut self) -> Vec<ToolCall> {
        let mut calls = Vec::new();
        for Open { id, name, arguments, .. } in std::mem::take(&mut self.open) {
            if name.is_empty() {
                continue;
            }
            self.told += 1;
            let id = id
                .filter(|id| !self.taken.contains(id))
                .unwrap_or_else(|| format!("{}_{}", self.prefix, self.told));
            self.taken.push(id.clone());
            let arguments = if is_nothing(&arguments.text) { "{}".to_owned() } else { arguments.text };
            calls.push(ToolCall { id, name, arguments });
        }
        calls
    }

    /// The call that a piece is of; `None` for another one.
    fn place(&self, piece: &Piece<'_>) -> Option<usize> {
        let place = match piece.index {
            Some(index) => self.open.iter().rposition(|call| call.index == Some(index))?,
            None => self.open.len().checked_sub(1)?,
        };
        let call = &self.open[place];
        (!piece.begins_after(call)).then_some(place)
    }
}

impl Piece<'_> {
    /// Whether it is of another call than this one, which has its index.
    fn begins_after(&self, call: &Open) -> bool {
        let is_named_anew = match (self.id, call.id.as_deref()) {
            (Some(id), Some(own)) => id != own,
            // The name came before the id.
            (Some(_), None) => self.name.is_some() && !call.name.is_empty(),
            (None, _) => false,
        };
        let has_name = self.name.is_some() && !call.name.is_empty();
        // Some say the name with every piece.
        let is_same = self.id.is_some() && self.id == call.id.as_deref();
        let goes_on = if call.arguments.is_begun {
            !call.arguments.is_whole() || (is_same && self.arguments.is_empty())
        } else {
            self.name == Some(&call.name) && (is_same || !self.arguments.is_empty())
        };
        is_named_anew || (has_name && !goes_on)
    }
}

impl<'a> From<&'a Value> for Piece<'a> {
    fn from(piece: &'a Value) -> Self {
        let text = |value: Option<&'a Value>| value.and_then(Value::as_str).filter(|text| !text.is_empty());
        let function = piece.get("function");
        let arguments = match function.and_then(|function| function.get("arguments")) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(whole) => whole.to_string(),
        };
        Piece {
            index: piece.get("index").and_then(whole),
            id: text(piece.get("id")),
            name: text(function.and_then(|function| function.get("name"))),
            arguments,
        }
    }
}

impl Json {
    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        for next in text.bytes() {
            self.is_begun |= !next.is_ascii_whitespace();
            match next {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                b'{' | b'[' if !self.in_string => self.depth += 1,
                b'}' | b']' if !self.in_string => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    /// Whether every bracket and string of it is closed.
    fn is_whole(&self) -> bool {
        self.depth == 0 && !self.in_string
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The calls that these pieces make, as `id name arguments`.
    fn calls(pieces: &str) -> Vec<String> {
        let pieces: Vec<Value> = serde_json::from_str(&format!("[{pieces}]")).expect("JSON");
        let mut calls = Calls::new("call".to_owned());
        for piece in &pieces {
            calls.read(piece);
        }
        let told =
            calls.take().into_iter().map(|call| format!("{} {} {}", call.id, call.name, call.arguments));
        let told = told.collect();
        assert_eq!(calls.take(), [], "each is told once");
        told
    }

    #[test]
    fn pieces_are_put_together_by_their_index() {
        let pieces = r#"{"index":0,"id":"a","type":"function","function":{"name":"look","arguments":""}},
            {"index":0,"function":{"arguments":"{\"at\":"}},
            {"index":1,"id":"b","type":"function","function":{"name":"look","arguments":""}},
            {"index":1,"function":{"arguments":"{\"at\": \"}{\\\"\"}"}},
            {"index":0,"function":{"arguments":"1}"}}"#;
        assert_eq!(calls(pieces), [r#"a look {"at":1}"#, r#"b look {"at": "}{\""}"#]);
    }

    #[test]
    fn calls_that_all_have_one_index_or_none_are_still_several() {
        for index in [r#""index":0,"#, r#""index":null,"#, ""] {
            // A new id.
            let pieces = r#"{INDEX"id":"a","function":{"name":"look","arguments":{"at":1}}},
                {INDEX"id":"b","function":{"name":"look","arguments":{"at":2}}}"#;
            assert_eq!(calls(&pieces.replace("INDEX", index)), [r#"a look {"at":1}"#, r#"b look {"at":2}"#]);
            // A new id alone.
            let pieces = r#"{INDEX"id":"a","function":{"name":"go"}},
                {INDEX"id":"b","function":{"name":"go","arguments":"{}"}}"#;
            assert_eq!(calls(&pieces.replace("INDEX", index)), ["a go {}", "b go {}"]);
            // A second name, after arguments that are whole whatever their strings hold.
            let pieces = r#"{INDEX"function":{"name":"say","arguments":"[\"\\\"{\"]"}},
                {INDEX"function":{"name":"say","arguments":"{}"}}"#;
            assert_eq!(calls(&pieces.replace("INDEX", index)), [r#"call_1 say ["\"{"]"#, "call_2 say {}"]);
            // A second name.
            let pieces = r#"{INDEX"function":{"name":"look","arguments":"{\"at\":1}"}},
                {INDEX"function":{"name":"look","arguments":"{\"at\":2}"}},
                {INDEX"id":"","function":{"name":"go"}},
                {INDEX"id":null,"function":{"name":"go","arguments":null}},
                {INDEX"function":{"name":"stop","arguments":"  "}}"#;
            assert_eq!(
                calls(&pieces.replace("INDEX", index)),
                [
                    r#"call_1 look {"at":1}"#,
                    r#"call_2 look {"at":2}"#,
                    "call_3 go {}",
                    "call_4 go {}",
                    "call_5 stop {}",
                ]
            );
        }
    }

    #[test]
    fn a_server_that_says_the_name_with_every_piece_makes_one_call() {
        for id in ["", r#""id":"a","#] {
            let pieces = r#"{ID"index":0,"function":{"name":"look","arguments":""}},
                {ID"index":0,"function":{"name":"look","arguments":"{\"at\""}},
                {ID"index":0,"function":{"name":"look","arguments":":1}"}}"#;
            let expected = if id.is_empty() { r#"call_1 look {"at":1}"# } else { r#"a look {"at":1}"# };
            assert_eq!(calls(&pieces.replace("ID", id)), [expected]);
        }
        let pieces = r#"{"id":"a","function":{"name":"look"}},{"id":"a","function":{"name":"look"}},
            {"id":"a","function":{"name":"look","arguments":"{}"}},{"id":"a","function":{"name":"look","arguments":""}}"#;
        assert_eq!(calls(pieces), ["a look {}"]);
    }

    #[test]
    fn two_calls_never_have_one_name_and_what_has_no_tool_is_left_out() {
        let pieces = r#"{"id":"a","function":{"name":"look","arguments":{"at":1}}},
            {"id":"a","function":{"name":"look","arguments":{"at":2}}}, {"index":7,"id":"c"},
            {"index":8,"function":{"arguments":"{}"}}, null, 7, "text", [], {}, {"index":-1,"id":7,"function":"look"}"#;
        assert_eq!(calls(pieces), [r#"a look {"at":1}"#, r#"call_2 look {"at":2}"#]);
        // The id may come after the name.
        let pieces =
            r#"{"index":0,"function":{"name":"look"}},{"index":0,"id":"a","function":{"arguments":"{}"}}"#;
        assert_eq!(calls(pieces), ["a look {}"]);
    }

    #[test]
    fn a_tool_that_is_called_with_nothing_is_given_an_empty_object_however_that_is_written() {
        for nothing in [r#""""#, r#"" ""#, r#""null""#, r#"" null\n""#, "null", "{}", r#""{}""#] {
            let pieces = r#"{"id":"a","function":{"name":"go","arguments":NOTHING}},
                {"id":"b","function":{"name":"go","arguments":NOTHING}}"#;
            assert_eq!(calls(&pieces.replace("NOTHING", nothing)), ["a go {}", "b go {}"], "{nothing}");
        }
        let pieces = r#"{"index":0,"id":"a","function":{"name":"go","arguments":"nu"}},
            {"index":0,"function":{"arguments":"ll"}}"#;
        assert_eq!(calls(pieces), ["a go {}"]);
    }

    #[test]
    fn more_calls_than_any_answer_has_are_left_out() {
        let pieces: Vec<String> =
            (0..1_000).map(|n| format!(r#"{{"index":{n},"function":{{"name":"look"}}}}"#)).collect();
        assert_eq!(calls(&pieces.join(",")).len(), CALLS_MAX);
    }
}

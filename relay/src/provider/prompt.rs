//! What a language model is told, made such that providers take it, whatever was said and called.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::Message;

/// What a model is told of a call of which nobody has said what came of it.
const NO_OUTPUT: &str = "The call was cancelled.";

/// These messages with the outputs of calls directly behind them, in the order of the calls: one for each, which says so if none is known.
/// Of several outputs of a call the last one counts; an output without a call is left out. Providers refuse anything else.
pub(super) fn paired(messages: &[Message]) -> Vec<Cow<'_, Message>> {
    // Of each call its output, by the places of message and call: a model may use a name again.
    let mut outputs: HashMap<(usize, usize), &Message> = HashMap::new();
    let mut called: HashMap<&str, (usize, usize)> = HashMap::new();
    for (place, message) in messages.iter().enumerate() {
        match message {
            Message::Assistant { calls, .. } => {
                called.extend(calls.iter().enumerate().map(|(number, call)| (&*call.id, (place, number))));
            }
            Message::ToolOutput { call_id, .. } => {
                if let Some(call) = called.get(&**call_id) {
                    outputs.insert(*call, message);
                }
            }
            Message::System(_) | Message::User(_) => {}
        }
    }
    let mut paired = Vec::with_capacity(messages.len());
    for (place, message) in messages.iter().enumerate() {
        if matches!(message, Message::ToolOutput { .. }) {
            continue;
        }
        paired.push(Cow::Borrowed(message));
        let Message::Assistant { calls, .. } = message else { continue };
        for (number, call) in calls.iter().enumerate() {
            paired.push(outputs.get(&(place, number)).map_or_else(
                || {
                    Cow::Owned(Message::ToolOutput {
                        call_id: call.id.clone(),
                        output: NO_OUTPUT.to_owned(),
                        is_error: true,
                    })
                },
                |output| Cow::Borrowed(*output),
            ));
        }
    }
    paired
}

/// The object that a JSON text is; an empty one for any other text.
pub(super) fn object(json: &str) -> Map<String, Value> {
    serde_json::from_str(json).unwrap_or_default()
}

/// The schema that a JSON text is: of an object, of any if it does not say which.
pub(super) fn schema(json: &str) -> Map<String, Value> {
    let mut schema = object(json);
    schema.entry("type").or_insert_with(|| "object".into());
    schema
}

/// What the names of calls begin with that a server has not named, in the answer to the request with this body.
///
/// Two requests of a conversation are never the same, since each is told what came of the one before: nor are the names of their calls.
pub(super) fn call_names(body: &[u8]) -> String {
    let digest = Sha256::digest(body);
    digest[..8].iter().fold("call_".to_owned(), |names, byte| format!("{names}{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::super::ToolCall;
    use super::*;

    fn user(text: &str) -> Message {
        Message::User(text.to_owned())
    }

    fn calls(ids: &[&str]) -> Message {
        let call = |id: &&str| ToolCall {
            id: (*id).to_owned(),
            name: "look".to_owned(),
            arguments: "{}".to_owned(),
        };
        Message::Assistant { text: String::new(), calls: ids.iter().map(call).collect() }
    }

    fn output(id: &str, output: &str) -> Message {
        Message::ToolOutput { call_id: id.to_owned(), output: output.to_owned(), is_error: false }
    }

    fn cancelled(id: &str) -> Message {
        Message::ToolOutput { call_id: id.to_owned(), output: NO_OUTPUT.to_owned(), is_error: true }
    }

    #[test]
    fn every_call_has_one_output_directly_behind_it_whatever_the_history_is() {
        for (history, expected) in [
            (vec![], vec![]),
            (
                vec![user("a"), calls(&["1"]), output("1", "x")],
                vec![user("a"), calls(&["1"]), output("1", "x")],
            ),
            // Out of order, late, twice.
            (
                vec![calls(&["1", "2"]), output("2", "y"), user("a"), output("1", "x"), output("1", "z")],
                vec![calls(&["1", "2"]), output("1", "z"), output("2", "y"), user("a")],
            ),
            // None, or of nobody, or before its call.
            (
                vec![output("1", "x"), calls(&["1", "2"]), output("3", "y"), output("2", "z")],
                vec![calls(&["1", "2"]), cancelled("1"), output("2", "z")],
            ),
            // A name that is used again, in another message and in the same.
            (
                vec![calls(&["1"]), output("1", "x"), calls(&["1"]), output("1", "y")],
                vec![calls(&["1"]), output("1", "x"), calls(&["1"]), output("1", "y")],
            ),
            (
                vec![calls(&["1", "1"]), output("1", "x")],
                vec![calls(&["1", "1"]), cancelled("1"), output("1", "x")],
            ),
        ] {
            let told: Vec<Message> = paired(&history).into_iter().map(Cow::into_owned).collect();
            assert_eq!(told, expected, "{history:?}");
        }
    }

    #[test]
    fn what_is_no_object_is_an_empty_one_and_a_schema_says_that_it_is_of_an_object() {
        for json in ["", "null", "[1]", "\"a\"", "{\"a\":", "7"] {
            assert_eq!(object(json), Map::new(), "{json}");
            assert_eq!(Value::Object(schema(json)), serde_json::json!({"type": "object"}), "{json}");
        }
        assert_eq!(Value::Object(object("{\"a\":1}")), serde_json::json!({"a": 1}));
        let given = "{\"type\":\"object\",\"properties\":{}}";
        assert_eq!(Value::Object(schema(given)).to_string(), "{\"properties\":{},\"type\":\"object\"}");
    }
}

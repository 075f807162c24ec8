//! What a language model is told, made such that providers take it, whatever was said and called.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet, VecDeque};

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::Message;

/// What stands for the user where the model has the first word.
pub(super) const BEGINS: &str = "(the call begins)";
/// What stands for the user where the model has the last word.
pub(super) const SILENT: &str = "(the user says nothing)";
/// What stands for the model where the user goes on before it has said what came of its calls: words that it may say again.
const WAITS: &str = "One moment.";
/// What a model is told of a call of which nobody has said what came of it.
const NO_OUTPUT: &str = "The call was cancelled.";
/// The longest name of a tool.
const NAME_MAX_BYTES: usize = 64;

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

/// These messages, calls and outputs in pairs, such that the user and the model take turns and the user has the first word and the last: the
/// templates of many models refuse any other history, as those of Mistral and Gemma do ("roles must alternate"), and outputs that the user follows.
/// What one of them says several times in a row is one message, a line for each; of nothing is nothing told.
pub(super) fn in_turns(messages: Vec<Cow<'_, Message>>) -> Vec<Cow<'_, Message>> {
    let mut turns: Vec<Cow<'_, Message>> = Vec::with_capacity(messages.len() + 1);
    for message in messages.into_iter().filter(|message| !is_nothing(message)) {
        if let Some(before) = turns.last_mut()
            && let Some(both) = in_one(before, &message)
        {
            *before = Cow::Owned(both);
            continue;
        }
        let stands_in = match (turns.last().map(|before| &**before), &*message) {
            (None | Some(Message::System(_)), Message::Assistant { .. }) => {
                Some(Message::User(BEGINS.to_owned()))
            }
            (Some(Message::ToolOutput { .. }), Message::User(_)) => {
                Some(Message::Assistant { text: WAITS.to_owned(), calls: Vec::new() })
            }
            _ => None,
        };
        turns.extend(stands_in.map(Cow::Owned));
        turns.push(message);
    }
    let silent = match turns.last().map(|last| &**last) {
        None | Some(Message::System(_)) => Some(BEGINS),
        Some(Message::Assistant { .. }) => Some(SILENT),
        Some(Message::User(_) | Message::ToolOutput { .. }) => None,
    };
    turns.extend(silent.map(|text| Cow::Owned(Message::User(text.to_owned()))));
    turns
}

/// Whether a message has no word and no call.
fn is_nothing(message: &Message) -> bool {
    match message {
        Message::System(text) | Message::User(text) => text.trim().is_empty(),
        Message::Assistant { text, calls } => text.trim().is_empty() && calls.is_empty(),
        Message::ToolOutput { .. } => false,
    }
}

/// Two messages in one, if the same one says them and nothing stands between.
fn in_one(before: &Message, next: &Message) -> Option<Message> {
    let lines = |before: &str, next: &str| match (before.trim().is_empty(), next.trim().is_empty()) {
        (true, _) => next.to_owned(),
        (_, true) => before.to_owned(),
        (false, false) => format!("{before}\n{next}"),
    };
    match (before, next) {
        (Message::User(before), Message::User(next)) => Some(Message::User(lines(before, next))),
        (Message::Assistant { text: before, calls: none }, Message::Assistant { text: next, calls })
            if none.is_empty() =>
        {
            Some(Message::Assistant { text: lines(before, next), calls: calls.clone() })
        }
        _ => None,
    }
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

/// The ids of the calls in a history, as a server takes them. A call may have been made by the model of another provider.
pub(super) struct Ids<'a> {
    /// Whether the server takes an id as it is. Of one that is not told, every id is kept, also one that comes twice.
    is_taken: Option<fn(&str) -> bool>,
    given: HashSet<Cow<'a, str>>,
    /// Those whose outputs have not come. They come in the order of the calls.
    open: VecDeque<Cow<'a, str>>,
}

impl<'a> Ids<'a> {
    /// For a server that takes these as they are, each once, and any of nine letters and digits; or for one of which that is not known.
    pub(super) fn new(is_taken: Option<fn(&str) -> bool>) -> Ids<'a> {
        Ids { is_taken, given: HashSet::new(), open: VecDeque::new() }
    }

    /// That of the next call, which its model has given this id.
    pub(super) fn of_call(&mut self, id: &'a str) -> Cow<'a, str> {
        let mut own = Cow::Borrowed(id);
        let mut number = self.given.len();
        let is_wrong = |own: &str, given: &HashSet<Cow<'a, str>>| {
            self.is_taken.is_some_and(|is_taken| !is_taken(own) && !is_nine(own) || given.contains(own))
        };
        while own.is_empty() || is_wrong(&own, &self.given) {
            number += 1;
            own = Cow::Owned(format!("call{number:05}"));
        }
        self.given.insert(own.clone());
        self.open.push_back(own.clone());
        own
    }

    /// That of the call whose output comes next. The messages have to be [`paired`].
    pub(super) fn of_output(&mut self) -> Cow<'a, str> {
        self.open.pop_front().expect("the messages are in pairs")
    }
}

/// Whether an id is nine letters and digits: the only ones that Mistral's servers and the templates of its models take.
fn is_nine(id: &str) -> bool {
    id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Whether a byte may stand in the name of a tool, wherever that is sent.
pub(super) fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// The name of a tool that was called, as providers take it: models call what there is not, such as `multi_tool_use.parallel`.
pub(super) fn called_name(called: &str) -> Cow<'_, str> {
    if !called.is_empty() && called.len() <= NAME_MAX_BYTES && called.bytes().all(is_plain) {
        return Cow::Borrowed(called);
    }
    let plain = called.bytes().map(|byte| if is_plain(byte) { char::from(byte) } else { '_' });
    let plain: String = plain.take(NAME_MAX_BYTES).collect();
    Cow::Owned(if plain.is_empty() { "_".to_owned() } else { plain })
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

    fn said(text: &str) -> Message {
        Message::Assistant { text: text.to_owned(), calls: Vec::new() }
    }

    fn turns(history: &[Message]) -> Vec<Message> {
        in_turns(paired(history)).into_iter().map(Cow::into_owned).collect()
    }

    #[test]
    fn who_says_several_things_in_a_row_says_them_in_one_message_and_somebody_has_each_turn() {
        let system = || Message::System("Be brief.".to_owned());
        let call = |text: &str| match calls(&["1"]) {
            Message::Assistant { calls, .. } => Message::Assistant { text: text.to_owned(), calls },
            other => other,
        };
        for (history, expected) in [
            (vec![system(), user("a")], vec![system(), user("a")]),
            // A greeting.
            (vec![system(), said("Hi."), user("a")], vec![system(), user(BEGINS), said("Hi."), user("a")]),
            // What the page adds, and what the agent is told to say.
            (
                vec![user("a"), said("b"), said("c"), user("d"), user("e"), user(" "), user("f")],
                vec![user("a"), said("b\nc"), user("d\ne\nf")],
            ),
            (vec![user("a"), said("b")], vec![user("a"), said("b"), user(SILENT)]),
            (vec![system(), user(" ")], vec![system(), user(BEGINS)]),
            // The user goes on while a tool runs.
            (
                vec![user("a"), said("b"), calls(&["1"]), output("1", "x"), user("c"), user("d")],
                vec![user("a"), call("b"), output("1", "x"), said(WAITS), user("c\nd")],
            ),
            (
                vec![user("a"), calls(&["1"]), output("1", "x")],
                vec![user("a"), calls(&["1"]), output("1", "x")],
            ),
        ] {
            assert_eq!(turns(&history), expected, "{history:?}");
        }
    }

    /// What strict templates refuse. Those of Mistral count neither calls nor their outputs as turns.
    fn fault(messages: &[Message]) -> Option<&'static str> {
        let (mut before, mut is_users) = (None::<&Message>, true);
        for message in messages {
            let is_next = match (before, message) {
                (None, message) => matches!(message, Message::User(_)),
                (Some(Message::ToolOutput { .. }), message) => !matches!(message, Message::User(_)),
                (Some(Message::Assistant { calls, .. }), Message::ToolOutput { .. }) => !calls.is_empty(),
                (Some(_), message) => !matches!(message, Message::ToolOutput { .. }),
            };
            if !is_next {
                return Some("nobody may say that there");
            }
            let is_user = matches!(message, Message::User(_));
            let is_turn = is_user || matches!(message, Message::Assistant { calls, .. } if calls.is_empty());
            if is_turn && is_user != is_users {
                return Some("roles must alternate");
            }
            is_users ^= is_turn;
            before = Some(message);
        }
        let is_end = matches!(before, Some(Message::User(_) | Message::ToolOutput { .. }));
        (!is_end).then_some("the model has the last word")
    }

    /// Every history of up to five of these messages: whatever a call that is cut, taken over or shortened leaves.
    #[test]
    fn no_history_is_refused_by_a_strict_template_and_no_word_of_it_is_lost() {
        let pieces = [user("Hello"), user(""), said("Hi."), said(" "), calls(&["1", "2"]), output("1", "x")];
        for length in 0..=5 {
            for number in 0..pieces.len().pow(length) {
                let piece = |place| pieces[number / pieces.len().pow(place) % pieces.len()].clone();
                let history: Vec<Message> = (0..length).map(piece).collect();
                let turns = turns(&history);
                assert_eq!(fault(&turns), None, "{history:?} makes {turns:?}");
                for word in ["Hello", "Hi."] {
                    let count = |messages: &[Message]| format!("{messages:?}").matches(word).count();
                    assert_eq!(count(&turns), count(&history), "{word:?} of {history:?} in {turns:?}");
                }
            }
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

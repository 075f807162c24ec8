//! The answer of a language model, cut anywhere: the first byte says where it is cut, whether it is a stream, and whose it is.

use protocol::Time;
use relay::provider::{
    Ask, Bounds, Chat, Deadlines, Event, Exchange, Input, Kind, Message, Output, Provider,
};

/// Each kind.
pub(crate) const KINDS: [&str; 2] = ["openai-chat", "anthropic"];

/// Does with the input what is done with bytes of strangers. It panics if a promise is broken.
pub(crate) fn run(input: &[u8]) {
    let [how, body @ ..] = input else { return };
    let kind = KINDS[usize::from(how / 64) % KINDS.len()];
    let provider = Provider {
        name: "model".to_owned(),
        kind: Kind::named(kind).expect("registered"),
        base_url: "http://localhost/v1/".parse().expect("an address"),
        key: None,
        model: "model".to_owned(),
        voice: None,
        language: None,
        key_terms: Vec::new(),
        eager: false,
        thinks_first: false,
        price: Some("model/model".to_owned()),
        deadlines: Deadlines::default(),
        max_concurrent: 0,
    };
    let messages = vec![Message::User("Hello".to_owned())];
    let ask = Ask::Chat(Chat { messages, tools: Vec::new(), max_output_tokens: 100 });
    let codec = provider.codec(&ask).expect("it is asked so");
    let (mut exchange, _) = Exchange::open(Time::ZERO, codec, Bounds::default());
    let media_type = if how % 4 == 0 { "application/json" } else { "text/event-stream" };
    let status = if how % 16 == 5 { 429 } else { 200 };
    let head = Input::Head { status, retry_after: None, request_id: None, media_type };
    let (first, second) = body.split_at(usize::from(*how).min(body.len()));
    let mut ends = 0;
    for input in [head, Input::Bytes(first), Input::Bytes(second), Input::End] {
        exchange.handle_input(Time::ZERO, input);
        while let Some(output) = exchange.poll_output() {
            assert_eq!(ends, 0, "nothing follows the end");
            ends += u32::from(matches!(output, Output::Event(Event::Finished(_) | Event::Failed(_))));
        }
    }
    assert_eq!(ends, 1, "one end");
}

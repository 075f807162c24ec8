//! The answer of a language model, cut anywhere: the first byte says where it is cut, and whether it is a stream.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::Time;
use relay::provider::{Bounds, Chat, ChatCodec, Event, Exchange, Input, Message, Output, Role};

fuzz_target!(|input: &[u8]| {
    let [how, body @ ..] = input else { return };
    let base = reqwest::Url::parse("http://localhost/v1/").expect("an address");
    let ask =
        Chat { messages: vec![Message { role: Role::User, text: "Hello".into() }], max_output_tokens: 100 };
    let codec = ChatCodec::new(&base, None, "model", &ask);
    let (mut exchange, _) = Exchange::open(Time::ZERO, Box::new(codec), Bounds::default());
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
});

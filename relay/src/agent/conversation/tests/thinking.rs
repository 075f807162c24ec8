//! What becomes of a question when another one is asked.

use super::super::outbox::Outbox;
use super::super::thinking::Thinking;
use super::talk::used_by;
use super::*;
use crate::agent::Means;
use crate::money::bill::AtMost;
use crate::money::tab::RequestId;
use crate::provider::{Message, Tool, ToolCall};

#[test]
fn a_question_that_is_asked_anew_gives_up_the_one_before_and_says_what_that_used() {
    for is_sent in [true, false] {
        let (mut thinking, mut outbox) = (Thinking::new(&[0], &[], 100), Outbox::default());
        let question = || vec![Message::User("What is it?".to_owned())];
        let first = RequestId(0);
        assert!(thinking.ask(Means::Ample, question(), Vec::new(), &mut outbox));
        if is_sent {
            assert_eq!(thinking.handle_event(first, &Event::Ready, &mut outbox), None);
        }
        assert!(thinking.ask(Means::Ample, question(), Vec::new(), &mut outbox));
        let did: Vec<AgentOutput> = std::iter::from_fn(|| outbox.pop()).collect();
        assert!(did.contains(&AgentOutput::Cancel { request: first }), "{did:?}");
        let used = used_by(&did, first);
        assert_eq!(used.is_some(), is_sent, "what has not left has used nothing: {did:?}");
        assert!(thinking.is_busy(), "the second one is under way");
    }
}

#[test]
fn an_answer_is_too_long_when_it_has_more_pieces_than_it_may_have_tokens_and_they_may_be_some() {
    // Of how many pieces like this one, behind one of a letter and a space, an answer of at most 100 tokens is too long.
    let too_long = |piece: &str| {
        let (mut thinking, mut outbox) = (Thinking::new(&[0], &[], 100), Outbox::default());
        assert!(thinking.ask(Means::Ample, Vec::new(), Vec::new(), &mut outbox));
        thinking.handle_event(RequestId(0), &Event::Text(" H".to_owned()), &mut outbox);
        (1..10_000).find(|_| {
            thinking.handle_event(RequestId(0), &Event::Text(piece.to_owned()), &mut outbox);
            thinking.is_too_long()
        })
    };
    assert_eq!(too_long("word "), Some(100), "a token at a time");
    assert_eq!(too_long("several words of it "), Some(100), "more than a token at a time");
    assert_eq!(too_long("x"), Some(499), "letter by letter");
    assert_eq!(too_long("語"), Some(167));
}

/// What a question uses at most, as it is asked.
fn asked_at_most(messages: Vec<Message>, tools: Vec<Tool>) -> AtMost {
    let (mut thinking, mut outbox) = (Thinking::new(&[0], &[], 100), Outbox::default());
    assert!(thinking.ask(Means::Ample, messages, tools, &mut outbox));
    match outbox.pop() {
        Some(AgentOutput::Ask { at_most, .. }) => at_most,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_question_uses_at_most_a_token_for_each_byte_and_what_messages_and_tools_cost_beside_that() {
    let user = |bytes: usize| Message::User("x".repeat(bytes));
    let tool = || Tool { name: "x".repeat(5), description: "x".repeat(20), parameters: "x".repeat(75) };
    let output = Message::ToolOutput { call_id: "x".repeat(2), output: "x".repeat(8), is_error: false };
    for (messages, tools, prompt) in [
        (vec![user(10)], vec![], 10 + 2 * 8),
        (vec![user(10), user(20)], vec![], 30 + 3 * 8),
        (vec![user(10)], vec![tool(), tool()], 10 + 200 + 2 * 8 + 2 * 32 + 600),
        // It is told of what was called although it may call nothing any more.
        (vec![user(10), output], vec![], 20 + 3 * 8 + 600),
    ] {
        assert_eq!(asked_at_most(messages, tools), AtMost::Tokens { prompt, output: 100 });
    }
}

#[test]
fn what_is_expected_of_a_question_is_what_it_uses_at_most_when_the_user_has_said_so_much() {
    let thinking = Thinking::new(&[7], &[], 100);
    let messages = vec![Message::User("x".repeat(10))];
    let expected = thinking.expects(Means::Ample, &messages, &[], 40);
    let whole = asked_at_most([messages, vec![Message::User("x".repeat(40))]].concat(), Vec::new());
    assert_eq!(expected, Some((7, whole)));
}

#[test]
fn with_little_money_an_answer_is_a_third_as_long_and_not_shorter_than_a_sentence_or_two() {
    for (most, brief) in [(900, 300), (300, 120), (100, 100)] {
        let (mut thinking, mut outbox) = (Thinking::new(&[0], &[], most), Outbox::default());
        assert!(thinking.ask(Means::Little, Vec::new(), Vec::new(), &mut outbox));
        let Some(AgentOutput::Ask { at_most: AtMost::Tokens { output, .. }, .. }) = outbox.pop() else {
            panic!("it asks")
        };
        assert_eq!(output, brief, "of {most}");
    }
}

#[test]
fn of_an_answer_that_is_given_up_the_larger_counts_of_its_bytes_and_of_pieces_that_may_be_tokens() {
    let thought = |bytes| Event::Thought { bytes };
    let call = |bytes: usize| {
        let (id, name) = ("x".to_owned(), "x".to_owned());
        Event::ToolCall(ToolCall { id, name, arguments: "x".repeat(bytes - 2) })
    };
    for (events, tokens) in [
        (vec![], 0),
        (vec![Event::Text("x".repeat(41))], 11),
        (vec![thought(20), thought(21)], 11),
        (vec![call(20), call(21)], 11),
        (vec![thought(3), call(3), thought(3), Event::Text("語".to_owned())], 4),
        // Letter by letter, a token at a time, and in pieces of four bytes.
        (vec![thought(1), call(2), thought(1), Event::Text("x".to_owned())], 2),
        (vec![Event::Text("x".to_owned()); 40], 14),
        ([vec![Event::Text("<3".to_owned())], vec![Event::Text("x".to_owned()); 40]].concat(), 14),
        (["1", ",", " 2", ",", " 3"].map(|token| Event::Text(token.to_owned())).to_vec(), 5),
        (vec![Event::Text("word".to_owned()); 40], 40),
        (vec![thought(100_000)], 100),
    ] {
        let (mut thinking, mut outbox) = (Thinking::new(&[0], &[], 100), Outbox::default());
        let question = vec![Message::User("x".repeat(41))];
        assert!(thinking.ask(Means::Ample, question, Vec::new(), &mut outbox));
        for event in [Event::Ready].iter().chain(&events) {
            thinking.handle_event(RequestId(0), event, &mut outbox);
        }
        thinking.give_up(&mut outbox);
        let did: Vec<AgentOutput> = std::iter::from_fn(|| outbox.pop()).collect();
        assert_eq!(spent(&did), Some((Some((11, tokens)), true)), "{events:?}");
    }
}

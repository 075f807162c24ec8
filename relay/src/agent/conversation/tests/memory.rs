//! What a model is told of a conversation: in which order, and how much of it.

use super::super::memory::{HAD_SAID_MORE, STILL_RUNS, STILL_WAITS};
use super::*;
use crate::agent::tool::{Called, Runs, StoredCall, ToolOutput};

fn called(call_id: &str, arguments: &str) -> Called {
    Called {
        call_id: call_id.to_owned(),
        model_id: call_id.to_owned(),
        name: "tables".to_owned(),
        arguments: arguments.to_owned(),
        runs: Runs::Page,
    }
}

/// A text that is so many bytes of what is remembered.
fn of(bytes: usize) -> String {
    "x".repeat(bytes - 16)
}

/// Who said what is remembered, in their order.
fn who(memory: &Memory) -> Vec<&'static str> {
    memory.messages("").iter().map(|message| told(message).0).collect()
}

/// What 400 bytes are remembered of, in which the user and the agent have said something in turns, 50 bytes each.
fn talked(lines: u32) -> Memory {
    let mut memory = Memory::of(&[], 100);
    for line in 0..lines {
        if line % 2 == 0 {
            memory.user_said(&of(50));
        } else {
            memory.agent_says(line, Author::Model(0), &of(50));
        }
    }
    memory
}

#[test]
fn the_older_half_is_forgotten_with_the_first_byte_too_many_and_no_more_than_that() {
    let mut memory = talked(8);
    assert_eq!(who(&memory).len(), 8, "there is room for all of it");
    memory.user_said(&of(100));
    assert_eq!(who(&memory), ["user", "assistant", "user"], "half of the room is used");
    let mut memory = talked(7);
    memory.agent_says(7, Author::Model(0), &of(51));
    assert!(who(&memory).len() < 8);
}

#[test]
fn of_one_exchange_the_oldest_answers_are_forgotten_and_all_parts_of_the_newest_stay() {
    let exchange = || {
        let mut memory = talked(1);
        (0..7).for_each(|answer| memory.agent_says(answer, Author::Others, &of(50)));
        assert_eq!(who(&memory).len(), 8);
        memory
    };
    let mut memory = exchange();
    memory.agent_says(7, Author::Model(1), &of(100));
    assert_eq!(who(&memory), ["user", "assistant", "assistant"], "half of the room is used");
    let mut memory = exchange();
    memory.agent_says(7, Author::Model(1), &of(50));
    assert_eq!(who(&memory).len(), 4);
    memory.agent_says(7, Author::Model(2), &of(216));
    assert_eq!(who(&memory), ["user", "assistant", "assistant"], "the user's words, and both parts");
}

#[test]
fn what_the_page_has_added_is_forgotten_before_anything_that_was_said() {
    let mut memory = talked(1);
    (0..5).for_each(|answer| memory.agent_says(answer, Author::Others, &of(50)));
    // It is told with 46 bytes around it.
    memory.learn(&of(100 - 46));
    assert_eq!(who(&memory).len(), 7);
    memory.learn(&of(100 - 46));
    // That leaves as much as there is room for.
    assert_eq!(who(&memory).len(), 7);
}

#[test]
fn what_was_called_and_what_came_of_it_take_room_as_they_are_told() {
    let told = "call".len() + "tables".len() + STILL_RUNS.len() + 16;
    for (more, remembered) in [(0, 5), (1, 3)] {
        let mut memory = talked(3);
        memory.called(0, &[called("call", &"x".repeat(400 - 150 - told + more))]);
        assert_eq!(who(&memory).len(), remembered, "{more} more");
    }
    for (more, remembered) in [(0, 5), (1, 3)] {
        let mut memory = talked(3);
        memory.called(0, &[called("call", &"x".repeat(400 - 150 - told))]);
        memory.output("call", &ToolOutput { output: "x".repeat(STILL_RUNS.len() + more), is_error: false });
        assert_eq!(who(&memory).len(), remembered, "{more} more");
    }
}

#[test]
fn a_call_outlives_its_exchange_until_a_model_knows_what_came_of_it() {
    let mut memory = talked(3);
    memory.called(0, &[called("slow", "{}"), called("quick", "{}")]);
    memory.output("quick", &ToolOutput { output: "4".to_owned(), is_error: false });
    memory.question("");
    memory.agent_says(9, Author::Model(1), &of(50));
    memory.user_said(&of(150));
    let all = |memory: &Memory| -> Vec<(&'static str, String)> {
        memory.messages("").iter().map(told).map(|(who, text)| (who, text.to_owned())).collect()
    };
    let next = ("user", of(150));
    let expected = [("assistant", String::new()), ("tool", STILL_RUNS.to_owned()), next.clone()];
    assert_eq!(all(&memory), expected, "of two calls the one of which nothing has come");
    // What comes of it is more than there is room for.
    let long = "x".repeat(400);
    memory.output("slow", &ToolOutput { output: long.clone(), is_error: false });
    assert_eq!(all(&memory), [("assistant", String::new()), ("tool", long), next]);
    memory.question("");
    memory.agent_says(10, Author::Model(2), &of(50));
    assert_eq!(who(&memory), ["user", "assistant"]);
}

#[test]
fn a_question_that_ends_with_words_of_the_agent_says_why_it_is_asked() {
    for (author, why) in [(Author::Others, STILL_WAITS), (Author::Model(0), HAD_SAID_MORE)] {
        let mut memory = Memory::of(&[], 1_000);
        memory.user_said("A table?");
        memory.user_said("At eight.");
        memory.agent_says(0, author, "For how many?");
        assert_eq!(memory.question("").last().map(told), Some(("user", why)));
    }
}

#[test]
fn of_words_that_were_heard_in_part_no_character_is_cut_in_two() {
    for (heard, stays) in [(2, "Gr"), (3, "Gr"), (4, "Grü"), (9, "Grüße")] {
        let mut memory = Memory::of(&[], 1_000);
        memory.agent_says(0, Author::Model(0), "Grüße");
        memory.heard(0, heard);
        assert_eq!(memory.messages("").iter().map(told).collect::<Vec<_>>(), [("assistant", stays)]);
    }
}

#[test]
fn what_was_heard_of_an_author_counts_together_wherever_it_stands_in_the_answer() {
    let mut memory = Memory::of(&[], 1_000);
    for (author, text) in
        [(Author::Model(0), "One "), (Author::Aside, "hm "), (Author::Model(0), "two three")]
    {
        memory.agent_says(0, author, text);
    }
    memory.heard(0, "One hm two".len());
    assert_eq!(memory.messages("").iter().map(told).collect::<Vec<_>>(), [("assistant", "One two")]);
}

#[test]
fn calls_of_another_relay_stand_in_their_own_session_and_those_of_each_turn_by_themselves() {
    let (user, agent) = (protocol::Role::User, protocol::Role::Agent);
    let turn = |number, role, text: &str| Turn::new(number, role, text.to_owned(), 0, 0);
    let stored = |call_id: &str, turn| StoredCall { called: called(call_id, "{}"), turn, output: None };
    // What was said in an earlier session comes first, with its own numbers.
    let greeted = [turn(0, user, "a"), turn(1, agent, "b"), turn(0, agent, "c")];
    let greeted_twice = [turn(0, user, "a"), turn(0, agent, "c")];
    let asked = [turn(0, user, "a"), turn(2, agent, "c")];
    for (turns, calls, expected) in [
        (&greeted[..], &[stored("d", 0)][..], "a b(d) c"),
        (&greeted_twice, &[stored("d", 0)], "a (d) c"),
        (&asked, &[stored("d", 1), stored("e", 1)], "a (d e) c"),
        (&asked, &[stored("d", 1), stored("e", 2)], "a (d) (e) c"),
        (&asked, &[stored("d", 3)], "a c(d)"),
    ] {
        let mut memory = Memory::of(turns, 1_000);
        calls.iter().for_each(|call| memory.restore(call));
        let told: Vec<String> = memory
            .messages("")
            .iter()
            .filter_map(|message| match message {
                Message::Assistant { text, calls } if !calls.is_empty() => {
                    let calls: Vec<&str> = calls.iter().map(|call| call.id.as_str()).collect();
                    Some(format!("{text}({})", calls.join(" ")))
                }
                Message::ToolOutput { .. } => None,
                message => Some(told(message).1.to_owned()),
            })
            .collect();
        assert_eq!(told.join(" "), expected);
    }
}

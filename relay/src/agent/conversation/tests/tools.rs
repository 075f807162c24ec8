//! An agent whose model calls tools: what is called, what the model is told of it, and what the user hears meanwhile.

use std::time::Duration;

use super::super::memory::{HAS_COME, STILL_RUNS};
use super::talk::{EARS, Talk, ask_of, asks_anybody, talker};
use super::*;
use crate::agent::tool::{Called, Runs, Schema, StoredCall, Tool, ToolOutput, Toolbox};
use crate::money::bill::Billing;
use crate::provider::{Service, Skills, Sound, ToolCall, TurnSign};

const TABLES: &str = r#"{"type":"object","properties":{"at":{"type":"string"}},"required":["at"],"additionalProperties":false}"#;
pub(super) const AT_EIGHT: &str = r#"{"at":"20:00"}"#;

pub(super) fn toolbox() -> Toolbox {
    let tool = |name: &str, runs| Tool {
        name: name.to_owned(),
        description: "Says which tables are free.".to_owned(),
        parameters: Schema::parse(TABLES).expect("a schema"),
        runs,
        deadline: Duration::from_secs(20),
        max_result_bytes: 64,
    };
    Toolbox {
        tools: vec![tool("tables", Runs::Page), tool("book", Runs::Webhook)],
        max_steps: 2,
        filler: "One moment.".to_owned(),
        prefix: "c".to_owned(),
    }
}

/// An agent with tools, and a call that plays what it says as fast as it comes.
struct Table {
    agent: Conversation,
    now: Time,
    answers: Answers,
    /// The last request of a model, and of a voice.
    asked: RequestId,
    spoken: RequestId,
}

impl Table {
    fn of(agent: Conversation) -> Table {
        let none = RequestId(u32::MAX);
        Table { agent, now: Time::ZERO, answers: Answers::default(), asked: none, spoken: none }
    }

    fn new() -> Table {
        Table::of(writer(&[]).with_tools(toolbox(), &[]))
    }

    /// One that is told so many tokens of the conversation.
    fn remembering(memory_tokens: u32) -> Table {
        let persona = Persona { memory_tokens, ..persona() };
        let team = Team { models: vec![0], ..Team::default() };
        Table::of(Conversation::new(persona, team, 24_000, 0, &[]).with_tools(toolbox(), &[]))
    }

    /// One with a voice.
    fn aloud() -> Table {
        let voice = Skills { service: Service::TextToSpeech, is_fed: false, billing: Billing::Characters };
        let team = Team { models: vec![0], voices: vec![(1, voice)], ..Team::default() };
        Table::of(Conversation::new(persona(), team, 24_000, 0, &[]).with_tools(toolbox(), &[]))
    }

    fn input(&mut self, input: AgentInput<'_>) -> Vec<AgentOutput> {
        self.agent.handle_input(self.now, input);
        let mut did = Vec::new();
        loop {
            let (before, mut over) = (did.len(), None);
            while let Some(output) = self.agent.poll_output() {
                match &output {
                    AgentOutput::Ask { request, provider: 0, .. } => self.asked = *request,
                    AgentOutput::Ask { request, .. } => self.spoken = *request,
                    AgentOutput::Words { .. } if !self.answers.is_given => {
                        self.answers = Answers { begun: self.answers.begun + 1, is_given: true };
                    }
                    AgentOutput::AnswerEnd | AgentOutput::Cut => {
                        self.answers.is_given = false;
                        over = self.answers.begun.checked_sub(1);
                    }
                    _ => {}
                }
                did.push(output);
            }
            if let Some(answer) = over {
                self.agent.handle_input(self.now, AgentInput::AnswerOver { answer, heard: usize::MAX });
            }
            if self.answers.is_given {
                self.agent.handle_input(self.now, AgentInput::Room { samples: 2_400 });
            }
            if did.len() == before {
                return did;
            }
        }
    }

    fn types(&mut self, text: &str) -> Vec<AgentOutput> {
        self.input(AgentInput::Typed { position: 0, text })
    }

    fn event(&mut self, event: &Event) -> Vec<AgentOutput> {
        self.input(AgentInput::Event { request: self.asked, event })
    }

    fn says(&mut self, text: &str) -> Vec<AgentOutput> {
        self.event(&Event::Text(text.to_owned()))
    }

    fn finishes(&mut self) -> Vec<AgentOutput> {
        self.event(&Event::Finished(Answer::default()))
    }

    /// The voice speaks what it was asked to.
    fn sounds(&mut self) -> Vec<AgentOutput> {
        let request = self.spoken;
        let sound = Event::Sound(Sound { rate: 24_000, samples: vec![1; 2_400] });
        let mut did = self.input(AgentInput::Event { request, event: &sound });
        let over = Event::Finished(Answer::default());
        did.extend(self.input(AgentInput::Event { request, event: &over }));
        did
    }

    /// The model calls these, as names and arguments.
    fn calls(&mut self, calls: &[(&str, &str)]) -> Vec<AgentOutput> {
        for (name, arguments) in calls {
            // A model may use a name again.
            let call = ToolCall { id: "m".into(), name: (*name).into(), arguments: (*arguments).into() };
            self.event(&Event::ToolCall(call));
        }
        self.finishes()
    }

    fn result(&mut self, call_id: &str, from: Runs, output: &str) -> Vec<AgentOutput> {
        self.input(AgentInput::ToolResult { call_id, from, output, is_error: false })
    }

    fn waits(&mut self) -> Vec<AgentOutput> {
        self.now = self.agent.poll_timeout().expect("something is due");
        self.input(AgentInput::Timeout)
    }
}

/// The names of the calls that are made.
fn called(did: &[AgentOutput]) -> Vec<&str> {
    did.iter()
        .filter_map(|did| match did {
            AgentOutput::CallTool(Called { call_id, .. }) => Some(call_id.as_str()),
            _ => None,
        })
        .collect()
}

/// The tools that a model is offered.
fn offered(did: &[AgentOutput]) -> Option<usize> {
    did.iter().find_map(|did| match did {
        AgentOutput::Ask { ask: Ask::Chat(chat), .. } => Some(chat.tools.len()),
        _ => None,
    })
}

/// What a model is asked, without its instructions.
fn told(did: &[AgentOutput]) -> Vec<(&'static str, &str)> {
    asked(did).map(|mut told| told.split_off(1)).unwrap_or_else(|| panic!("nothing is asked: {did:?}"))
}

#[test]
fn a_tool_is_called_and_the_model_is_asked_again_until_words_come() {
    let mut table = Table::new();
    assert_eq!(offered(&table.types("A table?")), Some(2));
    let did = table.calls(&[("tables", AT_EIGHT)]);
    assert_eq!(called(&did), ["c0"]);
    assert!(!did.contains(&AgentOutput::AnswerEnd) && words(&did).is_empty());
    let did = table.result("c0", Runs::Page, "4 and 7");
    assert_eq!(told(&did), [("user", "A table?"), ("assistant", ""), ("tool", "4 and 7")]);
    let settled = ToolOutput { output: "4 and 7".into(), is_error: false };
    assert!(did.contains(&AgentOutput::ToolOutput { call_id: "c0".into(), output: settled }));
    assert_eq!(words(&table.says("Four and seven.")), "Four and seven.");
    assert!(table.finishes().contains(&AgentOutput::AnswerEnd));
    let did = table.types("Thanks");
    let all = ["user", "assistant", "tool", "assistant", "user"];
    assert_eq!(told(&did).iter().map(|(who, _)| *who).collect::<Vec<_>>(), all);
}

#[test]
fn the_answer_waits_for_all_calls_and_takes_one_output_of_each_from_whoever_runs_it() {
    let mut table = Table::new();
    table.types("Book one");
    let did = table.calls(&[("tables", AT_EIGHT), ("book", AT_EIGHT)]);
    assert_eq!(called(&did), ["c0", "c1"]);
    assert_eq!(table.result("c1", Runs::Page, "forged"), [], "a page does not answer for a backend");
    assert_eq!(table.result("c7", Runs::Page, "what"), []);
    assert!(asked(&table.result("c1", Runs::Webhook, "booked")).is_none());
    assert_eq!(table.result("c1", Runs::Webhook, "again"), []);
    let did = table.result("c0", Runs::Page, "4");
    assert_eq!(told(&did)[2..], [("tool", "4"), ("tool", "booked")], "in the order of the calls");
}

#[test]
fn it_is_no_pause_between_two_turns_while_a_call_runs_that_the_answer_does_not_wait_for_any_more() {
    let mut table = Table::new();
    table.types("A table?");
    table.calls(&[("tables", AT_EIGHT)]);
    assert!(!table.agent.is_between_turns(), "the answer waits for it");
    table.types("Thanks");
    table.says("Just a moment.");
    table.finishes();
    assert!(!table.agent.is_between_turns(), "it still runs");
    table.result("c0", Runs::Page, "4");
    table.says("The fourth is free.");
    table.finishes();
    assert!(table.agent.is_between_turns());
}

#[test]
fn what_cannot_be_called_is_told_to_the_model_and_to_nobody_else() {
    for (name, arguments, why) in [
        ("tables", "{}", "\"at\" is a required property"),
        ("tables", "{\"at\":", "not JSON"),
        ("fly", "{}", "no tool `fly`"),
    ] {
        let mut table = Table::new();
        table.types("A table?");
        let did = table.calls(&[(name, arguments)]);
        assert_eq!(called(&did), [] as [&str; 0]);
        assert!(told(&did)[2].1.contains(why), "{did:?}");
    }
}

#[test]
fn a_call_that_takes_too_long_and_a_result_that_is_too_long_are_errors() {
    let mut table = Table::new();
    table.types("A table?");
    table.calls(&[("tables", AT_EIGHT), ("book", AT_EIGHT)]);
    table.result("c1", Runs::Webhook, &"x".repeat(65));
    // Without a voice there is no silence to fill.
    assert_eq!(words(&table.waits()), "");
    let did = table.waits();
    assert_eq!(table.now, Time::ZERO + Duration::from_secs(20));
    assert!(did.contains(&AgentOutput::CancelTool { call_id: "c0".into(), runs: Runs::Page }), "{did:?}");
    let told = told(&did);
    assert!(told[2].1.contains("within 20 s") && told[3].1.contains("at most 64"), "{told:?}");
    assert_eq!(table.result("c0", Runs::Page, "late"), []);
}

#[test]
fn a_result_of_the_greatest_length_is_no_error() {
    let mut table = Table::new();
    table.types("A table?");
    table.calls(&[("tables", AT_EIGHT)]);
    let longest = "x".repeat(64);
    assert_eq!(told(&table.result("c0", Runs::Page, &longest))[2], ("tool", longest.as_str()));
}

#[test]
fn what_nobody_waits_for_any_more_is_told_together_when_all_of_it_has_come() {
    let mut table = Table::new();
    table.types("A table?");
    table.calls(&[("tables", AT_EIGHT), ("book", AT_EIGHT)]);
    table.types("Are you there?");
    table.says("Yes.");
    table.finishes();
    assert!(asked(&table.result("c0", Runs::Page, "4")).is_none(), "the other one still runs");
    let did = table.result("c1", Runs::Webhook, "booked");
    assert_eq!(told(&did).last(), Some(&("user", HAS_COME)));
}

#[test]
fn after_its_last_step_the_model_is_offered_nothing_and_what_it_calls_then_is_not_called() {
    let mut table = Table::new();
    table.types("A table?");
    table.calls(&[("tables", AT_EIGHT)]);
    assert_eq!(offered(&table.result("c0", Runs::Page, "none")), Some(2));
    table.calls(&[("tables", AT_EIGHT)]);
    assert_eq!(offered(&table.result("c1", Runs::Page, "none")), Some(0));
    let did = table.calls(&[("tables", AT_EIGHT)]);
    assert_eq!((called(&did).len(), asked(&did)), (0, None));
    assert_eq!(words(&did), NO_ANSWER);
    assert_eq!(offered(&table.types("Again?")), Some(2), "each turn has its own steps");
}

#[test]
fn more_calls_than_are_run_at_once_have_an_output_each() {
    let mut table = Table::new();
    table.types("A table?");
    let did = table.calls(&[("tables", AT_EIGHT); 20]);
    let ids: Vec<String> = called(&did).into_iter().map(str::to_owned).collect();
    assert_eq!(ids.len(), 16);
    let did = ids.iter().flat_map(|id| table.result(id, Runs::Page, "4")).collect::<Vec<_>>();
    let outputs: Vec<&str> =
        told(&did).into_iter().filter(|(who, _)| *who == "tool").map(|(_, output)| output).collect();
    assert_eq!(outputs.len(), 20);
    assert!(outputs[15] == "4" && outputs[16].starts_with("Not called"), "{outputs:?}");
}

#[test]
fn the_user_talks_while_a_tool_runs_and_what_comes_late_is_told_by_itself() {
    let mut table = Table::new();
    table.types("A table?");
    table.calls(&[("tables", AT_EIGHT)]);
    let did = table.types("Are you there?");
    assert!(!did.iter().any(|did| matches!(did, AgentOutput::CancelTool { .. })), "it goes on");
    assert_eq!(told(&did)[2..], [("tool", STILL_RUNS), ("user", "Are you there?")]);
    assert!(asked(&table.result("c0", Runs::Page, "4")).is_none(), "it is not quiet");
    table.says("Yes.");
    let did = table.finishes();
    let all = [
        ("user", "A table?"),
        ("assistant", ""),
        ("tool", "4"),
        ("user", "Are you there?"),
        ("assistant", "Yes."),
        ("user", HAS_COME),
    ];
    assert_eq!(told(&did), all, "once, and in its place");
    table.says("Table four is free.");
    let did = table.finishes();
    assert!(did.contains(&AgentOutput::AnswerEnd) && asked(&did).is_none(), "it is told once");
}

#[test]
fn what_comes_of_a_call_is_told_however_much_was_said_meanwhile() {
    let mut table = Table::remembering(500);
    table.types("A table?");
    table.calls(&[("tables", AT_EIGHT)]);
    table.types("What is there to eat?");
    table.says(&"x".repeat(2_100));
    assert!(asked(&table.finishes()).is_none());
    let did = table.result("c0", Runs::Page, "4");
    let told = told(&did);
    assert_eq!(told[..2], [("assistant", ""), ("tool", "4")]);
    assert_eq!(told.last(), Some(&("user", HAS_COME)));
}

#[test]
fn no_more_calls_are_under_way_than_are_remembered() {
    let mut table = Table::new();
    let mut ids = Vec::new();
    for _ in 0..5 {
        table.types("A table?");
        ids.extend(called(&table.calls(&[("tables", AT_EIGHT); 16])).into_iter().map(str::to_owned));
    }
    assert_eq!(ids.len(), 64);
    table.types("A table?");
    table.result(&ids[0], Runs::Page, "4");
    assert_eq!(called(&table.calls(&[("tables", AT_EIGHT); 2])).len(), 1, "one of them is over");
}

#[test]
fn what_comes_before_the_user_is_answered_is_told_with_that_answer_and_not_once_more() {
    let mut table = Table::new();
    table.types("A table?");
    table.calls(&[("tables", AT_EIGHT)]);
    table.types("At eight.");
    assert_eq!(table.result("c0", Runs::Page, "4").len(), 1, "it is only kept");
    // The user goes on before that is answered.
    let did = table.types("For two.");
    assert!(told(&did).contains(&("tool", "4")));
    table.says("Table four.");
    assert!(asked(&table.finishes()).is_none());
}

#[test]
fn what_comes_late_while_the_answer_waits_for_another_call_is_told_with_that_one_and_not_once_more() {
    for late_comes_first in [true, false] {
        let mut table = Table::new();
        table.types("A table?");
        table.calls(&[("tables", AT_EIGHT)]);
        table.types("Are you there?");
        table.calls(&[("book", AT_EIGHT)]);
        if late_comes_first {
            assert!(asked(&table.result("c0", Runs::Page, "4")).is_none(), "the other one is waited for");
        }
        let did = table.result("c1", Runs::Webhook, "booked");
        let first = if late_comes_first { "4" } else { STILL_RUNS };
        let all = [
            ("user", "A table?"),
            ("assistant", ""),
            ("tool", first),
            ("user", "Are you there?"),
            ("assistant", ""),
            ("tool", "booked"),
        ];
        assert_eq!(told(&did), all);
        table.says("Booked.");
        let did = table.finishes();
        assert!(did.contains(&AgentOutput::AnswerEnd) && asked(&did).is_none(), "{did:?}");
        if !late_comes_first {
            let did = table.result("c0", Runs::Page, "4");
            assert_eq!(told(&did).last(), Some(&("user", HAS_COME)), "of this it was told nothing");
        }
    }
}

#[test]
fn words_before_a_call_stand_before_it_whenever_they_are_heard() {
    let mut table = Table::aloud();
    table.types("A table?");
    table.says("Let me look");
    table.calls(&[("tables", AT_EIGHT)]);
    assert_eq!(words(&table.sounds()), "Let me look", "half a sentence is spoken at once");
    let did = table.result("c0", Runs::Page, "4");
    assert_eq!(told(&did), [("user", "A table?"), ("assistant", "Let me look"), ("tool", "4")]);
    table.says("Table four is free.");
    table.finishes();
    assert_eq!(words(&table.sounds()), " Table four is free.", "one answer, with a space");
    let did = table.types("Thanks");
    assert_eq!(told(&did)[3], ("assistant", " Table four is free."));
}

#[test]
fn of_an_answer_with_calls_what_was_heard_is_remembered() {
    let mut table = Table::new();
    table.types("A table?");
    table.says("Let me ");
    table.says("look.");
    table.calls(&[("tables", AT_EIGHT)]);
    table.result("c0", Runs::Page, "4");
    table.says("Table four is free.");
    table.agent.handle_input(Time::ZERO, AgentInput::AnswerOver { answer: 0, heard: 18 });
    let did = table.types("Stop");
    assert_eq!(told(&did)[1..4], [("assistant", "Let me look."), ("tool", "4"), ("assistant", " Table")]);
}

#[test]
fn silence_while_a_tool_runs_is_filled_again_and_again_and_the_model_is_not_told_of_it() {
    let mut table = Table::aloud();
    table.types("A table?");
    table.calls(&[("tables", AT_EIGHT)]);
    table.waits();
    assert_eq!(table.now, Time::ZERO + Duration::from_secs(1));
    assert_eq!(words(&table.sounds()), "One moment.");
    // A tenth of a second of that is heard, and then nothing for five.
    for silence in 1..=2 {
        table.waits();
        assert_eq!(table.now, Time::ZERO + Duration::from_millis(1_000 + 5_100 * silence));
        assert_eq!(words(&table.sounds()), " One moment.");
    }
    let did = table.result("c0", Runs::Page, "4");
    assert_eq!(told(&did), [("user", "A table?"), ("assistant", ""), ("tool", "4")]);
    table.says("Table four is free.");
    table.finishes();
    assert_eq!(words(&table.sounds()), " Table four is free.");
    assert_eq!(table.agent.poll_timeout(), None);
}

#[test]
fn what_a_model_says_before_a_call_is_heard_before_anything_is_said_to_pass_the_time() {
    let mut table = Table::aloud();
    table.types("A table?");
    table.says("Let me look.");
    table.calls(&[("tables", AT_EIGHT)]);
    let asks = table.waits().iter().filter(|did| matches!(did, AgentOutput::Ask { .. })).count();
    assert_eq!(asks, 0, "its voice has not begun");
    assert_eq!(words(&table.sounds()), "Let me look.");
    table.waits();
    assert_eq!(table.now, Time::ZERO + Duration::from_millis(2_100), "a second after the end of that");
    assert_eq!(words(&table.sounds()), " One moment.");
}

#[test]
fn nobody_is_talked_over_to_pass_the_time() {
    let mut talk = Talk::of(talker().with_tools(toolbox(), &[]));
    let ears = ask_of(&talk.chunk(), EARS).0;
    let mind = talk.asked(ears, "A table?");
    let call = ToolCall { id: "m".into(), name: "tables".into(), arguments: AT_EIGHT.into() };
    talk.event(mind, &Event::ToolCall(call));
    assert_eq!(called(&talk.finishes(mind)), ["c0"]);
    talk.event(ears, &Event::Turn(TurnSign::Began { at: talk.position }));
    talk.now = Time::ZERO + Duration::from_secs(1);
    let did = talk.input(AgentInput::Timeout);
    assert!(!asks_anybody(&did), "{did:?}");
}

#[test]
fn nothing_of_an_answer_that_was_cut_off_is_spoken_while_a_tool_runs() {
    let mut table = Table::aloud();
    table.types("A table?");
    table.says("First sentence of it. Second sentence of it. Third sentence of it. And half a");
    table.types("Stop. At eight?");
    table.calls(&[("tables", AT_EIGHT)]);
    let did = table.waits();
    let spoken = did.iter().filter_map(|did| match did {
        AgentOutput::Ask { ask: Ask::Speak(text), .. } => Some(text.as_str()),
        _ => None,
    });
    assert_eq!(spoken.collect::<Vec<_>>(), ["One moment."]);
}

#[test]
fn whoever_goes_on_with_a_call_makes_the_open_calls_again_under_their_names() {
    let stored = |call_id: &str, output: Option<&str>| StoredCall {
        called: Called {
            call_id: call_id.into(),
            model_id: "m".into(),
            name: "book".into(),
            arguments: AT_EIGHT.into(),
            runs: Runs::Webhook,
        },
        turn: 1,
        output: output.map(|output| ToolOutput { output: output.into(), is_error: false }),
    };
    let turn = |number, role, text: &str| Turn::new(number, role, text.to_owned(), 0, 0);
    let turns = [turn(0, protocol::Role::User, "Book one"), turn(1, protocol::Role::Agent, "Done.")];
    let go_on = |turns: &[Turn], stored: &[StoredCall]| {
        let mut table = Table::of(writer(turns).with_tools(toolbox(), stored));
        let did = if table.agent.poll_timeout().is_some() { table.waits() } else { Vec::new() };
        (table, did)
    };
    // Under way: it is called again, and its result is waited for.
    let (mut table, did) = go_on(&turns[..1], &[stored("old_0", Some("4")), stored("old_1", None)]);
    assert_eq!((called(&did), asked(&did)), (vec!["old_1"], None));
    let did = table.result("old_1", Runs::Webhook, "booked");
    assert_eq!(told(&did), [("user", "Book one"), ("assistant", ""), ("tool", "4"), ("tool", "booked")]);
    // A page sends its result to whoever calls again, and what it sent before that comes, too: the first one counts.
    assert_eq!(asked(&table.result("old_1", Runs::Webhook, "booked")), None);
    // Done, and not answered.
    let (_, did) = go_on(&turns[..1], &[stored("old_0", Some("4"))]);
    assert_eq!(told(&did)[2], ("tool", "4"));
    // Done and answered.
    assert_eq!(go_on(&turns, &[stored("old_0", Some("4"))]).1, []);
    // The user was answered meanwhile.
    let (mut table, did) = go_on(&turns, &[stored("old_0", None)]);
    assert_eq!((called(&did), asked(&did)), (vec!["old_0"], None));
    assert_ne!(table.agent.poll_timeout(), Some(Time::ZERO), "it waits for the call and not for itself");
    let did = table.result("old_0", Runs::Webhook, "booked");
    assert_eq!(told(&did).last(), Some(&("user", HAS_COME)));
    // The user has said something since.
    let said = [turns[0].clone(), turn(1, protocol::Role::User, "Hurry")];
    let (mut table, did) = go_on(&said, &[stored("old_0", None)]);
    assert_eq!(called(&did), ["old_0"]);
    assert_eq!(told(&did)[2..], [("tool", STILL_RUNS), ("user", "Hurry")]);
    table.says("I do.");
    table.result("old_0", Runs::Webhook, "booked");
    assert_eq!(told(&table.finishes()).last(), Some(&("user", HAS_COME)));
}

#[test]
fn whoever_leaves_waits_for_nothing() {
    let mut table = Table::new();
    table.types("A table?");
    table.calls(&[("tables", AT_EIGHT)]);
    assert_eq!(table.input(AgentInput::Leave), []);
    assert_eq!(table.agent.poll_timeout(), None);
    assert_eq!(table.result("c0", Runs::Page, "4"), []);
}

/// Draws numbers, always the same ones for a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Checks a request of a model: each call has one output, directly behind it, and what has come of one stays.
fn check(chat: &crate::provider::Chat, came: &mut std::collections::HashMap<String, String>) {
    let mut open: Vec<&ToolCall> = Vec::new();
    for message in &chat.messages {
        match message {
            Message::ToolOutput { output, .. } => {
                let call = open.remove(0);
                if output != STILL_RUNS {
                    let before = came.entry(call.arguments.clone()).or_insert_with(|| output.clone());
                    assert_eq!(before, output, "what has come of a call stays");
                }
            }
            message => {
                assert_eq!(open, [] as [&ToolCall; 0], "an output for each call");
                if let Message::Assistant { calls, .. } = message {
                    open.extend(calls);
                }
            }
        }
    }
    assert_eq!(open, [] as [&ToolCall; 0], "an output for each call");
}

#[test]
fn the_model_sees_one_output_of_each_call_whatever_happens() {
    let mut late = 0;
    for seed in 0..2_000 {
        // Half of them forget whatever they may.
        let memory_tokens = if seed % 2 == 0 { Persona::default().memory_tokens } else { 100 };
        let (mut dice, mut table) = (Dice(seed), Table::remembering(memory_tokens));
        let (mut made, mut untold) = (std::collections::HashMap::new(), Vec::new());
        let (mut came, mut running, mut number) = (std::collections::HashMap::new(), Vec::new(), 0);
        for _ in 0..40 {
            let did = match dice.below(8) {
                0 => table.types("Well?"),
                1 => table.says("Hm. "),
                2 => table.finishes(),
                3 => {
                    let calls: Vec<String> =
                        (0..=dice.below(3)).map(|n| format!(r#"{{"at":"{number}-{n}"}}"#)).collect();
                    number += 1;
                    let calls: Vec<(&str, &str)> = calls.iter().map(|at| ("tables", at.as_str())).collect();
                    table.calls(&calls)
                }
                4 if table.agent.poll_timeout().is_some() => table.waits(),
                5 => table.event(&Event::Failed(Failure::new(FailureKind::Provider, "down"))),
                6 => {
                    let interrupt = dice.below(2) == 0;
                    table.input(AgentInput::Say { position: Some(0), text: "Hear!", interrupt })
                }
                _ if running.is_empty() => continue,
                _ => {
                    let id: String = running.swap_remove(dice.below(running.len() as u64) as usize);
                    table.result(&id, Runs::Page, &format!("of {id}"))
                }
            };
            running.extend(called(&did).into_iter().map(str::to_owned));
            for did in &did {
                match did {
                    AgentOutput::CallTool(called) => {
                        made.insert(called.call_id.clone(), called.arguments.clone());
                    }
                    AgentOutput::ToolOutput { call_id, output } => {
                        untold.push((made[call_id].clone(), output.output.clone()));
                    }
                    AgentOutput::Ask { ask: Ask::Chat(chat), .. } => {
                        check(chat, &mut came);
                        for (arguments, output) in untold.drain(..) {
                            assert_eq!(came.get(&arguments), Some(&output), "it is told, seed {seed}");
                        }
                        let has_come = Message::User(HAS_COME.to_owned());
                        late += usize::from(chat.messages.last() == Some(&has_come));
                    }
                    _ => {}
                }
            }
        }
        // Nothing is left waiting.
        for _ in 0..40 {
            if table.agent.poll_timeout().is_none() {
                break;
            }
            table.waits();
        }
        assert_eq!(table.agent.poll_timeout(), None, "seed {seed}");
    }
    assert!(late > 100, "what comes late was told by itself {late} times");
}

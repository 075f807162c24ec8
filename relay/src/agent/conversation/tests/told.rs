//! What an agent is told beside what is said: context, and values for its variables.

use super::talk::{MOUTH, Talk, ask_of, asks_anybody, spoken, talker_of};
use super::*;

fn variable(name: &str, default: &str, is_of_page: bool) -> Variable {
    Variable { name: name.to_owned(), default: default.to_owned(), is_of_page }
}

/// One that greets, with a variable of the token and one of the page, for a user whose token says this.
fn greeter(greeting: &str, values: &[(&str, &str)]) -> Conversation {
    let persona = Persona {
        instructions: "The plan is {plan}; {name} is on {place}. {Stays}".to_owned(),
        greeting: greeting.to_owned(),
        variables: vec![
            variable("plan", "free", false),
            variable("name", "there", true),
            variable("place", "", true),
        ],
        values: values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        ..Persona::default()
    };
    Conversation::new(persona, Team { models: vec![0], ..Team::default() }, 24_000, 0, &[])
}

fn at(agent: &mut Conversation, ms: u64, input: AgentInput<'_>) -> Vec<AgentOutput> {
    agent.handle_input(Time::from_millis(ms), input);
    std::iter::from_fn(|| agent.poll_output()).collect()
}

fn sets(agent: &mut Conversation, ms: u64, values: &[(&str, &str)]) -> Vec<AgentOutput> {
    let values: Vec<_> =
        values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    at(agent, ms, AgentInput::Variables { position: 0, values: &values })
}

#[test]
fn context_is_known_with_the_next_question_and_is_no_question_itself() {
    let mut bench = Bench::new();
    let did = bench.input(AgentInput::Context { position: 0, text: "They opened the menu." });
    assert_eq!(did, [AgentOutput::Final { through: 0 }], "it is not answered, and need not be sent again");
    let told = "[For your information, not said by the user: They opened the menu.]";
    let did = bench.types("What is good?");
    let all = [("system", "Listen."), ("user", told), ("user", "What is good?")];
    assert_eq!(asked(&did), Some(all.to_vec()));
    bench.says(0, "The soup");
    bench.input(AgentInput::Context { position: 0, text: "They closed it." });
    assert_eq!(words(&bench.says(0, " is.")), " is.", "it disturbs no answer");
    bench.finishes(0, None);
    bench.input(AgentInput::AnswerOver { answer: 0, heard: 12 });
    let asked = asked(&bench.types("Thanks")).expect("it asks").len();
    assert_eq!(asked, 6, "both stay known");
    // What comes before it is not done with: audio, or what waits to be said.
    let context = |position| AgentInput::Context { position, text: "They went on." };
    assert_eq!(bench.input(context(1_600)), []);
    bench.input(AgentInput::Say { position: Some(0), text: "We close soon.", interrupt: false });
    assert_eq!(bench.input(context(0)), []);
}

/// A writer that was asked and has answered once.
fn asked_once() -> Bench {
    let mut bench = Bench::new();
    bench.types("Hello");
    bench.says(0, "Hi.");
    bench.finishes(0, None);
    bench.input(AgentInput::AnswerOver { answer: 0, heard: 3 });
    bench
}

#[test]
fn what_a_page_adds_is_forgotten_beyond_its_room_although_nobody_speaks() {
    let most = Persona::default().memory_tokens as usize * BYTES_PER_TOKEN;
    for bytes in [1, 1_000] {
        let mut bench = asked_once();
        for n in 0..100_000 / bytes {
            let text = format!("{n} {}", "x".repeat(bytes));
            bench.input(AgentInput::Context { position: 0, text: &text });
        }
        let did = bench.types("Well?");
        let asked = asked(&did).expect("it asks");
        let told: usize = asked[1..].iter().map(|(_, text)| text.len()).sum();
        assert!(told <= most && told > most / 3, "{told} of {most}");
        let before = asked.len() - 2;
        assert!(asked[before].1.contains(&format!(": {} x", 100_000 / bytes - 1)), "the newest is known");
        assert_eq!(asked.last(), Some(&("user", "Well?")));
        assert_eq!(
            asked[1..3],
            [("user", "Hello"), ("assistant", "Hi.")],
            "what was said is kept for longer"
        );
    }
}

#[test]
fn of_what_is_said_without_the_user_the_oldest_is_forgotten_too() {
    let most = Persona::default().memory_tokens as usize * BYTES_PER_TOKEN;
    let mut bench = asked_once();
    for n in 1..=100 {
        let text = format!("{n} {}", "x".repeat(1_000));
        bench.input(AgentInput::Say { position: Some(0), text: &text, interrupt: false });
        bench.input(AgentInput::AnswerOver { answer: n, heard: usize::MAX });
    }
    let did = bench.types("Well?");
    let asked = asked(&did).expect("it asks");
    let told: usize = asked[1..].iter().map(|(_, text)| text.len()).sum();
    assert!(told <= most && told > most / 3, "{told} of {most}");
    assert!(asked[asked.len() - 2].1.starts_with("100 "), "{asked:?}");
}

#[test]
fn of_questions_that_were_never_answered_the_oldest_are_forgotten_too() {
    let most = Persona::default().memory_tokens as usize * BYTES_PER_TOKEN;
    let mut bench = Bench::new();
    let mut told = 0;
    for n in 0..100 {
        let did = bench.types(&format!("{n} {}", "x".repeat(1_000)));
        let asked = asked(&did).expect("it asks");
        assert!(asked.last().is_some_and(|(_, text)| text.starts_with(&format!("{n} "))));
        told = asked[1..].iter().map(|(_, text)| text.len()).sum();
        assert!(told <= most, "{told} of {most}");
    }
    assert!(told > most / 3, "{told} of {most}");
}

#[test]
fn what_was_called_stays_with_what_came_of_it_however_much_a_page_adds() {
    use crate::agent::tool::{Called, Runs, ToolOutput};
    let mut memory = Memory::of(&[], 1_000);
    memory.user_said("A table?");
    let called = Called {
        call_id: "c0".into(),
        model_id: "m".into(),
        name: "tables".into(),
        arguments: "{}".into(),
        runs: Runs::Page,
    };
    memory.called(0, &[called]);
    for _ in 0..100 {
        memory.learn(&"x".repeat(100));
    }
    memory.output("c0", &ToolOutput { output: "4".to_owned(), is_error: false });
    let messages = memory.messages("");
    let told: Vec<_> = messages.iter().map(super::told).collect();
    assert_eq!(told[..3], [("user", "A table?"), ("assistant", ""), ("tool", "4")]);
    assert!((10..30).contains(&told.len()), "{}", told.len());
}

#[test]
fn context_after_the_last_answer_leaves_nothing_to_be_answered() {
    let turn = |number, role, text: &str| Turn::new(number, role, text.to_owned(), 0, 0);
    let turns = [turn(0, protocol::Role::User, "Hello"), turn(1, protocol::Role::Agent, "Hi.")];
    let mut memory = Memory::of(&turns, 8_000);
    memory.learn("They opened the menu.");
    assert!(!memory.is_unanswered(None));
    let mut memory = Memory::of(&turns[..1], 8_000);
    memory.learn("They opened the menu.");
    assert!(memory.is_unanswered(None), "the user still waits");
}

#[test]
fn a_greeting_has_the_values_of_the_token_at_once() {
    let mut agent = greeter("Hello {name} of {plan}.", &[("name", "Ada"), ("plan", "pro"), ("other", "x")]);
    assert_eq!(words(&at(&mut agent, 0, AgentInput::Timeout)), "Hello Ada of pro.");
    at(&mut agent, 1, AgentInput::AnswerOver { answer: 0, heard: 17 });
    sets(&mut agent, 2, &[("name", "Eve"), ("place", "{plan} terrace")]);
    let did = at(&mut agent, 3, AgentInput::Typed { position: 0, text: "Hi" });
    let told = asked(&did).and_then(|asked| asked.first().map(|(_, text)| (*text).to_owned()));
    assert_eq!(told.as_deref(), Some("The plan is pro; Ada is on {plan} terrace. {Stays}"));
}

#[test]
fn a_greeting_waits_for_the_page_for_a_moment_and_no_longer() {
    let mut agent = greeter("Hello {name}.", &[]);
    assert_eq!(at(&mut agent, 5_000, AgentInput::Timeout), []);
    assert_eq!(agent.poll_timeout(), Some(Time::from_millis(7_000)));
    sets(&mut agent, 5_100, &[("place", "the terrace")]);
    let did = sets(&mut agent, 5_200, &[("name", "Ada")]);
    assert_eq!(words(&did), "Hello Ada.", "all of it is known");
    assert_eq!(agent.poll_timeout(), None);

    let mut agent = greeter("Hello {name}.", &[]);
    at(&mut agent, 5_000, AgentInput::Timeout);
    assert_eq!(words(&at(&mut agent, 6_999, AgentInput::Timeout)), "");
    assert_eq!(words(&at(&mut agent, 7_000, AgentInput::Timeout)), "Hello there.", "its default");

    let mut agent = greeter("Hello {name}.", &[]);
    at(&mut agent, 0, AgentInput::Timeout);
    let did = at(&mut agent, 10, AgentInput::Typed { position: 0, text: "Is anybody there?" });
    assert!(asked(&did).is_some() && words(&did).is_empty());
    assert_eq!(agent.poll_timeout(), None, "who has begun to speak is not greeted any more");
    assert_eq!(words(&sets(&mut agent, 20, &[("name", "Ada")])), "");
}

#[test]
fn a_greeting_that_waits_for_the_page_begins_when_what_is_said_meanwhile_was_heard() {
    for (is_set, greeting) in [(true, "Good evening, Ada."), (false, "Good evening, you.")] {
        let persona = Persona {
            greeting: "Good evening, {name}.".to_owned(),
            variables: vec![variable("name", "you", true)],
            ..Persona::default()
        };
        let mut talk = Talk::of(talker_of(persona, &[]));
        talk.input(AgentInput::Timeout);
        let did = talk.input(AgentInput::Say { position: Some(0), text: "We close soon.", interrupt: false });
        let mouth = ask_of(&did, MOUTH).0;
        talk.sounds(mouth, 2_400);
        talk.finishes(mouth);
        let did = if is_set {
            let values = [("name".to_owned(), "Ada".to_owned())];
            talk.input(AgentInput::Variables { position: 0, values: &values })
        } else {
            talk.now = Time::from_millis(60_000);
            talk.input(AgentInput::Timeout)
        };
        assert!(!asks_anybody(&did), "it would begin before that is heard: {did:?}");
        assert_eq!(talk.agent.poll_timeout(), None, "no time ends that");
        talk.heard(usize::MAX);
        assert!(talk.agent.poll_timeout().is_some_and(|due| due <= talk.now));
        assert_eq!(spoken(&ask_of(&talk.input(AgentInput::Timeout), MOUTH).1), greeting);
    }
}

#[test]
fn a_page_hears_of_a_variable_that_it_may_not_set_and_the_others_are_set() {
    let mut agent = greeter("", &[]);
    let did = sets(&mut agent, 0, &[("plan", "pro"), ("name", "Ada"), ("nothing", "x")]);
    let trouble = AgentOutput::Trouble(ErrorCode::VariableUnknown);
    assert_eq!(did, [trouble, AgentOutput::Final { through: 0 }]);
    let did = at(&mut agent, 1, AgentInput::Typed { position: 0, text: "Hi" });
    let told = asked(&did).and_then(|asked| asked.first().map(|(_, text)| (*text).to_owned()));
    assert_eq!(told.as_deref(), Some("The plan is free; Ada is on . {Stays}"));
}

#[test]
fn what_was_heard_of_an_answer_goes_by_the_order_of_speaking_and_not_by_that_of_its_lines() {
    use crate::agent::tool::{Called, Runs};
    let told = |heard: usize, is_earlier: bool| {
        let mut memory = Memory::of(&[], 1_000);
        memory.user_said("What is on?");
        let called = Called {
            call_id: "call".into(),
            model_id: "m".into(),
            name: "films".into(),
            arguments: "{}".into(),
            runs: Runs::Page,
        };
        memory.called(1, std::slice::from_ref(&called));
        // The words before the call were still to be spoken when the time was passed with others.
        memory.agent_says(0, Author::Aside, "One moment. ");
        memory.agent_says(0, Author::Model(1), "I look ");
        memory.agent_says(0, Author::Model(1), "it up.");
        if is_earlier {
            memory.user_said("And?");
            memory.agent_says(1, Author::Model(2), "Nothing.");
        }
        memory.heard(0, heard);
        memory.messages("").into_iter().find_map(|message| match message {
            Message::Assistant { text, .. } => Some(text),
            _ => None,
        })
    };
    for is_earlier in [false, true] {
        assert_eq!(
            told("One".len(), is_earlier).as_deref(),
            Some(""),
            "nothing of the model's words was heard"
        );
        assert_eq!(told("One moment. I look".len(), is_earlier).as_deref(), Some("I look"));
        assert_eq!(told(usize::MAX, is_earlier).as_deref(), Some("I look it up."));
    }
}

#[test]
fn of_what_is_taken_back_of_an_earlier_answer_no_model_is_told() {
    let mut bench = Bench::new();
    bench.types("Hello");
    bench.says(0, "One two three.");
    bench.finishes(0, None);
    bench.input(AgentInput::AnswerOver { answer: 0, heard: 14 });
    bench.types("Go on");
    bench.says(1, "Four.");
    let did = bench.input(AgentInput::TakenBack { answer: 0, heard: 7 });
    assert!(!did.contains(&AgentOutput::Cut), "the answer goes on: {did:?}");
    assert_eq!(asked(&did), None, "something has come of the question: {did:?}");
    let all = [
        ("system", "Listen."),
        ("user", "Hello"),
        ("assistant", "One two"),
        ("user", "Go on"),
        ("assistant", "Four."),
        ("user", "Stop"),
    ];
    assert_eq!(asked(&bench.types("Stop")), Some(all.to_vec()));
}

#[test]
fn a_model_of_which_nothing_has_come_is_asked_anew_when_less_was_heard_than_it_was_told() {
    let mut bench = Bench::new();
    bench.types("Hello");
    bench.says(0, "One two three.");
    bench.finishes(0, None);
    bench.input(AgentInput::AnswerOver { answer: 0, heard: 14 });
    let before =
        [("system", "Listen."), ("user", "Hello"), ("assistant", "One two three."), ("user", "Stop")];
    assert_eq!(asked(&bench.types("Stop")), Some(before.to_vec()));
    let did = bench.input(AgentInput::TakenBack { answer: 0, heard: 7 });
    let after = [("system", "Listen."), ("user", "Hello"), ("assistant", "One two"), ("user", "Stop")];
    assert_eq!(asked(&did), Some(after.to_vec()));
    assert!(did.contains(&AgentOutput::Cancel { request: RequestId(1) }), "{did:?}");
    assert_eq!(spent(&did), Some((None, true)), "it had not reached anybody");
    let did = bench.input(AgentInput::Timeout);
    assert_eq!(asked(&did), None, "once");
}

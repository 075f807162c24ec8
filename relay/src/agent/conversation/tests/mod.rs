mod asking;
mod begun;
mod courtesy;
mod eager;
mod expecting;
mod floor;
mod late;
mod long;
mod memory;
mod parting;
mod pauses;
mod quiet;
mod remarks;
mod saying;
mod standing_in;
mod talk;
mod tentative;
mod thinking;
mod told;
mod tools;
mod voice;

use super::memory::BYTES_PER_TOKEN;
use super::*;
use crate::money::bill::{AtMost, Quantity, TokenUsage};
use crate::provider::{Answer, Ask, Failure, FailureKind, Finish, Message};

fn persona() -> Persona {
    Persona { instructions: "Listen.".to_owned(), max_output_tokens: 5, ..Persona::default() }
}

/// One that reads and writes.
fn writer(turns: &[Turn]) -> Conversation {
    let team = Team { models: vec![0], ..Team::default() };
    Conversation::new(persona(), team, 24_000, 0, turns)
}

/// An agent and what a call does for it: an answer that is cut off is over, heard as far as it was written.
struct Bench(Conversation, Answers);

#[derive(Default)]
struct Answers {
    begun: u32,
    is_given: bool,
}

impl Bench {
    fn new() -> Bench {
        Bench(writer(&[]), Answers::default())
    }

    fn input(&mut self, input: AgentInput<'_>) -> Vec<AgentOutput> {
        self.0.handle_input(Time::ZERO, input);
        let mut did: Vec<_> = std::iter::from_fn(|| self.0.poll_output()).collect();
        let mut is_cut = false;
        for did in &did {
            match did {
                AgentOutput::Words { .. } if !self.1.is_given => {
                    self.1 = Answers { begun: self.1.begun + 1, is_given: true };
                }
                AgentOutput::AnswerEnd => self.1.is_given = false,
                AgentOutput::Cut => (self.1.is_given, is_cut) = (false, true),
                _ => {}
            }
        }
        if is_cut {
            let answer = self.1.begun - 1;
            did.extend(self.input(AgentInput::AnswerOver { answer, heard: usize::MAX }));
        }
        did
    }

    fn types(&mut self, text: &str) -> Vec<AgentOutput> {
        self.input(AgentInput::Typed { position: 0, text })
    }

    fn event(&mut self, request: u32, event: &Event) -> Vec<AgentOutput> {
        self.input(AgentInput::Event { request: RequestId(request), event })
    }

    fn says(&mut self, request: u32, text: &str) -> Vec<AgentOutput> {
        self.event(request, &Event::Text(text.to_owned()))
    }

    fn finishes(&mut self, request: u32, usage: Option<TokenUsage>) -> Vec<AgentOutput> {
        let usage = usage.map(Quantity::Tokens);
        let answer = Answer { finish: Finish::Complete, usage, request_id: Some("r".to_owned()) };
        self.event(request, &Event::Finished(answer))
    }
}

/// Who says what to the model.
fn told(message: &Message) -> (&'static str, &str) {
    match message {
        Message::System(text) => ("system", text),
        Message::User(text) => ("user", text),
        Message::Assistant { text, .. } => ("assistant", text),
        Message::ToolOutput { output, .. } => ("tool", output),
    }
}

/// What it asks a model, each message as who says what.
fn asked(did: &[AgentOutput]) -> Option<Vec<(&'static str, &str)>> {
    did.iter().find_map(|did| match did {
        AgentOutput::Ask { ask: Ask::Chat(chat), .. } => Some(chat.messages.iter().map(told).collect()),
        _ => None,
    })
}

fn spent(did: &[AgentOutput]) -> Option<(Option<(u64, u64)>, bool)> {
    did.iter().find_map(|did| match did {
        AgentOutput::Spent { used, estimated, .. } => {
            let tokens = used.map(|used| match used {
                Quantity::Tokens(usage) => (usage.input, usage.output),
                Quantity::Eager(_)
                | Quantity::Characters(_)
                | Quantity::Samples(_)
                | Quantity::Repeated(_)
                | Quantity::RepeatedTokens(_) => {
                    panic!("it does not speak")
                }
            });
            Some((tokens, *estimated))
        }
        _ => None,
    })
}

fn words(did: &[AgentOutput]) -> String {
    did.iter().map(|did| if let AgentOutput::Words { text, .. } = did { text.as_str() } else { "" }).collect()
}

#[test]
fn what_is_typed_is_asked_and_the_answer_flows_and_is_remembered() {
    let mut bench = Bench::new();
    let did = bench.types("Hello");
    assert!(matches!(&did[0], AgentOutput::Typed { text, .. } if text == "Hello"));
    assert_eq!(asked(&did), Some(vec![("system", "Listen."), ("user", "Hello")]));
    assert_eq!(words(&bench.says(0, "Hi ")), "Hi ");
    assert_eq!(words(&bench.says(0, "there.")), "there.");
    let usage = TokenUsage { input: 11, output: 3, ..TokenUsage::default() };
    let did = bench.finishes(0, Some(usage));
    assert_eq!(spent(&did), Some((Some((11, 3)), false)));
    assert_eq!(did.last(), Some(&AgentOutput::AnswerEnd));
    bench.input(AgentInput::AnswerOver { answer: 0, heard: 9 });
    let did = bench.types("Well?");
    assert!(!did.contains(&AgentOutput::Cut), "nothing is being said");
    let all = [("system", "Listen."), ("user", "Hello"), ("assistant", "Hi there."), ("user", "Well?")];
    assert_eq!(asked(&did), Some(all.to_vec()));
}

#[test]
fn without_a_word_of_the_provider_the_larger_estimate_counts() {
    let mut bench = Bench::new();
    bench.types("Hello");
    // 16 bytes in 2 pieces are 4 tokens, and so are 12 in 4; 8 pieces of a byte are 3.
    bench.says(0, "12345678");
    bench.says(0, "12345678");
    assert_eq!(spent(&bench.finishes(0, None)), Some((Some((3, 4)), true)));
    bench.input(AgentInput::AnswerOver { answer: 0, heard: 16 });
    for (request, (piece, pieces, tokens)) in [("ab ", 4, 4), ("a", 8, 3)].into_iter().enumerate() {
        let request = request as u32 + 1;
        bench.types("Hello");
        for _ in 0..pieces {
            bench.says(request, piece);
        }
        let used = spent(&bench.finishes(request, None)).and_then(|(used, _)| used);
        assert_eq!(used.map(|(_, output)| output), Some(tokens), "{piece:?}");
        bench.input(AgentInput::AnswerOver { answer: request, heard: 16 });
    }
}

#[test]
fn of_an_answer_that_is_cut_off_the_larger_counts_of_what_the_provider_has_told_and_what_has_come() {
    for (told, counts) in [(1, 3), (9, 9)] {
        let mut bench = Bench::new();
        bench.types("Hello");
        let usage = TokenUsage { input: 11, output: told, ..TokenUsage::default() };
        bench.event(0, &Event::Usage(Quantity::Tokens(usage)));
        for _ in 0..3 {
            bench.says(0, "ab");
        }
        assert_eq!(spent(&bench.types("Stop")), Some((Some((11, counts)), true)));
    }
}

#[test]
fn who_types_into_an_answer_ends_it_and_what_was_said_is_remembered_and_billed() {
    let mut bench = Bench::new();
    bench.types("Hello");
    bench.says(0, "I was just ");
    let did = bench.types("Stop");
    let kinds: Vec<_> = did.iter().map(std::mem::discriminant).collect();
    let cancel = AgentOutput::Cancel { request: RequestId(0) };
    assert!(did.contains(&cancel) && did.contains(&AgentOutput::Cut), "{kinds:?}");
    assert_eq!(spent(&did).map(|(_, estimated)| estimated), Some(true));
    let all = [("system", "Listen."), ("user", "Hello"), ("assistant", "I was just "), ("user", "Stop")];
    assert_eq!(asked(&did), Some(all.to_vec()));
    assert_eq!(bench.says(0, "late"), [], "what comes of it afterwards is not heard");
}

#[test]
fn a_provider_that_fails_leaves_words_and_only_what_it_can_have_billed() {
    for (kind, billed) in
        [(FailureKind::Connection, false), (FailureKind::Timeout, true), (FailureKind::Key, false)]
    {
        let mut bench = Bench::new();
        bench.types("Hello");
        let did = bench.event(0, &Event::Failed(Failure::new(kind, "why")));
        assert_eq!(spent(&did).map(|(used, _)| used.is_some()), Some(billed), "{kind:?}");
        assert_eq!(words(&did), NO_ANSWER);
        assert_eq!(did.last(), Some(&AgentOutput::AnswerEnd));
        let did = bench.types("Again");
        assert_eq!(
            asked(&did),
            Some(vec![("system", "Listen."), ("user", "Hello"), ("user", "Again")]),
            "an apology is no part of the conversation"
        );
    }
    let mut bench = Bench::new();
    bench.types("Hello");
    bench.says(0, "Half ");
    let did = bench.event(0, &Event::Failed(Failure::new(FailureKind::Connection, "broke off")));
    assert_eq!(spent(&did).map(|(used, _)| used.is_some()), Some(true), "it has read the question");
    assert_eq!(words(&did), "", "what was said stays said");
}

#[test]
fn a_model_that_does_not_keep_to_its_length_is_stopped_within_its_worst_case() {
    let mut bench = Bench::new();
    let did = bench.types("Hello");
    let at_most = did.iter().find_map(|did| match did {
        AgentOutput::Ask { at_most: AtMost::Tokens { prompt, output }, .. } => Some((*prompt, *output)),
        _ => None,
    });
    let (prompt, output) = at_most.expect("it asks");
    assert!(prompt >= 12, "a token of each byte, and what each message costs beside its text");
    for _ in 0..5 {
        let did = bench.says(0, "word ");
        assert!(matches!(did[..], [AgentOutput::Words { .. }]), "so long it may be: {did:?}");
    }
    let did = bench.says(0, "word ");
    let (used, estimated) = spent(&did).expect("it is over");
    let (read, written) = used.expect("billed");
    assert!(estimated && read <= prompt && written <= output, "{read} {written}");
    assert!(did.contains(&AgentOutput::Cancel { request: RequestId(0) }));
    assert_eq!(did.last(), Some(&AgentOutput::AnswerEnd));
    assert_eq!(bench.says(0, "word "), []);
}

#[test]
fn whoever_goes_on_with_a_conversation_knows_it_and_answers_what_nobody_has_answered() {
    let turn = |number, role, text: &str| Turn::new(number, role, text.to_owned(), 0, 0);
    let turns = [
        turn(0, protocol::Role::User, "Hello"),
        turn(1, protocol::Role::Agent, "Hi."),
        turn(2, protocol::Role::User, "Still there?"),
    ];
    let mut bench = Bench(writer(&turns), Answers::default());
    assert_eq!(bench.0.poll_timeout(), Some(Time::ZERO));
    let did = bench.input(AgentInput::Timeout);
    assert_eq!(asked(&did).map(|asked| asked.len()), Some(4));
    assert_eq!(bench.0.poll_timeout(), None, "it asks once");
    let bench = Bench(writer(&turns[..2]), Answers::default());
    assert_eq!(bench.0.poll_timeout(), None, "it has answered");
}

#[test]
fn of_a_long_conversation_the_newest_exchanges_are_told_and_mostly_after_the_same_beginning() {
    let mut bench = Bench::new();
    let most = Persona::default().memory_tokens as usize * BYTES_PER_TOKEN;
    let (mut first, mut anew, mut longest) = (String::new(), 0, 0);
    for n in 0..100 {
        let did = bench.types(&format!("{n} {}", "x".repeat(1_000)));
        let asked = asked(&did).expect("it asks");
        assert_eq!((asked[0].0, asked[1].0, asked.len() % 2), ("system", "user", 0), "whole exchanges");
        let bytes: usize = asked[1..].iter().map(|(_, text)| text.len()).sum();
        assert!(bytes <= most && (n < 20 || bytes > most / 3), "{bytes} of {most}");
        longest = longest.max(bytes);
        anew += usize::from(asked[1].1 != first);
        first = asked[1].1.to_owned();
        bench.says(n, &"y".repeat(1_000));
        bench.finishes(n, None);
        bench.input(AgentInput::AnswerOver { answer: n, heard: 1_000 });
    }
    assert!(longest > most * 9 / 10, "all of its room is used: {longest}");
    // The first time, and then whenever the older half, eight exchanges, is forgotten.
    assert!((8..=13).contains(&anew), "{anew}");
}

#[test]
fn the_newest_exchange_is_told_however_long_it_is() {
    let mut bench = Bench::new();
    let long = "x".repeat(40_000);
    bench.types("Hello");
    bench.says(0, "Hi.");
    bench.finishes(0, None);
    bench.input(AgentInput::AnswerOver { answer: 0, heard: 3 });
    let did = bench.types(&long);
    assert_eq!(asked(&did), Some(vec![("system", "Listen."), ("user", &*long)]));
}

#[test]
fn audio_means_nothing_to_it_and_is_let_go_of() {
    let mut bench = Bench::new();
    let mut through = 0;
    for n in 0..50 {
        for output in bench.input(AgentInput::Audio { position: n * 1_600, samples: &[0; 1_600] }) {
            let AgentOutput::Final { through: next } = output else { panic!("{output:?}") };
            assert!(next > through);
            through = next;
        }
    }
    assert_eq!(through, 80_000, "every half second");
    let did = bench.input(AgentInput::Gap { position: 80_000, end: 80_001 });
    assert_eq!(did, [AgentOutput::Final { through: 80_001 }], "what is lost is waited for by nobody");
}

#[test]
fn whoever_leaves_gives_up_what_is_under_way() {
    for is_sent in [true, false] {
        let mut bench = Bench::new();
        bench.types("Hello");
        if is_sent {
            bench.event(0, &Event::Ready);
        }
        let did = bench.input(AgentInput::Leave);
        assert!(did.contains(&AgentOutput::Cancel { request: RequestId(0) }));
        assert_eq!(spent(&did).map(|(used, _)| used.is_some()), Some(is_sent), "what has left is billed");
        assert_eq!(bench.input(AgentInput::Leave), [], "once");
    }
}

#[test]
fn all_audio_is_done_with_when_no_more_comes() {
    let mut chat = writer(&[]);
    chat.handle_input(Time::ZERO, AgentInput::Audio { position: 0, samples: &[0; 1_600] });
    assert_eq!(chat.poll_output(), None, "it is not said for every chunk");
    chat.handle_input(Time::ZERO, AgentInput::Pause);
    assert_eq!(chat.poll_output(), Some(AgentOutput::Final { through: 1_600 }));
}

fn finals(did: &[AgentOutput]) -> Vec<u32> {
    did.iter()
        .filter_map(|did| if let AgentOutput::Final { through } = did { Some(*through) } else { None })
        .collect()
}

#[test]
fn what_it_is_told_to_say_waits_for_the_answer_that_is_coming_and_its_place_is_not_final_before() {
    let mut bench = Bench::new();
    bench.types("Hello");
    bench.says(0, "Hi.");
    let did = bench.input(AgentInput::Say { position: Some(0), text: "We close soon.", interrupt: false });
    assert_eq!(did, []);
    let did = bench.input(AgentInput::Audio { position: 0, samples: &[0; 16_000] });
    assert_eq!(finals(&did), [] as [u32; 0], "it is not said yet");
    let did = bench.finishes(0, None);
    assert_eq!(words(&did), "We close soon.");
    assert_eq!(finals(&did), [16_000]);
    bench.input(AgentInput::AnswerOver { answer: 0, heard: 3 });
    bench.input(AgentInput::AnswerOver { answer: 1, heard: 14 });
    let asks = bench.types("Why?");
    let all = [
        ("system", "Listen."),
        ("user", "Hello"),
        ("assistant", "Hi."),
        ("assistant", "We close soon."),
        ("user", "Why?"),
    ];
    assert_eq!(asked(&asks), Some(all.to_vec()), "it knows what it said");
}

#[test]
fn what_it_is_told_to_say_at_once_cuts_the_answer_off_and_what_has_come_is_paid() {
    let mut bench = Bench::new();
    bench.types("Hello");
    bench.says(0, "Hi the");
    let did = bench.input(AgentInput::Say { position: Some(0), text: "Fire!", interrupt: true });
    assert!(did.contains(&AgentOutput::Cancel { request: RequestId(0) }), "{did:?}");
    assert!(did.contains(&AgentOutput::Cut));
    assert!(spent(&did).is_some());
    assert_eq!(words(&did), "Fire!");
}

#[test]
fn what_waits_to_be_said_in_writing_is_said_before_the_user_is_answered_who_types_meanwhile() {
    let mut bench = Bench::new();
    bench.types("Hello");
    bench.says(0, "Hi");
    bench.input(AgentInput::Say { position: Some(0), text: "We close soon.", interrupt: false });
    let did = bench.types("Wait");
    assert_eq!(words(&did), "We close soon.");
    let all = [
        ("system", "Listen."),
        ("user", "Hello"),
        ("assistant", "Hi"),
        ("assistant", "We close soon."),
        ("user", "Wait"),
    ];
    assert_eq!(asked(&did), Some(all.to_vec()));
}

#[test]
fn more_than_can_wait_to_be_said_is_refused_in_words() {
    let mut bench = Bench::new();
    bench.types("Hello");
    let mut refused = 0;
    for _ in 0..TO_SAY_MAX + 2 {
        let did = bench.input(AgentInput::Say { position: Some(0), text: "la", interrupt: false });
        refused += usize::from(did == [AgentOutput::Trouble(ErrorCode::MessagesFull)]);
    }
    assert_eq!(refused, 2);
}

#[test]
fn the_model_is_told_what_the_user_really_said() {
    let mut bench = Bench::new();
    bench.types("Hell");
    bench.says(0, "Oh.");
    bench.finishes(0, None);
    bench.input(AgentInput::AnswerOver { answer: 0, heard: 3 });
    bench.input(AgentInput::Corrected { said: 0, text: "Hello" });
    let did = bench.types("Well?");
    let messages = asked(&did).expect("it asks");
    assert_eq!(messages[1], ("user", "Hello"));
}

#[test]
fn the_page_hears_that_the_model_fails_and_that_it_answers_again_once_each() {
    let mut bench = Bench::new();
    let failed = Event::Failed(Failure::new(FailureKind::Provider, "down"));
    let mut told = Vec::new();
    for request in 0..4 {
        let mut did = bench.types("Hello");
        did.extend(if request < 2 { bench.event(request, &failed) } else { bench.says(request, "Hi") });
        if request >= 2 {
            did.extend(bench.finishes(request, None));
        }
        bench.input(AgentInput::AnswerOver { answer: request, heard: 0 });
        told.extend(did.into_iter().filter_map(|did| match did {
            AgentOutput::Degraded { degraded, .. } => Some(if degraded { "worse" } else { "well" }),
            AgentOutput::Trouble(ErrorCode::AgentUnavailable) => Some("trouble"),
            _ => None,
        }));
    }
    assert_eq!(told, ["worse", "trouble", "trouble", "well"]);
}

#[test]
fn what_it_cannot_do_is_told_of_each_ability_by_itself_and_once() {
    let mut agent = writer(&[]);
    let mut told = |degraded| {
        for what in [Ability::Hearing, Ability::Thinking, Ability::Speaking, Ability::Hearing] {
            agent.tell_degraded(what, degraded);
        }
        std::iter::from_fn(|| agent.poll_output()).count()
    };
    assert_eq!([told(true), told(true), told(false), told(false)], [3, 0, 3, 0]);
}

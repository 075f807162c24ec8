//! What administrators have the agent told.

use protocol::TEXT_MAX_CHARS;

use super::endings::{bench, stored};
use super::*;

const SAY: CommandKind = CommandKind::Say { interrupt: false };

fn command(id: &str, kind: CommandKind, text: &str) -> Command {
    Command { id: id.to_owned(), kind, text: text.to_owned() }
}

impl Bench {
    /// Gives a command, with what the agent says then. Says what has become of it, and what else was done.
    fn command(&mut self, kind: CommandKind, text: &str) -> (Result<(), NotTold>, Vec<Did>) {
        self.told.lock().expect("one thread").clear();
        let mut did = self.input(Input::Command(&command("c", kind, text)));
        did.retain(|did| !matches!(did, Did::Usage(_)));
        let noted = did.iter().position(|did| matches!(did, Did::NoteCommand(..))).expect("its outcome");
        let Did::NoteCommand(id, told) = did.remove(noted) else { panic!("it is there") };
        assert_eq!(id, "c");
        (told, did)
    }

    fn was_told(&self) -> Vec<String> {
        self.told.lock().expect("one thread").clone()
    }

    fn has_room(&self, room: Option<usize>) {
        *self.room.lock().expect("one thread") = room;
    }
}

#[test]
fn the_agent_is_told_behind_what_it_has_heard_and_says_it_as_it_says_what_the_page_wants_said() {
    let mut bench = Bench::new();
    bench.has_room(Some(1));
    bench.chunk([]);
    bench.script.lock().expect("one thread").push_back(reply(1));
    let (told, did) = bench.command(CommandKind::Say { interrupt: true }, "We close soon.");
    assert_eq!(told, Ok(()));
    assert_eq!(bench.was_told()[0], r#"Say { position: None, text: "We close soon.", interrupt: true }"#);
    let says = |did: &&Did| matches!(did, Did::Say(Saying::Transcript(turn)) if turn.role == Role::Agent);
    assert!(did.iter().any(|did| says(&did)), "the page reads what it says: {did:?}");
    assert!(!did.iter().any(|did| matches!(did, Did::Trouble(_))), "and nothing new: {did:?}");
    let (told, did) = bench.command(CommandKind::Context, "They have called before.");
    assert_eq!(told, Ok(()));
    assert!(
        !did.iter().any(|did| matches!(did, Did::Say(_) | Did::Trouble(_))),
        "it is not answered: {did:?}"
    );
    assert_eq!(bench.was_told()[0], r#"Context { position: 1600, text: "They have called before." }"#);
}

#[test]
fn what_the_agent_is_not_told_is_refused_in_words_and_the_page_hears_nothing_of_it() {
    let mut bench = Bench::new();
    bench.chunk([]);
    let refused = |bench: &mut Bench, kind, text: &str| {
        let (told, did) = bench.command(kind, text);
        assert!(did.is_empty() && bench.was_told().is_empty(), "{did:?}");
        told.expect_err("it is refused")
    };
    assert_eq!(refused(&mut bench, SAY, "Hello"), NotTold::AgentCannot, "it only repeats");
    assert_eq!(refused(&mut bench, CommandKind::Context, "Hello"), NotTold::AgentCannot);
    bench.has_room(Some(0));
    assert_eq!(refused(&mut bench, SAY, "Hello"), NotTold::QueueFull);
    assert_eq!(bench.command(CommandKind::Context, "Hello").0, Ok(()), "that takes no room");
    bench.has_room(Some(9));
    assert_eq!(refused(&mut bench, SAY, &"ü".repeat(TEXT_MAX_CHARS + 1)), NotTold::TooLong);
    assert_eq!(bench.command(SAY, &"ü".repeat(TEXT_MAX_CHARS)).0, Ok(()));
    bench.input(Input::Bye);
    assert_eq!(refused(&mut bench, SAY, "Hello"), NotTold::CallEnded, "the user has hung up");
    bench.input(Input::Stop(CloseCode::TooLong));
    assert_eq!(refused(&mut bench, SAY, "Hello"), NotTold::CallEnded);
}

#[test]
fn an_agent_that_says_its_last_words_is_told_nothing_more() {
    let mut bench = bench(true);
    bench.has_room(Some(9));
    bench.spends_all();
    assert_eq!(bench.command(SAY, "Hello").0, Ok(()), "it waits for no money of the user's audio");
    let short = Reserved::Short(bench.shortage(false));
    bench.input(Input::Reserved(&short));
    assert_eq!(bench.command(SAY, "Hello").0, Err(NotTold::CallEnded));
}

#[test]
fn what_an_administrator_wanted_said_and_is_not_said_stands_in_writing_wherever_the_call_goes_on() {
    let unsaid = || AgentOutput::Unsaid { text: "We close soon.".into(), position: None };
    for input in [
        Input::Checkpoint { sent_away: true },
        Input::Stop(CloseCode::TryLater),
        Input::Stop(CloseCode::EndedByOperator),
    ] {
        let mut bench = bench(false);
        bench.has_room(Some(9));
        bench.chunk([]);
        bench.command(SAY, "We close soon.").0.expect("it is told");
        bench.script.lock().expect("one thread").push_back(unsaid());
        let did = bench.input(input);
        assert_eq!(stored(&did).0, [(Role::Agent, "We close soon.")], "nobody sends it again: {input:?}");
    }
    // Who has hung up waits for nothing.
    let mut bench = bench(false);
    bench.has_room(Some(9));
    bench.command(SAY, "We close soon.").0.expect("it is told");
    bench.script.lock().expect("one thread").extend([unsaid(), AgentOutput::Final { through: 0 }]);
    assert_eq!(stored(&bench.input(Input::Bye)).0, []);
}

//! Whole calls on simulated time, without a thread, a socket or a database.
//!
//! In each call run the real client, the real session of the relay (link, call, policy, journal) with real agents, the real codecs of two language
//! models, and the rules by which a relay begins, resumes and takes over sessions. Simulated are the network, the user, the database
//! ([`store::Model`], which a test compares with the real one), a relay's own disk, models, recognisers and voices on a bad day, and whatever else
//! goes wrong. Everything comes from a seed: the same seed is the same call, to the last byte.
//!
//! Of a hundred calls 85 are conversations, with the agent that hears or reads, asks a model, and speaks or writes. The others are with an agent
//! that says back what it hears, or follows a script. Users of conversations barge in, type, mute, hold, cough, hang up, and run out of money;
//! pages and administrators have the agent say something, behind what it says or at once;
//! providers are slow, stall, fail, close in the middle of an utterance, and answer twice or late; models garble, and cut characters in two.
//!
//! Recognisers and voices are codecs without a wire, so nothing of theirs is garbled or cut here: what each real codec makes of that its own tests
//! show. Circuit breakers and limits of requests at a time belong to all calls of a relay, and are not here either: the breaker is held to a model
//! beside it, and both are tried over real sockets (`tests/tests/bad_days`). Voice activity is scripted, and in one call of a hundred computed from
//! the user's sound: a tone with the overtones and the swell of a voice ([`audio::synthetic`]), the same for words and coughs. How it does with
//! recordings of people `cargo xtask bench voice` and `bench interruption` measure.
//!
//! `cargo xtask simulate --calls N --seed S` makes calls `S` to `S + N - 1`; a failing one prints its seed, and runs alone, with everything that
//! happens in it, by `--calls 1 --seed THAT --trace`. With `--without stall,cough` the same calls are made without these kinds of trouble: whatever
//! has to do with one of them fails no more then. The gate makes as many calls as it takes for 100,000 conversations.
//!
//! # What is proved
//! At each step:
//! - Nothing is told to be committed that is not stored, and in the ledger. A session that has ended writes nothing.
//! - No request is made that the store does not know to be exposed, and no budget is overshot, but by what nobody could refuse any more: at most
//!   what a session had set aside when a new day begins that has no room for it, and what is written of one only when it has ended or was deleted.
//! - An agent hears each sample once, in order, as it was said.
//! - No answer begins before the one before it is over. What a model is told that the agent has said was heard.
//! - A model is told one output of each call of a tool, and a backend is called when that is stored.
//! - No model is asked while words of the user still come, except about what was typed, what came of a tool, a turn that may be over and one that was
//!   too long.
//! - At the page nothing of an answer comes after its flush, nothing comes while it is held, and what sounds then is the next sample.
//! - Nothing but words interrupts an answer. No model is asked again and again while nothing is answered.
//! - What a voice that breaks off leaves of a sentence another voice speaks, and no word that did not sound is left out.
//!
//! When a user has stayed on the line: every turn has an answer, in good time however often a model was asked about it, or the user was told why
//! not, and no words are left that have become no turn. So it is where relays are killed or stopped, from the relay on that goes on, and where money
//! is short, until it is used up. It is not asked for where the database is away or refuses, tokens are bad, or the call is ended or deleted from
//! outside.
//!
//! At the end:
//! - Every session has ended, and nothing stays set aside. Ledger, sessions and budgets agree.
//! - What is metered is what was heard. What is billed for a request is what the provider says that it used, and what a voice or a recogniser was
//!   given (of a relay that was killed, at most what it had exposed). What has reached no provider costs nothing.
//! - What a recogniser bills less than the user was charged for it is given back, all of it and once, and budgets are lowered by that.
//! - Each turn has one number; who began to speak before a text was typed has the lower one. What the page was told is what is stored.
//! - What stands as heard was heard. An answer that was heard to its end was sent whole, each sample once.
//! - No word is lost; a call that ends for want of money says so.
//!
//! # Each rule, broken on purpose
//! `cargo xtask breaks` breaks rules one at a time in a copy of the code, and says which seed's call notices. A break that no call notices is an
//! error, and so is one whose code stands no longer where the table of that command looks for it.
//!
//! Not found: a last settlement that gives nothing back. The store gives it back itself when the session ends or is taken over. A hold that
//! loses a part of a frame: so little waits at that moment that the call's own tests have to show it.

mod disk;
mod network;
mod provider;
/// The generator of the link's own simulation.
#[path = "../../protocol/examples/simulate/random.rs"]
mod random;
mod scenario;
mod speech;
pub mod store;
mod talker;
mod trouble;
mod voice;
mod watched;
mod wire;
mod world;

use std::fmt;
use std::ops::AddAssign;
use std::time::Duration;

pub use trouble::Without;
pub use world::Fixed;

/// Whether everything that happens is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace(pub bool);

impl Trace {
    fn is_on(self) -> bool {
        self.0
    }

    #[cfg(not(test))]
    #[expect(clippy::print_stderr, reason = "that is what a trace is for")]
    fn line(self, at: Duration, what: &str) {
        let short: String = what.chars().take(1_200).collect();
        eprintln!("{:9.3} {short}", at.as_secs_f64());
    }

    #[cfg(test)]
    fn line(self, at: Duration, what: &str) {
        TRACED.with_borrow_mut(|lines| lines.push(format!("{at:?} {what}")));
    }
}

#[cfg(test)]
thread_local! {
    /// What was traced in this thread, whole.
    static TRACED: std::cell::RefCell<Vec<String>> = const { std::cell::RefCell::new(Vec::new()) };
}

macro_rules! tally {
    ($($(#[$doc:meta])* $name:ident: $word:literal,)*) => {
        /// What happened in calls, counted.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Tally {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Tally {
            /// Every count with what it counts.
            #[must_use]
            pub fn counts(&self) -> Vec<(&'static str, u64)> {
                vec![$(($word, self.$name)),*]
            }
        }

        impl AddAssign for Tally {
            fn add_assign(&mut self, other: Tally) {
                $(self.$name += other.$name;)*
            }
        }

        impl fmt::Display for Tally {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut comma = "";
                $(
                    write!(f, "{comma}{} {}", self.$name, $word)?;
                    comma = ", ";
                )*
                let _ = comma;
                Ok(())
            }
        }
    };
}

tally! {
    /// Calls.
    calls: "calls",
    /// Calls with the agent that holds conversations.
    conversations: "of them conversations",
    /// Chunks of the microphone.
    chunks: "chunks",
    /// Connections that clients made.
    connections: "connections",
    /// Sessions that were stored.
    sessions: "sessions",
    /// Calls that ended as the user wished.
    normal: "hung up in order",
    /// How often a user did not wait until all was sent.
    hurried: "did not wait for it",
    /// Turns that were stored.
    turns: "turns",
    /// Turns of the user that became longer when they seemed to be over.
    longer: "of them became longer",
    /// Texts that were typed.
    texts: "texts",
    /// Texts that agents were told to say, by the page or an administrator.
    says: "told to say",
    /// Those that were to be said at once.
    interrupting: "of them at once",
    /// Requests that were made of a model.
    requests: "requests",
    /// Answers of a model that were prepared for nothing.
    eager: "of them for nothing",
    /// Rows of what recognisers said afterwards that they bill beyond what they were given.
    excess: "billed in excess",
    /// What users got back since recognisers said afterwards that they bill less.
    credits: "credits",
    /// What recognisers said of a session when it was over in its relay.
    afterwards: "bills that came after the end",
    /// Those that were made in Anthropic's dialect.
    anthropic: "of them in Anthropic's dialect",
    /// Requests of which something was to go wrong that is none of what follows.
    failing: "of them to fail",
    /// Recognisers and voices that were asked and were to say nothing for a while.
    stalls: "of them to stall",
    /// Recognisers and voices that were asked and were to say the same twice.
    repeats: "of them to answer twice",
    /// Sentences of which a voice had made some sound, and that another one was asked to go on with.
    spoken_on: "sentences that another voice went on with",
    /// Recognisers that were asked and whose words were to come after the end of their turn.
    late: "of them to be late",
    /// How often a user stayed on the line until everything was answered.
    awaited: "waited for each answer",
    /// Results of tools.
    results: "results of tools",
    /// Answers that were interrupted.
    flushes: "interruptions",
    /// Answers that an agent dropped where they were, each of which was seen to have its reason.
    cuts: "answers dropped for words",
    /// Answers that were held.
    holds: "holds",
    /// Answers that were held, and went on because nobody had interrupted.
    went_on: "of them for nothing said",
    /// Utterances of users that were coughs.
    coughs: "coughs",
    /// How often a user put the call on hold.
    on_hold: "put on hold",
    /// Gaps that were announced.
    gaps: "gaps",
    /// Relays that were killed.
    crashes: "relays killed",
    /// Relays that were stopped.
    stops: "relays stopped",
    /// Relays that were told to stop, and sent their sessions elsewhere first.
    drains: "relays drained",
    /// Sessions that were sent elsewhere between two turns.
    paused: "sent elsewhere in a pause",
    /// Sessions that were sent elsewhere whatever was said.
    hastened: "sent elsewhere at the deadline",
    /// Sessions that went to another relay.
    take_overs: "taken over",
    /// Answers of which a take-over took back what nobody had heard.
    broken_off: "answers cut short by that",
    /// Sessions that could not be resumed, and whose uncommitted audio the next one did not meter again.
    paid_before: "sessions that began with what was paid for",
    /// Sessions that a relay was asked to hand off.
    hand_offs: "asked to hand off",
    /// Resumes that began another session.
    failed_resumes: "resumes refused",
    /// Sessions that a sweep ended.
    swept: "swept",
    /// Charges for requests of relays that were killed.
    written_off: "charged as lost",
    /// Entries that were written from a relay's own disk.
    replayed: "written from disks",
    /// Budgets that were used up.
    exhausted: "budgets used up",
    /// Agents that said their last words, since there was no more money.
    farewells: "said goodbye for want of it",
    /// Calls that were refused for want of money.
    short: "refused for want of money",
    /// Times that somebody else spent the same money.
    others: "times others spent",
    /// Calls whose voice activity was computed from their sound, which is synthetic, and found somebody who speaks.
    computed: "calls listened to",
}

/// Makes one call.
///
/// # Errors
/// With what was not as it should be.
pub fn run(fixed: &Fixed, seed: u64, trace: Trace) -> Result<Tally, String> {
    world::World::new(fixed, seed, trace).run()
}

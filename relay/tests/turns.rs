//! The call and the echo agent together, with sound: turns, their order and their positions, however the audio comes.

#[path = "support/new_call.rs"]
mod new_call;

use std::time::Duration;

use audio::Hz;
use protocol::relay::Saying;
use protocol::{Gap, Mark, Role, Time};
use relay::NanoUsd;
use relay::agent::{Agent, AgentInput, AgentOutput, Echo};
use relay::call::Turn;
use relay::call::{Call, Input, Output};
use relay::money::budget::{Balance, Caps, Grant, Reserved, Scope, Shortage, Standing, TokenCaps};

const RATE: usize = 16_000;

/// Seconds of silence and of a voice by turns, beginning with silence.
fn sound(seconds: &[f32]) -> Vec<i16> {
    let mut samples = Vec::new();
    for (index, length) in seconds.iter().enumerate() {
        let count = (length * RATE as f32) as u32;
        for n in 0..count {
            // Never quite silent, as no room is.
            let quiet = ((u64::from(n) * 7_919) % 13) as i16 - 6;
            samples.push(if index % 2 == 1 { audio::synthetic::voice(n) } else { quiet });
        }
    }
    samples
}

fn bytes(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

/// A small generator that is the same on every machine (Knuth's MMIX constants).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }
}

/// What an agent makes of audio in pieces of these lengths.
fn said(samples: &[i16], mut next: impl FnMut() -> usize) -> Vec<(String, u32, u32)> {
    let mut echo = Echo::new(Hz(24_000), 0).expect("it speaks at this rate");
    let (mut at, mut said) = (0, Vec::new());
    let mut drain = |echo: &mut Echo| {
        while let Some(output) = echo.poll_output() {
            if let AgentOutput::Said { text, start, end, .. } = output {
                said.push((text, start, end));
            }
        }
    };
    while at < samples.len() {
        let end = samples.len().min(at + next());
        let position = u32::try_from(at).expect("short");
        echo.handle_input(Time::ZERO, AgentInput::Audio { position, samples: &samples[at..end] });
        drain(&mut echo);
        at = end;
    }
    echo.handle_input(Time::ZERO, AgentInput::Pause);
    drain(&mut echo);
    said
}

#[test]
fn any_cutting_of_the_audio_gives_the_same_turns() {
    let mut dice = Dice(1);
    for sound in [
        sound(&[1.0, 0.26, 0.9, 0.5, 0.9, 0.3, 0.8, 0.2, 0.9]),
        sound(&[0.5, 2.0, 0.7, 1.0, 0.3, 1.0, 2.0, 0.15, 1.5]),
        sound(&[1.0, 60.0, 1.0, 1.0, 1.0]),
    ] {
        let expected = said(&sound, || 1_600);
        assert!(expected.len() >= 2, "{expected:?}");
        assert_eq!(said(&sound, || 50_000), expected, "the longest chunks");
        assert_eq!(said(&sound, || usize::MAX / 2), expected, "all at once");
        assert_eq!(said(&sound, || 50), expected, "the shortest chunks");
        for _ in 0..10 {
            let longest = [160, 3_000, 50_000][dice.below(3)];
            assert_eq!(said(&sound, || 50 + dice.below(longest)), expected, "by chance");
        }
    }
}

struct Bench {
    call: Call,
    next: Mark,
    now: Time,
}

#[derive(Default, Debug)]
struct Did {
    /// Lengths of the frames that were handed out.
    frames: Vec<usize>,
    /// Those that the page was told.
    told: Vec<(u32, Role, u32, u32)>,
    stored: Vec<Turn>,
    metered: u64,
    /// What the last settlement says may be played again.
    replayable: u32,
    asks: usize,
}

impl Bench {
    fn new(authorised: u64, replayable: u32) -> Bench {
        Bench::after(authorised, replayable, replayable)
    }

    /// A relay before this one has metered audio up to this position, and so many samples before it may be played again.
    fn after(authorised: u64, replayable: u32, metered_through: u32) -> Bench {
        let start = new_call::start(NanoUsd::new(authorised), replayable, metered_through);
        let echo = Echo::new(Hz(24_000), 0).expect("it speaks at this rate");
        let now = Time::from_millis(1);
        Bench { call: Call::new(now, Box::new(echo), start), next: Mark::default(), now }
    }

    /// Without taking what comes of it.
    fn hear(&mut self, samples: &[i16]) {
        let length = u32::try_from(samples.len()).expect("short");
        self.call.handle_input(self.now, Input::Audio { mark: self.next, payload: &bytes(samples) });
        self.next = Mark { seq: self.next.seq + 1, position: self.next.position + length };
    }

    fn skip(&mut self, samples: u32) {
        let to = Mark { seq: self.next.seq, position: self.next.position + samples };
        self.call.handle_input(self.now, Input::Gap(Gap { from: self.next, to }));
        self.next = to;
    }

    fn drain(&mut self, did: &mut Did) {
        while let Some(output) = self.call.poll_output() {
            match output {
                Output::Speak(samples) => did.frames.push(samples.len()),
                Output::Say(Saying::Transcript(turn)) => {
                    did.told.push((turn.turn, turn.role, turn.start, turn.end));
                }
                Output::Store { turns, .. } => did.stored.extend(turns),
                Output::Settle { rows, replayable, .. } => {
                    did.metered += rows.iter().map(|row| row.quantity).sum::<u64>();
                    did.replayable = replayable;
                }
                Output::Reserve { .. } => did.asks += 1,
                _ => {}
            }
        }
    }
}

/// More than any of these calls costs.
const ENOUGH: u64 = 5_000_000_000;

#[test]
fn an_answer_that_is_cut_off_before_it_was_sent_takes_no_place_in_the_agents_timeline() {
    let speech = sound(&[0.5, 2.0]);
    for jump in [16_001, 20_000, 100_000] {
        let (mut bench, mut did) = (Bench::new(ENOUGH, 0), Did::default());
        for chunk in speech.chunks(1_600) {
            bench.hear(chunk);
            bench.drain(&mut did);
        }
        // A link hands over both before anything is taken.
        bench.skip(jump);
        bench.hear(&sound(&[0.0, 1.0]));
        bench.drain(&mut did);
        for chunk in sound(&[2.0, 1.0, 2.0]).chunks(1_600) {
            bench.now = bench.now + Duration::from_millis(100);
            bench.hear(chunk);
            bench.drain(&mut did);
        }
        assert!(did.frames.iter().all(|length| *length > 0), "{:?}", did.frames);
        let begins: Vec<u32> =
            did.told.iter().filter(|turn| turn.1 == Role::Agent).map(|turn| turn.2).collect();
        assert!(begins.len() >= 2, "{:?}", did.told);
        let spoken: usize = did.frames.iter().sum();
        assert!(begins.iter().all(|start| *start as usize <= spoken), "{begins:?} of {spoken}");
    }
}

#[test]
fn what_may_be_played_again_is_counted_and_what_is_declared_as_lost_is_not_played_again() {
    for far in [0, 16_000, 4_200_000_000] {
        let (mut bench, mut did) = (Bench::new(ENOUGH, 24_000), Did::default());
        bench.skip(far);
        for _ in 0..40 {
            bench.hear(&vec![0; 1_600]);
        }
        bench.call.handle_input(bench.now, Input::Checkpoint { sent_away: true });
        bench.drain(&mut did);
        let free = 24_000_u32.saturating_sub(far);
        assert_eq!(did.metered, u64::from(64_000 - free), "after {far}");
    }
}

#[test]
fn who_drops_more_than_before_pays_once_for_what_was_metered_after_the_first_gap() {
    let (mut first, mut did) = (Bench::new(ENOUGH, 0), Did::default());
    // A gap without samples takes the number of a message, and no audio is lost.
    for (speech, lost) in [(&[0.5, 1.0], 9_600), (&[0.0, 1.0], 0), (&[0.0, 0.5], 0)] {
        sound(speech).chunks(1_600).for_each(|chunk| first.hear(chunk));
        first.skip(lost);
    }
    first.call.handle_input(first.now, Input::Checkpoint { sent_away: false });
    first.drain(&mut did);
    assert_eq!(
        (did.metered, did.replayable),
        (48_000, 24_000),
        "nothing from before the gap is played again"
    );

    // The next relay begins where the gap did, and the client has dropped a little more by now.
    let (mut next, mut did) = (Bench::after(ENOUGH, 24_000, 9_600 + 24_000), Did::default());
    next.skip(9_600 + 2_400);
    for _ in 0..20 {
        next.hear(&[0; 1_600]);
    }
    next.call.handle_input(next.now, Input::Checkpoint { sent_away: false });
    next.drain(&mut did);
    assert_eq!(did.metered, 32_000 - 21_600);
}

#[test]
fn what_was_played_again_may_not_be_played_a_third_time() {
    let (mut bench, mut did) = (Bench::new(ENOUGH, 24_000), Did::default());
    // Nothing of it can be committed while somebody speaks.
    for chunk in sound(&[0.5, 0.75]).chunks(1_600) {
        bench.hear(chunk);
    }
    bench.now = bench.now + Duration::from_secs(6);
    bench.call.handle_input(bench.now, Input::Timeout);
    bench.drain(&mut did);
    assert_eq!((did.metered, did.replayable), (0, 4_000), "what is left of it");
    bench.hear(&sound(&[0.0, 1.0]));
    bench.now = bench.now + Duration::from_secs(6);
    bench.call.handle_input(bench.now, Input::Timeout);
    bench.drain(&mut did);
    assert_eq!((did.metered, did.replayable), (12_000, 12_000), "what was metered here");
    bench.call.handle_input(bench.now, Input::Checkpoint { sent_away: true });
    bench.drain(&mut did);
    assert_eq!(
        (did.metered, did.replayable),
        (12_000, 36_000),
        "whoever is sent elsewhere pays for nothing twice"
    );
}

#[test]
fn whatever_waits_for_money_gives_the_same_turns_as_if_it_had_been_there() {
    let play = |bench: &mut Bench, did: &mut Did| {
        for (index, length) in [1.0, 1.2, 0.8, 0.9].into_iter().enumerate() {
            for chunk in sound(&[0.3, length]).chunks(1_600) {
                bench.hear(chunk);
            }
            match index % 2 {
                0 => {
                    bench.call.handle_input(bench.now, Input::Muted(true));
                    bench.call.handle_input(bench.now, Input::Muted(false));
                }
                _ => bench.skip(40_000),
            }
            bench.drain(did);
        }
    };
    let turns = |did: &Did| {
        let of_user = did.told.iter().filter(|turn| turn.1 == Role::User);
        of_user.map(|turn| (turn.2, turn.3)).collect::<Vec<_>>()
    };
    let (mut rich, mut expected) = (Bench::new(ENOUGH, 0), Did::default());
    play(&mut rich, &mut expected);
    assert_eq!(turns(&expected).len(), 4);

    let (mut poor, mut did) = (Bench::new(8_000, 0), Did::default());
    play(&mut poor, &mut did);
    assert_eq!(turns(&did), [], "there is no money for it yet");
    let standing = Standing::unused(Caps {
        session: NanoUsd::MAX,
        user_day: NanoUsd::MAX,
        account_month: NanoUsd::MAX,
        token: TokenCaps::NONE,
    });
    let grant = Grant { authorised: NanoUsd::new(ENOUGH), standing };
    poor.call.handle_input(poor.now, Input::Reserved(&Reserved::Granted(grant)));
    poor.drain(&mut did);
    assert_eq!(turns(&did), turns(&expected));
}

#[test]
fn what_was_said_stands_before_the_notice_that_the_budget_is_spent() {
    let (mut bench, mut did) = (Bench::new(100_000, 0), Did::default());
    for chunk in sound(&[0.3, 2.0]).chunks(1_600) {
        bench.hear(chunk);
        bench.drain(&mut did);
    }
    assert!(did.asks > 0);
    let limit = NanoUsd::new(100_000);
    let balance = Balance { limit, spent: NanoUsd::ZERO, reserved: limit };
    let shortage = Shortage { scope: Scope::User, balance, contended: false, authorised: limit };
    bench.call.handle_input(bench.now, Input::Reserved(&Reserved::Short(shortage)));
    for _ in 0..4 {
        bench
            .call
            .handle_input(bench.now, Input::Settled { cost: NanoUsd::ZERO, standing: &Standing::default() });
    }
    bench.drain(&mut did);
    let roles: Vec<Role> = did.told.iter().map(|turn| turn.1).collect();
    assert_eq!(roles, [Role::User, Role::Agent], "{:?}", did.told);
    let mut stored: Vec<u32> = did.stored.iter().map(|turn| turn.turn).collect();
    stored.dedup();
    assert_eq!(stored, [0, 1]);
    assert!(did.stored[1].text.contains("budget"));
}

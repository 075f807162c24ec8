use super::*;

/// A call with an agent that speaks in 24 kHz; frames are collected as they come.
struct Bench {
    mixer: Mixer,
    now: Time,
    frames: Vec<(i16, i16)>,
}

impl Bench {
    fn new() -> Bench {
        Bench::with(24_000)
    }

    fn with(rate: u32) -> Bench {
        Bench {
            mixer: Mixer::new(rate).expect("a usual rate"),
            now: Time::from_micros(0),
            frames: Vec::new(),
        }
    }

    fn does(&mut self, input: Input<'_>) {
        self.mixer.handle_input(self.now, input);
        while let Some(output) = self.mixer.poll_output() {
            match output {
                Output::Frames(frames) => {
                    self.frames.extend(frames.chunks_exact(2).map(|frame| (frame[0], frame[1])));
                }
                Output::Silence(count) => self.frames.resize(self.frames.len() + count as usize, (0, 0)),
            }
        }
    }

    /// The user says this for so many times 100 ms, in real time.
    fn user(&mut self, value: i16, chunks: usize) {
        for _ in 0..chunks {
            self.wait(100);
            self.does(Input::User(&value.to_le_bytes().repeat(1_600)));
        }
    }

    /// As [`Bench::user`]; says where in the recording it begins.
    fn user_at(&mut self, value: i16, chunks: usize) -> usize {
        self.user(value, chunks);
        (self.mixer.left_end() - chunks as u64 * 1_600) as usize
    }

    /// The agent sends so many times 100 ms at once.
    fn agent(&mut self, value: i16, chunks: usize) {
        for _ in 0..chunks {
            self.does(Input::Agent(&vec![value; self.mixer.rate as usize / 10]));
        }
    }

    fn wait(&mut self, ms: u64) {
        self.now = self.now + Duration::from_millis(ms);
    }

    fn end(mut self) -> Vec<(i16, i16)> {
        self.does(Input::End);
        self.frames
    }
}

/// Where the agent is heard: pieces that are not silent, in ms of the recording, to the next 10.
fn heard(frames: &[(i16, i16)]) -> Vec<(usize, usize)> {
    let mut pieces: Vec<(usize, usize)> = Vec::new();
    for (at, _) in frames.iter().enumerate().filter(|(_, (_, right))| right.abs() > 500) {
        match pieces.last_mut() {
            Some(piece) if at - piece.1 < 100 => piece.1 = at,
            _ => pieces.push((at, at)),
        }
    }
    let ms = |sample: usize| (sample + 80) / 160 * 10;
    pieces.into_iter().map(|(from, to)| (ms(from), ms(to))).collect()
}

#[test]
fn the_user_is_left_to_the_sample_and_the_agent_is_silent_until_it_speaks() {
    let mut bench = Bench::new();
    let speech: Vec<i16> = (0..48_000).map(|i| (i % 3_001) as i16 - 1_500).collect();
    for chunk in speech.chunks(1_234) {
        let bytes: Vec<u8> = chunk.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        bench.does(Input::User(&bytes));
    }
    let frames = bench.end();
    assert_eq!(frames.iter().map(|frame| frame.0).collect::<Vec<_>>(), speech);
    assert!(frames.iter().all(|frame| frame.1 == 0));
}

#[test]
fn an_answer_begins_where_the_user_was_when_it_was_sent_and_lasts_as_long_as_it_is() {
    let mut bench = Bench::new();
    bench.user(100, 10);
    bench.agent(8_000, 20);
    bench.user(100, 20);
    bench.agent(8_000, 5);
    bench.does(Input::ReplyEnd);
    bench.user(100, 20);
    assert_eq!(heard(&bench.end()), [(1_000, 3_500)], "sent ahead, it goes on without a pause");
}

#[test]
fn an_answer_of_the_files_own_rate_is_there_to_the_sample() {
    let mut bench = Bench::with(16_000);
    bench.user(1, 10);
    let answer: Vec<i16> = (0..16_000).map(|i| (i % 1_999) as i16).collect();
    answer.chunks(1_600).for_each(|chunk| bench.does(Input::Agent(chunk)));
    bench.does(Input::ReplyEnd);
    bench.user(1, 20);
    let frames = bench.end();
    assert_eq!(frames[16_000..32_000].iter().map(|frame| frame.1).collect::<Vec<_>>(), answer);
    assert!(frames[32_000..].iter().all(|frame| frame.1 == 0));
}

#[test]
fn an_answer_that_stalls_goes_on_where_the_user_is_by_then() {
    let mut bench = Bench::new();
    bench.user(1, 10);
    bench.agent(8_000, 10);
    bench.user(1, 30);
    bench.agent(8_000, 10);
    bench.does(Input::ReplyEnd);
    bench.user(1, 20);
    assert_eq!(heard(&bench.end()), [(1_000, 2_000), (4_000, 5_000)]);
}

#[test]
fn the_next_answer_follows_the_one_that_still_sounds() {
    let mut bench = Bench::new();
    bench.user(1, 10);
    bench.agent(8_000, 20);
    bench.does(Input::ReplyEnd);
    bench.user(1, 5);
    bench.agent(-8_000, 10);
    bench.does(Input::ReplyEnd);
    bench.user(1, 40);
    let frames = bench.end();
    assert!(frames[16_100..47_900].iter().all(|frame| frame.1 > 4_000));
    assert!(frames[48_100..63_900].iter().all(|frame| frame.1 < -4_000));
}

#[test]
fn an_interrupted_answer_is_cut_at_what_was_heard() {
    let mut bench = Bench::new();
    bench.user(1, 10);
    bench.agent(8_000, 20);
    bench.user(1, 12);
    bench.does(Input::Played(24_000));
    bench.does(Input::Flush);
    bench.user(1, 30);
    bench.agent(8_000, 5);
    bench.does(Input::ReplyEnd);
    bench.user(1, 10);
    assert_eq!(heard(&bench.end()), [(1_000, 2_000), (5_200, 5_700)]);
}

#[test]
fn an_answer_that_is_held_goes_on_after_the_hold_and_is_cut_where_it_was_if_nobody_wants_it() {
    let mut bench = Bench::new();
    bench.user(1, 10);
    bench.agent(8_000, 20);
    bench.user(1, 5);
    bench.does(Input::Held(true));
    bench.user(1, 40);
    bench.does(Input::Held(false));
    bench.user(1, 5);
    bench.agent(8_000, 5);
    bench.does(Input::ReplyEnd);
    bench.user(1, 5);
    bench.does(Input::Held(true));
    bench.user(1, 5);
    // Of it 1.5 s were heard: half a second before the first hold, and a second after it.
    bench.does(Input::Played(36_000));
    bench.does(Input::Flush);
    bench.user(1, 30);
    assert_eq!(heard(&bench.end()), [(1_000, 1_500), (5_500, 6_500)]);
}

#[test]
fn an_answer_of_which_nothing_was_heard_is_not_there() {
    let mut bench = Bench::new();
    bench.user(1, 10);
    bench.agent(8_000, 10);
    bench.does(Input::ReplyEnd);
    bench.user(1, 20);
    bench.does(Input::Played(24_000));
    bench.agent(8_000, 20);
    bench.does(Input::Flush);
    bench.user(1, 30);
    assert_eq!(heard(&bench.end()), [(1_000, 2_000)]);
}

#[test]
fn of_a_client_that_never_says_what_it_heard_an_answer_is_cut_where_the_user_is() {
    let mut bench = Bench::new();
    bench.user(1, 10);
    bench.agent(8_000, 20);
    bench.user(1, 5);
    bench.does(Input::Flush);
    bench.user(1, 30);
    assert_eq!(heard(&bench.end()), [(1_000, 1_500)]);
}

#[test]
fn what_was_lost_is_silence_up_to_the_present_and_never_beyond() {
    let mut bench = Bench::new();
    bench.user(7, 10);
    bench.does(Input::Connected(false));
    bench.wait(10_000);
    bench.does(Input::Connected(true));
    bench.does(Input::Gap(3_200));
    bench.user(7, 1);
    bench.does(Input::Gap(u32::MAX));
    let after = bench.user_at(7, 1);
    for _ in 0..1_000 {
        bench.does(Input::Gap(u32::MAX));
    }
    let frames = bench.end();
    assert!(frames[16_000..19_200].iter().all(|frame| frame.0 == 0));
    assert!(frames[19_200..20_800].iter().all(|frame| frame.0 == 7));
    assert_eq!(frames.len(), after + 1_600, "no gap reaches beyond the present");
    assert_eq!(after, 11 * 16_000 + 1_600, "and one gap reaches as far");
}

#[test]
fn what_the_agent_says_to_a_muted_user_takes_its_time() {
    let mut bench = Bench::new();
    bench.user(7, 10);
    bench.does(Input::Muted(true));
    bench.wait(1_000);
    bench.agent(8_000, 10);
    bench.does(Input::ReplyEnd);
    bench.wait(3_000);
    bench.does(Input::Muted(false));
    bench.user(7, 10);
    let frames = bench.end();
    assert_eq!(frames.len(), 6 * 16_000);
    assert!(frames[16_000..80_000].iter().all(|frame| frame.0 == 0));
    assert!(frames[80_000..].iter().all(|frame| frame.0 == 7));
    assert_eq!(heard(&frames), [(2_000, 3_000)]);
}

#[test]
fn a_recording_ends_with_the_user() {
    let mut bench = Bench::new();
    bench.user(7, 10);
    bench.agent(8_000, 20);
    let frames = bench.end();
    assert_eq!(frames.len(), 16_000);
}

#[test]
fn what_the_agent_says_to_a_user_who_is_muted_for_minutes_is_at_its_time() {
    let mut bench = Bench::new();
    bench.user(7, 10);
    bench.does(Input::Muted(true));
    for _ in 0..3 {
        bench.wait(120_000);
        bench.agent(8_000, 10);
        bench.does(Input::ReplyEnd);
        bench.wait(5_000);
        bench.does(Input::Played(0));
    }
    bench.does(Input::Muted(false));
    bench.user(7, 10);
    let frames = bench.end();
    assert_eq!(frames.len(), (1 + 3 * 125 + 1) * 16_000);
    assert_eq!(heard(&frames), [(121_000, 122_000), (246_000, 247_000), (371_000, 372_000)]);
    assert_eq!(frames.iter().filter(|frame| frame.0 == 7).count(), 2 * 16_000);
    assert!(frames[376 * 16_000..].iter().all(|frame| frame.0 == 7));
}

#[test]
fn what_the_agent_says_to_a_client_without_a_microphone_is_at_its_time() {
    let mut bench = Bench::new();
    bench.does(Input::Connected(true));
    for _ in 0..3 {
        bench.wait(90_000);
        bench.agent(8_000, 10);
        bench.does(Input::ReplyEnd);
        bench.wait(3_000);
    }
    bench.user(7, 10);
    let frames = bench.end();
    assert_eq!(heard(&frames), [(90_000, 91_000), (183_000, 184_000), (276_000, 277_000)]);
    assert_eq!(frames.len(), 280 * 16_000);
    assert!(frames[279 * 16_000..].iter().all(|frame| frame.0 == 7), "a microphone that comes later, too");

    let mut bench = Bench::new();
    bench.does(Input::Connected(true));
    bench.wait(90_000);
    bench.agent(8_000, 10);
    bench.wait(3_000);
    assert_eq!(heard(&bench.end()), [(90_000, 91_000)], "nor is one needed");
}

#[test]
fn audio_that_is_late_comes_to_where_it_belongs_and_an_answer_meanwhile_is_at_its_time() {
    let mut bench = Bench::new();
    bench.user(7, 10);
    bench.wait(4_000);
    bench.agent(8_000, 5);
    bench.does(Input::ReplyEnd);
    bench.does(Input::User(&9_i16.to_le_bytes().repeat(4 * 16_000)));
    bench.user(7, 10);
    let frames = bench.end();
    assert_eq!(frames.len(), 6 * 16_000);
    assert!(frames[16_000..80_000].iter().all(|frame| frame.0 == 9));
    assert_eq!(heard(&frames), [(5_000, 5_500)]);
}

#[test]
fn what_a_bad_line_brings_after_half_a_minute_is_one_sample_after_another() {
    let mut bench = Bench::new();
    bench.user(7, 10);
    bench.wait(30_000);
    bench.does(Input::User(&9_i16.to_le_bytes().repeat(30 * 16_000)));
    bench.user(7, 10);
    let frames = bench.end();
    assert_eq!(frames.len(), 32 * 16_000);
    assert!(frames[16_000..31 * 16_000].iter().all(|frame| frame.0 == 9));
}

#[test]
fn after_an_outage_comes_what_was_said_in_it_or_the_silence_of_one_who_is_muted() {
    for is_muted in [false, true] {
        let mut bench = Bench::new();
        bench.user(7, 10);
        bench.does(Input::Muted(is_muted));
        bench.wait(5_000);
        bench.does(Input::Connected(false));
        bench.wait(25_000);
        bench.does(Input::Connected(true));
        if is_muted {
            bench.does(Input::Muted(true));
        } else {
            bench.does(Input::User(&9_i16.to_le_bytes().repeat(30 * 16_000)));
        }
        bench.wait(2_000);
        bench.does(Input::Muted(false));
        bench.agent(8_000, 5);
        bench.user(7, 10);
        let frames = bench.end();
        let length = if is_muted { 34 * 16_000 } else { 33 * 16_000 + 8_000 };
        assert!(frames.len().abs_diff(length) < 1_600, "muted: {is_muted}, {}", frames.len());
        assert_eq!(heard(&frames)[0].0, 33_000, "muted: {is_muted}");
    }
}

/// Numbers that look random, the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

#[test]
fn whatever_is_said_about_gaps_and_mutes_a_recording_is_no_longer_than_the_time_and_the_audio_ahead_of_it() {
    for seed in 0..40 {
        let mut numbers = Numbers(seed);
        let mut bench = Bench::with(16_000);
        bench.does(Input::Connected(true));
        let (began, mut audio, mut written) = (bench.now, 0, 0);
        for _ in 0..300 {
            bench.wait([0, 0, 20, 100, 7_000][numbers.below(5) as usize]);
            match numbers.below(9) {
                0..=2 => bench.does(Input::Gap([1, 960_000, u32::MAX][numbers.below(3) as usize])),
                3 => bench.does(Input::Muted(numbers.below(2) == 0)),
                4 => bench.does(Input::Connected(numbers.below(2) == 0)),
                5 => bench.does(Input::Played(numbers.below(1 << 20) as u32)),
                6 => bench.does(Input::Flush),
                7 => bench.agent(8_000, numbers.below(50) as usize),
                _ => {
                    let samples = numbers.below(5_000);
                    bench.does(Input::User(&7_i16.to_le_bytes().repeat(samples as usize)));
                    audio += samples;
                }
            }
            written += std::mem::take(&mut bench.frames).len() as u64;
            let allowed = samples(bench.now.since(began)) + audio;
            assert!(written <= allowed, "seed {seed}: {written} of {allowed}");
            assert!(bench.mixer.left.held() as u64 <= HOLD + 5_000, "seed {seed}");
            let right = bench.mixer.right.held() as u64;
            assert!(right <= AHEAD_MAX + samples(bench.now.since(began)), "seed {seed}");
        }
        let (now, lead) = (bench.now, bench.mixer.lead);
        written += bench.end().len() as u64;
        assert!(written <= samples(now.since(began)) + audio, "seed {seed}");
        assert!(lead <= LEAD_MAX);
    }
}

#[test]
fn each_answer_is_at_its_time_however_the_user_comes_and_goes() {
    for seed in 0..5 {
        let mut numbers = Numbers(seed);
        let mut bench = Bench::new();
        bench.does(Input::Connected(true));
        let mut answers = Vec::new();
        for _ in 0..8 {
            match numbers.below(3) {
                0 => bench.user(1, 10 + numbers.below(100) as usize),
                1 => {
                    bench.does(Input::Muted(true));
                    bench.wait(numbers.below(90_000));
                }
                _ => bench.wait(PAUSE.as_millis() as u64 + 1 + numbers.below(90_000)),
            }
            answers.push(bench.now.as_micros() / 1_000);
            bench.agent(8_000, 10);
            bench.does(Input::ReplyEnd);
            bench.wait(1_500);
            bench.does(Input::Played(0));
            bench.does(Input::Muted(false));
        }
        bench.user(1, 1);
        let told: Vec<u64> = heard(&bench.end()).iter().map(|(from, _)| *from as u64).collect();
        assert_eq!(told.len(), answers.len(), "seed {seed}");
        for (told, answered) in told.iter().zip(&answers) {
            // A chunk after a pause is heard when it has come, a tenth of a second later than it began.
            assert!(told.abs_diff(*answered) <= 2_200, "seed {seed}: at {told} instead of {answered}");
        }
    }
}

#[test]
fn neither_a_silent_user_nor_a_silent_agent_costs_memory() {
    let mut bench = Bench::new();
    for _ in 0..3_000 {
        bench.wait(100);
        bench.agent(8_000, 1);
    }
    assert!(bench.mixer.right.held() as u64 <= HOLD + 6 * 16_000);
    assert!(bench.mixer.left.held() == 0 && bench.mixer.runs.len() <= RUNS_MAX);
    let mut bench = Bench::new();
    bench.user(7, 3_000);
    assert!(bench.mixer.left.held() as u64 <= HOLD && bench.mixer.right.held() == 0);
    assert_eq!(bench.frames.len() as u64, 3_000 * 1_600 - HOLD);
}

#[test]
fn what_is_mixed_from_the_midst_of_an_answer_has_the_rest_of_it_where_it_sounds() {
    let mut bench = Bench::new();
    bench.mixer = Mixer::new(24_000).expect("a usual rate").after(48_000, 24_000);
    bench.does(Input::Connected(true));
    bench.agent(8_000, 10);
    bench.user(1, 15);
    bench.does(Input::Played(60_000));
    bench.does(Input::Flush);
    bench.user(1, 30);
    let told = heard(&bench.end());
    let [(from, to)] = told[..] else { panic!("{told:?}") };
    assert!(from.abs_diff(1_000) <= 30, "a second of it was on its way: {told:?}");
    assert!(to.abs_diff(1_500) <= 30, "half of what came was heard: {told:?}");
}

#[test]
fn what_is_mixed_from_the_midst_of_a_hold_goes_on_after_it_and_is_cut_where_it_was() {
    // A second of the answer was sent, and is held.
    let begun = || {
        let mut bench = Bench::new();
        bench.mixer = Mixer::new(24_000).expect("a usual rate").after(48_000, 24_000);
        bench.does(Input::Connected(true));
        bench.does(Input::Held(true));
        bench.user(1, 20);
        bench
    };
    let is_heard = |bench: Bench, wanted: (usize, usize)| {
        let told = heard(&bench.end());
        let [(from, to)] = told[..] else { panic!("{told:?}") };
        assert!(from.abs_diff(wanted.0) <= 30 && to.abs_diff(wanted.1) <= 30, "{told:?}");
    };
    let mut bench = begun();
    bench.does(Input::Held(false));
    bench.agent(8_000, 10);
    bench.user(1, 15);
    bench.does(Input::Played(60_000));
    bench.does(Input::Flush);
    bench.user(1, 30);
    is_heard(bench, (3_000, 3_500));

    // It goes on for half a second, and is held once more for one.
    let mut bench = begun();
    bench.does(Input::Held(false));
    bench.agent(8_000, 10);
    bench.user(1, 5);
    bench.does(Input::Held(true));
    bench.user(1, 10);
    bench.does(Input::Held(false));
    bench.user(1, 10);
    bench.does(Input::Played(60_000));
    bench.does(Input::Flush);
    bench.user(1, 30);
    is_heard(bench, (4_000, 4_500));

    // Nobody wants the rest.
    let mut bench = begun();
    bench.does(Input::Flush);
    bench.agent(8_000, 10);
    bench.does(Input::ReplyEnd);
    bench.user(1, 30);
    is_heard(bench, (2_000, 3_000));
}

#[test]
fn a_muted_user_is_as_long_as_the_time_that_passes() {
    let mut bench = Bench::new();
    bench.does(Input::Connected(true));
    bench.does(Input::Muted(true));
    for _ in 0..50 {
        bench.wait(100);
        bench.does(Input::Passed);
    }
    assert_eq!(bench.frames.len() as u64, 5 * 16_000 - HOLD);
}

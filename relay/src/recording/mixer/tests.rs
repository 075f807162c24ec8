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
        while let Some(frames) = self.mixer.poll_output() {
            self.frames.extend(frames.chunks_exact(2).map(|frame| (frame[0], frame[1])));
        }
    }

    /// The user says this for so many times 100 ms, in real time.
    fn user(&mut self, value: i16, chunks: usize) {
        for _ in 0..chunks {
            self.wait(100);
            self.does(Input::User(&value.to_le_bytes().repeat(1_600)));
        }
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
fn what_was_lost_is_silence_of_a_minute_at_most() {
    let mut bench = Bench::new();
    bench.user(7, 1);
    bench.does(Input::Gap(3_200));
    bench.user(7, 1);
    bench.does(Input::Gap(u32::MAX));
    bench.user(7, 1);
    let frames = bench.end();
    assert_eq!(frames.len(), 3 * 1_600 + 3_200 + LONGEST_SILENCE);
    assert_eq!(frames.iter().filter(|frame| frame.0 == 7).count(), 4_800);
    assert!(frames[1_600..4_800].iter().all(|frame| frame.0 == 0));
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
fn neither_a_silent_user_nor_a_silent_agent_costs_memory() {
    let mut bench = Bench::new();
    for _ in 0..3_000 {
        bench.wait(100);
        bench.agent(8_000, 1);
    }
    assert!(bench.mixer.right.len() <= bench.mixer.left.len() + AHEAD_MAX + BLOCK);
    assert!(bench.mixer.left.len() <= HOLD && bench.mixer.runs.len() <= RUNS_MAX);
    let mut bench = Bench::new();
    bench.user(7, 3_000);
    assert!(bench.mixer.left.len() <= HOLD && bench.mixer.right.is_empty());
    assert_eq!(bench.frames.len(), 3_000 * 1_600 - HOLD);
}

//! A reply on its way to the loudspeaker. At 1,000 Hz a sample is a millisecond.

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::{LONGEST_PREBUFFER_MS, PlayoutBuffer, PlayoutStats};
use crate::Hz;

/// Starts with 100 samples, holds 300.
fn buffer() -> PlayoutBuffer {
    PlayoutBuffer::new(Hz(1_000), 100, 300)
}

fn pull(buffer: &mut PlayoutBuffer, count: usize) -> (usize, Vec<f32>) {
    let mut out = vec![9.0; count];
    let filled = buffer.pull(&mut out);
    (filled, out)
}

#[test]
fn playing_starts_when_the_prebuffer_is_full() {
    let mut buffer = buffer();
    assert_eq!(buffer.push(0, &[0.5; 99]), 99);
    assert_eq!(pull(&mut buffer, 10), (0, vec![0.0; 10]));
    buffer.push(99, &[0.5]);
    assert_eq!(pull(&mut buffer, 10), (10, vec![0.5; 10]));
    assert_eq!((buffer.queued(), buffer.played()), (90, 10));
}

#[test]
fn a_short_reply_is_played_without_waiting_and_without_an_underrun() {
    let mut buffer = buffer();
    buffer.push(0, &[0.5; 4]);
    buffer.end_of_reply();
    assert_eq!(pull(&mut buffer, 6), (4, vec![0.5, 0.5, 0.5, 0.5, 0.0, 0.0]));
    assert_eq!(pull(&mut buffer, 6).0, 0);
    assert_eq!(buffer.stats(), PlayoutStats::default());
    assert!(!buffer.is_playing());
}

#[test]
fn the_next_reply_fills_the_prebuffer_anew() {
    let mut buffer = buffer();
    buffer.push(0, &[0.5; 100]);
    buffer.end_of_reply();
    buffer.push(100, &[0.25; 50]);
    let (filled, out) = pull(&mut buffer, 120);
    assert_eq!((filled, &out[99..101]), (100, &[0.5, 0.0][..]));
    assert_eq!(pull(&mut buffer, 10).0, 0);
    buffer.push(150, &[0.25; 50]);
    assert_eq!(pull(&mut buffer, 10), (10, vec![0.25; 10]));
    assert_eq!(buffer.stats().underruns, 0);
}

#[test]
fn running_empty_in_mid_reply_is_counted_when_more_of_it_comes_and_the_prebuffer_fills_again() {
    let mut buffer = buffer();
    buffer.push(0, &[0.5; 100]);
    assert_eq!(pull(&mut buffer, 128).0, 100);
    assert_eq!((buffer.stats().underruns, buffer.ran_empty()), (0, true), "it may have been the end");
    buffer.push(100, &[0.5; 199]);
    assert_eq!((buffer.stats().underruns, buffer.ran_empty()), (1, false));
    assert_eq!(pull(&mut buffer, 128).0, 0);
    buffer.push(299, &[0.5; 1]);
    assert_eq!(pull(&mut buffer, 50).0, 50);
    assert_eq!(buffer.stats().underruns, 1);
}

#[test]
fn the_newest_is_dropped_and_counted_when_the_buffer_is_full() {
    let mut buffer = buffer();
    assert_eq!(buffer.push(0, &[0.5; 250]), 250);
    assert_eq!(buffer.push(250, &[0.25; 80]), 50);
    assert_eq!(buffer.push(330, &[0.25; 80]), 0);
    assert_eq!(buffer.stats().dropped, 110);
    let (filled, out) = pull(&mut buffer, 300);
    assert_eq!((filled, &out[249..251]), (300, &[0.5, 0.25][..]));
}

#[test]
fn an_interruption_fades_what_plays_and_drops_the_rest() {
    let mut buffer = buffer();
    buffer.push(0, &[0.6; 200]);
    pull(&mut buffer, 50);
    buffer.flush();
    assert_eq!(buffer.queued(), 5);
    let (filled, out) = pull(&mut buffer, 8);
    assert_eq!((filled, &out[5..]), (5, &[0.0; 3][..]));
    assert!(out.windows(2).all(|pair| pair[1] <= pair[0]) && out[0] < 0.6 && out[4] > 0.0, "{out:?}");
    assert_eq!(buffer.stats(), PlayoutStats::default());
}

#[test]
fn an_interruption_before_anything_played_is_silent() {
    let mut buffer = buffer();
    buffer.push(0, &[0.6; 99]);
    buffer.flush();
    assert_eq!(pull(&mut buffer, 4), (0, vec![0.0; 4]));
    buffer.push(500, &[0.5; 100]);
    assert_eq!(pull(&mut buffer, 4), (4, vec![0.5; 4]));
    assert_eq!(buffer.played_until(), Some(504));
}

#[test]
fn a_reply_after_an_interruption_waits_for_its_own_prebuffer() {
    let mut buffer = buffer();
    buffer.push(0, &[0.6; 200]);
    pull(&mut buffer, 50);
    buffer.flush();
    buffer.push(1_000, &[0.5; 60]);
    assert_eq!(pull(&mut buffer, 40).0, 5);
    buffer.push(1_060, &[0.5; 40]);
    assert_eq!(pull(&mut buffer, 40), (40, vec![0.5; 40]));
    assert_eq!(buffer.played_until(), Some(1_040));
}

#[test]
fn the_place_in_the_agents_timeline_follows_its_jumps() {
    let mut buffer = buffer();
    assert_eq!(buffer.played_until(), None);
    buffer.push(1_000, &[0.5; 100]);
    buffer.push(1_100, &[0.5; 50]);
    buffer.push(5_000, &[0.5; 50]);
    assert_eq!(buffer.played_until(), Some(1_000));
    pull(&mut buffer, 150);
    assert_eq!(buffer.played_until(), Some(1_150));
    pull(&mut buffer, 1);
    assert_eq!(buffer.played_until(), Some(5_001));
}

#[test]
fn the_end_of_nothing_does_not_hurry_the_next_reply() {
    let mut buffer = buffer();
    buffer.end_of_reply();
    buffer.push(0, &[0.5; 50]);
    assert_eq!(pull(&mut buffer, 10).0, 0);
}

#[test]
fn a_prebuffer_larger_than_the_capacity_still_plays() {
    let mut buffer = PlayoutBuffer::new(Hz(1_000), 100, 0);
    assert_eq!(buffer.push(0, &[0.5; 200]), 100);
    assert_eq!(pull(&mut buffer, 10).0, 10);
}

/// Starts with 100 samples, and holds more than it may ever start with.
fn roomy() -> PlayoutBuffer {
    PlayoutBuffer::new(Hz(1_000), 100, 3_000)
}

/// A reply that begins at `position`, of which the line gives as much as starts the playing, and nothing more until it ran empty so often.
/// What there is then is its end. Returns where that is.
fn reply(buffer: &mut PlayoutBuffer, position: u64, underruns: usize) -> u64 {
    let mut end = position;
    for round in 0..=underruns {
        // The first of what comes says that running empty was an underrun, if it was.
        buffer.push(end, &[0.5]);
        let queued = buffer.prebuffer as usize;
        buffer.push(end + 1, &vec![0.5; queued - 2]);
        assert_eq!(pull(buffer, 1).0, 0);
        end += queued as u64;
        buffer.push(end - 1, &[0.5]);
        if round == underruns {
            buffer.end_of_reply();
        }
        assert_eq!(pull(buffer, queued + 1).0, queued);
        buffer.heard_until(end);
    }
    end
}

#[test]
fn each_underrun_doubles_what_is_waited_for_up_to_a_second() {
    let mut buffer = roomy();
    let mut waited_for = vec![buffer.prebuffer];
    for round in 0..6 {
        reply(&mut buffer, round * 10_000, 1);
        waited_for.push(buffer.prebuffer);
    }
    assert_eq!(waited_for, [100, 200, 400, 800, 1_000, 1_000, 1_000]);
    assert_eq!(buffer.stats().underruns, 6);
}

#[test]
fn each_reply_that_half_would_have_done_for_halves_it_again_down_to_what_it_was() {
    let mut buffer = roomy();
    let mut end = reply(&mut buffer, 0, 5);
    let mut waited_for = vec![buffer.prebuffer];
    for _ in 0..5 {
        end = reply(&mut buffer, end, 0);
        waited_for.push(buffer.prebuffer);
    }
    assert_eq!(waited_for, [1_000, 500, 250, 125, 100, 100]);
}

#[test]
fn a_reply_that_came_near_to_running_out_changes_nothing() {
    for (unheard, expected) in [(99, 200), (100, 100)] {
        let mut buffer = roomy();
        let end = reply(&mut buffer, 0, 1);
        buffer.push(end, &[0.5; 300]);
        // All of it waits in the queue of the loudspeaker.
        assert_eq!(pull(&mut buffer, 300).0, 300);
        buffer.heard_until(end + 300 - unheard);
        buffer.push(end + 300, &[0.5; 300]);
        buffer.end_of_reply();
        // How little is left when no more is to come says nothing.
        buffer.heard_until(end + 599);
        assert_eq!(pull(&mut buffer, 301).0, 300);
        assert_eq!(buffer.prebuffer, expected, "when {unheard} were unheard");
        reply(&mut buffer, end + 600, 0);
        assert_eq!(buffer.prebuffer, 100, "the next reply is one of its own");
    }
}

#[test]
fn a_reply_of_which_nothing_more_came_when_it_had_run_out_had_no_underrun_and_changes_nothing() {
    for waits_for in [100, 200] {
        let mut buffer = roomy();
        let end = reply(&mut buffer, 0, waits_for / 100 - 1);
        let before = buffer.stats();
        buffer.push(end, &vec![0.5; waits_for]);
        pull(&mut buffer, waits_for + 1);
        buffer.end_of_reply();
        assert_eq!((buffer.prebuffer, buffer.stats()), (waits_for as u64, before));
        reply(&mut buffer, end + waits_for as u64, 0);
        assert_eq!((buffer.prebuffer, buffer.stats()), (100, before), "the next reply is one of its own");
    }
}

#[test]
fn what_waits_is_played_when_it_has_waited_for_as_long_as_the_prebuffer_lasts() {
    for underruns in [0, 1, 4] {
        let mut buffer = roomy();
        let end = reply(&mut buffer, 0, underruns);
        let longest = buffer.prebuffer;
        assert_eq!(pull(&mut buffer, 5_000).0, 0, "silence before anything came counts for nothing");
        buffer.push(end, &[0.5; 40]);
        for waited in (0..longest).step_by(20) {
            assert_eq!(buffer.waits(), Some(longest - waited));
            assert_eq!(pull(&mut buffer, 20).0, 0, "{waited} of {longest}");
        }
        assert_eq!(pull(&mut buffer, 20), (20, vec![0.5; 20]));
        assert_eq!(buffer.waits(), None);
        // What goes on right behind it goes on right behind it.
        buffer.push(end + 40, &[0.25; 20]);
        assert_eq!(pull(&mut buffer, 40).0, 40);
        // The wait of what comes later is its own.
        pull(&mut buffer, 1);
        buffer.push(end + 60, &[0.5; 40]);
        assert_eq!(buffer.waits(), Some(buffer.prebuffer));
    }
}

#[test]
fn silence_that_was_heard_elsewhere_counts_as_well() {
    let mut buffer = buffer();
    buffer.wait(1_000);
    buffer.push(0, &[0.5; 40]);
    buffer.wait(60);
    assert_eq!((buffer.due_in(), pull(&mut buffer, 40).0), (Some(40), 0));
    assert_eq!(buffer.due_in(), None, "no timer brings it any sooner");
    assert_eq!((buffer.waits(), pull(&mut buffer, 1).0), (Some(0), 1));
    buffer.flush();
    assert_eq!(buffer.waits(), None, "what fades out waits for nothing");
}

/// What comes over a line.
#[derive(Clone, Copy)]
enum Comes {
    Sound(usize),
    End,
}

/// Plays what comes, each at its time, as a loudspeaker does, until nothing is left. Returns for how long something waited at most.
fn listen(buffer: &mut PlayoutBuffer, comes: &[(u64, Comes)]) -> u64 {
    let (mut now, mut next, mut silent, mut longest) = (0_u64, 0, 0_u64, 0_u64);
    let mut position = buffer.timestamp_at(buffer.write).unwrap_or(0);
    while next < comes.len() || buffer.queued() > 0 || buffer.is_playing() {
        while let Some((_, what)) = comes.get(next).filter(|(at, _)| *at <= now) {
            next += 1;
            match *what {
                Comes::Sound(samples) => {
                    assert_eq!(buffer.push(position, &vec![0.5; samples]), samples);
                    position += samples as u64;
                }
                Comes::End => buffer.end_of_reply(),
            }
        }
        let waits = buffer.queued() > 0;
        let (filled, _) = pull(buffer, 10);
        silent = if waits && filled == 0 { silent + 10 } else { 0 };
        assert!(silent <= buffer.prebuffer, "at {now} something has waited for {silent}");
        longest = longest.max(silent);
        buffer.heard_until(buffer.played_until().unwrap_or(0));
        now += 10;
    }
    longest
}

#[test]
fn on_a_perfect_line_no_pause_of_an_agent_makes_it_wait_for_longer() {
    for (seed, part) in (0..200_u64).flat_map(|seed| [(seed, 40_u64), (seed, 400), (seed, 2_300)]) {
        let mut buffer = roomy();
        // Something before a call of a tool, filler, and what comes of it, each faster than it is heard. A relay says that there was a pause when
        // it is over.
        for turn in 0..4_u64 {
            let (mut comes, mut at) = (Vec::new(), 0_u64);
            for pause in [0, 150 + seed * 7 % 400, 1_500 + turn * 500] {
                at += pause;
                if pause > 0 {
                    comes.push((at, Comes::End));
                }
                let frames = part / 20;
                comes.extend((0..frames).map(|frame| (at + frame * 4, Comes::Sound(20))));
                at += part;
            }
            comes.push((at - part * 4 / 5, Comes::End));
            comes.sort_by_key(|(at, _)| *at);
            assert!(listen(&mut buffer, &comes) <= 100, "seed {seed}, {part}");
            assert_eq!((buffer.prebuffer, buffer.stats().underruns), (100, 0), "seed {seed}, {part}");
        }
    }
}

#[test]
fn on_an_uneven_line_it_comes_to_wait_for_longer_and_runs_empty_less_often() {
    for seed in 0..100_u32 {
        let mut state = seed;
        let mut buffer = roomy();
        let (mut longest, mut of_new_ones) = (0_u64, 0_u64);
        for _ in 0..8 {
            // 8 s that are sent as they are heard, over a line that delivers in order and stands still for up to 400 ms now and then.
            let (mut comes, mut free) = (Vec::new(), 0_u64);
            for piece in 0..80_u64 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let still = if piece % 8 == 7 { u64::from(state >> 8) % 400 } else { 0 };
                free = free.max(piece * 100 + still);
                comes.push((free, Comes::Sound(100)));
            }
            comes.push((free, Comes::End));
            listen(&mut buffer, &comes);
            longest = longest.max(buffer.prebuffer);
            let mut new = roomy();
            listen(&mut new, &comes);
            of_new_ones += new.stats().underruns;
        }
        assert!(longest > 100, "seed {seed}");
        let underruns = buffer.stats().underruns;
        assert!(underruns * 2 < of_new_ones, "seed {seed}: {underruns}, and {of_new_ones} with new buffers");
    }
}

#[test]
fn an_interrupted_reply_changes_nothing() {
    for played in [0, 50, 199, 300] {
        let mut buffer = roomy();
        let end = reply(&mut buffer, 0, 1);
        buffer.push(end, &[0.5; 300]);
        pull(&mut buffer, played);
        buffer.flush();
        while pull(&mut buffer, 10).0 > 0 {}
        assert_eq!(buffer.prebuffer, 200, "after {played}");
        assert_eq!(buffer.stats().underruns, 1);
        reply(&mut buffer, end + 300, 0);
        assert_eq!(buffer.prebuffer, 100, "after {played}");
    }
}

#[test]
fn a_buffer_never_waits_for_more_than_it_holds() {
    let mut buffer = buffer();
    for round in 0..4 {
        reply(&mut buffer, round * 1_000, 1);
    }
    assert_eq!(buffer.prebuffer, 300);
}

#[test]
fn whatever_comes_no_sample_is_lost_or_reordered_and_no_wait_leaves_its_bounds() {
    for seed in 0..400_u32 {
        let mut state = seed;
        let mut random = |below: u64| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            u64::from(state >> 8) % below
        };
        let mut buffer = roomy();
        // Each sample is its own place in the timeline.
        let (mut pushed, mut expected) = (0_u64, 0_u64);
        for _ in 0..400 {
            match random(72) {
                0..24 => {
                    let free = 3_000 - buffer.queued() as u64;
                    let count = random(250).min(free);
                    let samples: Vec<f32> = (pushed..pushed + count).map(|place| place as f32).collect();
                    assert_eq!(buffer.push(pushed, &samples), samples.len());
                    pushed += count;
                }
                24..48 => {
                    let count = 1 + random(250) as usize;
                    let was_enough = buffer.queued() >= LONGEST_PREBUFFER_MS as usize;
                    let (filled, out) = pull(&mut buffer, count);
                    assert!(filled > 0 || !was_enough, "seed {seed}: it waits for more than a second");
                    for sample in &out[..filled] {
                        assert_eq!(*sample, expected as f32, "seed {seed}");
                        expected += 1;
                    }
                    assert!(filled == 0 || buffer.played_until() == Some(expected), "seed {seed}");
                }
                48..60 => buffer.heard_until(expected - random(200).min(expected)),
                60..66 => buffer.end_of_reply(),
                66 => {
                    buffer.flush();
                    while pull(&mut buffer, 10).0 > 0 {}
                    expected = pushed;
                }
                _ => {}
            }
            assert!((100..=1_000).contains(&buffer.prebuffer), "seed {seed}: {}", buffer.prebuffer);
            assert_eq!(buffer.queued() as u64, pushed - expected, "seed {seed}");
        }
        buffer.end_of_reply();
        let (filled, out) = pull(&mut buffer, 3_000);
        assert_eq!(filled as u64, pushed - expected, "seed {seed}: what is complete is played to its end");
        assert!(out[..filled].iter().zip(expected..).all(|(sample, place)| *sample == place as f32));
    }
}

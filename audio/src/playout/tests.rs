//! A reply on its way to the loudspeaker. At 1,000 Hz a sample is a millisecond.

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::{PlayoutBuffer, PlayoutStats};
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
fn running_empty_in_mid_reply_is_counted_and_the_prebuffer_fills_again() {
    let mut buffer = buffer();
    buffer.push(0, &[0.5; 100]);
    assert_eq!(pull(&mut buffer, 128).0, 100);
    assert_eq!(buffer.stats().underruns, 1);
    buffer.push(100, &[0.5; 50]);
    assert_eq!(pull(&mut buffer, 128).0, 0);
    buffer.push(150, &[0.5; 50]);
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

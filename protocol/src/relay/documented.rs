//! The numbers of the documents are those of the code. What each of them means in a call, other tests show.

use std::time::Duration;

use super::handshake::{CLIENT_NAME_CHARS, HELLO_DEADLINE, HELLO_MAX_BYTES};
use super::preflight::{PREFLIGHT_DEADLINE, PREFLIGHT_MAX_BYTES};
use super::rate::{CLOCK_TOLERANCE_PERCENT, CONTROL_BURST};
use super::uplink::{FAR_AHEAD, RESEND_AFTER, RESENDS};
use super::{ACK_DELAY, DEAD_AFTER_HEARTBEATS, DOWNLINK_BYTES, DOWNLINK_TEXT_BYTES, END_WITHIN, STRIKES};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const PROTOCOL: &str = include_str!("../../../docs/protocol.md");
const SECURITY: &str = include_str!("../../../docs/security.md");

/// Fails unless the document has the sentence, however its lines are broken.
fn has(document: &str, sentence: &str) {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words(document).contains(&words(sentence)), "no document says: {sentence}");
}

fn in_words(number: u32) -> &'static str {
    ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"][number as usize]
}

fn seconds(time: Duration) -> u64 {
    assert_eq!(time.subsec_nanos(), 0, "whole seconds");
    time.as_secs()
}

#[test]
fn the_greeting_has_the_time_and_the_bytes_that_are_documented() {
    let (time, kib) = (seconds(HELLO_DEADLINE), HELLO_MAX_BYTES / 1_024);
    assert_eq!(HELLO_MAX_BYTES % 1_024, 0);
    has(PROTOCOL, &format!("MUST be `hello`, within {time} s and {kib} KiB, WebSocket pings included"));
    has(SECURITY, &format!("no `hello` in {time} s, or more than {kib} KiB before it, pings included"));
    has(PROTOCOL, &format!("`client` is kept to {CLIENT_NAME_CHARS} characters"));
}

#[test]
fn a_preflight_has_the_time_and_the_bytes_that_are_documented() {
    let (time, kib) = (seconds(PREFLIGHT_DEADLINE), PREFLIGHT_MAX_BYTES / 1_024);
    assert_eq!(PREFLIGHT_MAX_BYTES % 1_024, 0);
    has(PROTOCOL, &format!("A preflight carries at most {kib} KiB, both directions together"));
    has(PROTOCOL, &format!("It lasts at most {time} s, greeting included"));
    has(SECURITY, &format!("at most {kib} KiB and {time} s"));
}

#[test]
fn what_a_relay_does_with_frames_is_as_often_and_as_far_as_documented() {
    let (thousands, rest) = (FAR_AHEAD / 1_000, FAR_AHEAD % 1_000);
    let (every, times) = (seconds(RESEND_AFTER), in_words(RESENDS));
    has(
        PROTOCOL,
        &format!(
            "up to {thousands},{rest:03} ahead | ignored; `resend` from the missing one, at most every {every} s, \
             {times} times, then 4400"
        ),
    );
    has(PROTOCOL, &format!("More than {STRIKES} in a session: 4400"));
    has(SECURITY, &format!("more than {} in a session: 4400", in_words(STRIKES)));
    has(PROTOCOL, &format!("faster than real time + {CLOCK_TOLERANCE_PERCENT} % beyond `burst_ms`"));
    // The default of the configuration.
    let control = 20;
    let burst = control * seconds(CONTROL_BURST);
    has(PROTOCOL, &format!("may come at {control} a second, and {burst} at once"));
}

#[test]
fn acknowledgements_and_liveness_are_as_documented() {
    has(PROTOCOL, &format!("They are sent {} ms after a change at the latest", ACK_DELAY.as_millis()));
    let downlink = DOWNLINK_BYTES / (2 * 24_000);
    has(PROTOCOL, &format!("when {downlink} s of audio wait, the agent waits"));
    has(PROTOCOL, &format!("more than {} MiB of its messages", DOWNLINK_TEXT_BYTES >> 20));
    has(PROTOCOL, &format!("what was said before is sent first, for {} s at most", seconds(END_WITHIN)));
    has(PROTOCOL, &format!("has heard nothing for {} intervals", in_words(DEAD_AFTER_HEARTBEATS)));
}

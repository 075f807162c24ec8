//! Whoever listens in to a call hears what a recording of it would have, as it is mixed. The call waits for none of them: who reads too slowly
//! misses something.

use bytes::Bytes;
use protocol::Time;
use tokio::sync::broadcast;
use tokio::time::{Duration, Instant};

use super::machine::Sounding;
use crate::records::recording::{Input, Mixer, Output};

/// Bytes that are handed out together: a tenth of a second.
const BLOCK_BYTES: usize = 6_400;
/// So many of them may wait for a listener, who misses the oldest beyond that: 6.4 s.
const BLOCKS: usize = 64;
/// The longest silence that is handed out at once, in frames. What is silent for longer, since it came late, is heard sooner for that.
const SILENCE_MAX: u64 = 8_000;
/// The time between two looks at whether anybody listens. What was mixed by then is handed out.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What a listener hears: stereo at 16 kHz, 16-bit little-endian, the user on the left. It ends when the session is over here.
pub(crate) type Heard = broadcast::Receiver<Bytes>;

/// Those who listen in to a session.
#[derive(Debug)]
pub(super) struct Ears {
    mixer: Mixer,
    /// What was mixed and is not handed out yet.
    block: Vec<u8>,
    listeners: broadcast::Sender<Bytes>,
    /// When to look next.
    due: Instant,
}

impl Ears {
    /// Nobody listens yet to a call that stands so, whose agent has this many samples a second.
    ///
    /// # Panics
    /// Never: agents have the rates of codecs, and the mixer takes those.
    pub(super) fn new(now: Time, agent_rate: u32, sounding: Sounding) -> Ears {
        let Sounding { is_connected, is_muted, is_held, spoken, heard } = sounding;
        let mixer = Mixer::new(agent_rate).expect("it mixes at every rate that a codec has");
        let mut mixer = mixer.after(spoken, heard);
        mixer.handle_input(now, Input::Connected(is_connected));
        if is_muted {
            mixer.handle_input(now, Input::Muted(true));
        }
        if is_held {
            mixer.handle_input(now, Input::Held(true));
        }
        let (listeners, _) = broadcast::channel(BLOCKS);
        Ears { mixer, block: Vec::new(), listeners, due: Instant::now() + LOOK_EVERY }
    }

    /// One more listens.
    pub(super) fn join(&self) -> Heard {
        self.listeners.subscribe()
    }

    /// One thing happened in the call. Never waits.
    pub(super) fn handle_input(&mut self, now: Time, input: Input<'_>) {
        self.mixer.handle_input(now, input);
        while let Some(output) = self.mixer.poll_output() {
            match output {
                Output::Frames(frames) => {
                    self.block.extend(frames.iter().flat_map(|sample| sample.to_le_bytes()));
                }
                Output::Silence(frames) => {
                    let bytes = frames.min(SILENCE_MAX) as usize * 4;
                    self.block.resize(self.block.len() + bytes, 0);
                }
            }
            if self.block.len() >= BLOCK_BYTES {
                self.hand_out();
            }
        }
    }

    /// Time has passed. Says whether anybody listens still.
    pub(super) fn look(&mut self, now: Time) -> bool {
        self.due = Instant::now() + LOOK_EVERY;
        self.handle_input(now, Input::Passed);
        self.hand_out();
        self.listeners.receiver_count() > 0
    }

    /// The session is over here: what is left of it is handed out.
    pub(super) fn finish(mut self, now: Time) {
        self.handle_input(now, Input::End);
        self.hand_out();
    }

    /// When [`Ears::look`] is due.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    fn hand_out(&mut self) {
        if !self.block.is_empty() {
            // With nobody there any more, the next look finds that out.
            let _ = self.listeners.send(std::mem::take(&mut self.block).into());
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::broadcast::error::TryRecvError;

    use super::*;

    const CHUNK: [u8; 3_200] = [5; 3_200];

    fn ears() -> Ears {
        let sounding = Sounding { is_connected: true, is_muted: false, is_held: false, spoken: 0, heard: 0 };
        Ears::new(Time::ZERO, 24_000, sounding)
    }

    fn at(chunk: u64) -> Time {
        Time::from_millis(100 * chunk)
    }

    #[test]
    fn who_does_not_read_costs_what_was_not_read_and_neither_time_nor_memory_and_others_hear_all() {
        let mut ears = ears();
        let (mut slow, mut quick) = (ears.join(), ears.join());
        let (mut heard, mut chunks) = (0, 0);
        while chunks < 3_000 {
            ears.handle_input(at(chunks), Input::User(&CHUNK));
            chunks += 1;
            while let Ok(block) = quick.try_recv() {
                assert!(block.chunks_exact(4).all(|frame| frame == [5, 5, 0, 0]));
                heard += block.len();
            }
            assert!(ears.block.len() < BLOCK_BYTES);
        }
        // Two seconds are kept back, to cut answers that are interrupted.
        assert_eq!(heard, 2 * CHUNK.len() * (3_000 - 20));
        assert!(matches!(slow.try_recv(), Err(TryRecvError::Lagged(missed)) if missed > 2_000));
        let rest = std::iter::from_fn(|| slow.try_recv().ok()).count();
        assert_eq!(rest, BLOCKS, "and goes on with the newest");
    }

    #[test]
    fn it_is_known_within_a_look_that_nobody_listens_any_more() {
        let mut ears = ears();
        let (first, second) = (ears.join(), ears.join());
        assert!(ears.look(at(1)));
        drop(first);
        assert!(ears.look(at(2)), "one of two is there");
        drop(second);
        assert!(!ears.look(at(3)));
    }

    #[test]
    fn whoever_listens_hears_the_end() {
        let mut ears = ears();
        let mut listener = ears.join();
        for chunk in 0..10 {
            ears.handle_input(at(chunk), Input::User(&CHUNK));
        }
        assert_eq!(listener.try_recv(), Err(TryRecvError::Empty));
        ears.finish(at(10));
        let mut heard = 0;
        while let Ok(block) = listener.try_recv() {
            heard += block.len();
        }
        assert_eq!(heard, 2 * 10 * CHUNK.len());
        assert_eq!(listener.try_recv(), Err(TryRecvError::Closed));
    }

    #[test]
    fn who_begins_while_an_answer_is_held_hears_what_comes_after_the_rest_of_it_once_it_goes_on() {
        let sounding =
            Sounding { is_connected: true, is_muted: false, is_held: true, spoken: 16_000, heard: 0 };
        let mut ears = Ears::new(Time::ZERO, 16_000, sounding);
        let mut listener = ears.join();
        let mut heard = Vec::new();
        for chunk in 1..=60 {
            ears.handle_input(at(chunk), Input::User(&CHUNK));
            if chunk == 20 {
                ears.handle_input(at(chunk), Input::Held(false));
                ears.handle_input(at(chunk), Input::Agent(&[900; 16_000]));
            }
            while let Ok(block) = listener.try_recv() {
                heard.extend_from_slice(&block);
            }
        }
        let first = heard.chunks_exact(4).position(|frame| frame[2..] != [0, 0]);
        assert_eq!(first, Some(48_000), "after two seconds of the hold, and one that was sent before it");
    }

    #[test]
    fn a_long_silence_that_comes_at_once_is_cut() {
        let sounding = Sounding { is_connected: true, is_muted: true, is_held: false, spoken: 0, heard: 0 };
        let mut ears = Ears::new(Time::ZERO, 16_000, sounding);
        let mut listener = ears.join();
        assert!(ears.look(at(600)));
        let block = listener.try_recv().expect("silence");
        assert_eq!(block.len() as u64, 4 * SILENCE_MAX);
    }
}

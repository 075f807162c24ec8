//! One side of a recording before it is written: sound as samples, silence as a number.

use std::collections::VecDeque;

/// A queue of samples in which silence takes no memory.
#[derive(Debug, Default)]
pub(super) struct Track {
    /// Silence and the sound after it, in turns, oldest first.
    pieces: VecDeque<Piece>,
    sound: VecDeque<i16>,
    length: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Piece {
    silence: u64,
    sound: u64,
}

impl Track {
    /// Samples in it.
    pub(super) fn len(&self) -> u64 {
        self.length
    }

    pub(super) fn push_silence(&mut self, samples: u64) {
        if samples == 0 {
            return;
        }
        match self.pieces.back_mut().filter(|last| last.sound == 0) {
            Some(last) => last.silence += samples,
            None => self.pieces.push_back(Piece { silence: samples, sound: 0 }),
        }
        self.length += samples;
    }

    pub(super) fn push_sound(&mut self, samples: impl Iterator<Item = i16>) {
        let before = self.sound.len();
        self.sound.extend(samples);
        let samples = (self.sound.len() - before) as u64;
        if samples == 0 {
            return;
        }
        match self.pieces.back_mut() {
            Some(last) => last.sound += samples,
            None => self.pieces.push_back(Piece { silence: 0, sound: samples }),
        }
        self.length += samples;
    }

    /// Leaves out what comes after so many samples.
    pub(super) fn truncate(&mut self, length: u64) {
        let mut surplus = self.length.saturating_sub(length);
        self.length -= surplus;
        while surplus > 0
            && let Some(last) = self.pieces.back_mut()
        {
            let sound = last.sound.min(surplus);
            last.sound -= sound;
            self.sound.truncate(self.sound.len() - sound as usize);
            let silence = last.silence.min(surplus - sound);
            last.silence -= silence;
            surplus -= sound + silence;
            if last.sound + last.silence == 0 {
                self.pieces.pop_back();
            }
        }
    }

    /// Takes off what comes after so many samples.
    pub(super) fn split_off(&mut self, length: u64) -> Track {
        let mut rest = Track::default();
        let mut surplus = self.length.saturating_sub(length);
        (self.length, rest.length) = (self.length - surplus, surplus);
        while surplus > 0
            && let Some(last) = self.pieces.back_mut()
        {
            let sound = last.sound.min(surplus);
            let silence = last.silence.min(surplus - sound);
            (last.sound, last.silence) = (last.sound - sound, last.silence - silence);
            surplus -= sound + silence;
            rest.pieces.push_front(Piece { silence, sound });
            if last.sound + last.silence == 0 {
                self.pieces.pop_back();
            }
        }
        let sound: u64 = rest.pieces.iter().map(|piece| piece.sound).sum();
        rest.sound = self.sound.split_off(self.sound.len() - sound as usize);
        rest
    }

    /// Puts another one behind it.
    pub(super) fn append(&mut self, mut rest: Track) {
        for Piece { silence, sound } in rest.pieces {
            self.push_silence(silence);
            self.push_sound(rest.sound.drain(..sound as usize));
        }
    }

    /// How long it is silent from its beginning. After its end it is silent for ever.
    pub(super) fn silent_for(&self) -> u64 {
        match self.pieces.front() {
            None | Some(Piece { sound: 0, .. }) => u64::MAX,
            Some(first) => first.silence,
        }
    }

    /// Takes silence from its beginning: no more than [`Track::silent_for`] says.
    pub(super) fn skip(&mut self, samples: u64) {
        if let Some(first) = self.pieces.front_mut() {
            let taken = first.silence.min(samples);
            first.silence -= taken;
            self.length -= taken;
            if first.silence + first.sound == 0 {
                self.pieces.pop_front();
            }
        }
    }

    /// Takes the next sample; silence when there is none.
    pub(super) fn pop(&mut self) -> i16 {
        let Some(first) = self.pieces.front_mut() else { return 0 };
        let sample = if first.silence > 0 {
            first.silence -= 1;
            0
        } else {
            first.sound -= 1;
            self.sound.pop_front().unwrap_or_default()
        };
        self.length -= 1;
        if first.silence + first.sound == 0 {
            self.pieces.pop_front();
        }
        sample
    }

    /// Samples that take memory.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.sound.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_a_plain_list_of_samples_would_be() {
        let mut seed = 7_u64;
        let mut random = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % below
        };
        for _ in 0..2_000 {
            let (mut track, mut plain) = (Track::default(), VecDeque::new());
            for _ in 0..20 {
                let n = random(30);
                match random(6) {
                    5 => {
                        let rest = track.split_off(n);
                        assert_eq!(track.len(), (plain.len() as u64).min(n));
                        track.append(rest);
                    }
                    0 => {
                        track.push_silence(n);
                        plain.extend(vec![0_i16; n as usize]);
                    }
                    1 => {
                        track.push_sound((1..).take(n as usize));
                        plain.extend((1..).take(n as usize));
                    }
                    2 => {
                        track.truncate(n * 3);
                        plain.truncate(n as usize * 3);
                    }
                    3 => {
                        let silent = track.silent_for();
                        let zeros = plain.iter().take_while(|sample| **sample == 0).count();
                        assert!(if zeros == plain.len() { silent > 1 << 40 } else { silent == zeros as u64 });
                        let skipped = n.min(silent);
                        track.skip(skipped);
                        plain.drain(..plain.len().min(skipped as usize));
                    }
                    _ => {
                        for _ in 0..n {
                            assert_eq!(track.pop(), plain.pop_front().unwrap_or_default());
                        }
                    }
                }
                assert_eq!(track.len(), plain.len() as u64);
            }
        }
    }
}

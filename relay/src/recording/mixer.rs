//! Two people in one file: the user left, the agent right, at the times at which they spoke.

use std::collections::VecDeque;
use std::time::Duration;

use audio::{Error, Hz, Resampler, SPEECH_RATE, f32_to_i16, i16_to_f32};
use protocol::Time;

/// Frames are kept back for this long: an answer that is interrupted is cut at what was heard, which is told a moment later. 2 s.
const HOLD: usize = 2 * 16_000;
/// A gap or a mute that is longer is shortened: 60 s.
const LONGEST_SILENCE: usize = 60 * 16_000;
/// The agent may be this far ahead of the user; then time goes on without the user: 60 s.
const AHEAD_MAX: usize = 60 * 16_000;
/// Runs of the agent's audio that are remembered.
const RUNS_MAX: usize = 256;
/// Frames that [`Mixer::poll_output`] hands out at once, at most.
const BLOCK: usize = 1_600;

/// What happens in a call that is recorded.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Audio of the user: 16-bit little-endian samples at 16 kHz, in order, each sample once.
    User(&'a [u8]),
    /// Audio of the user that will never come, in samples. Silence takes its place, 60 s at most.
    Gap(u32),
    /// The user muted or unmuted. Meanwhile the user's timeline stands still, but the agent's goes on: silence takes its place, 60 s at most.
    Muted(bool),
    /// Audio of the agent is sent: samples at its rate.
    Agent(&'a [i16]),
    /// The answer is whole.
    ReplyEnd,
    /// The user has heard the agent up to this position in its timeline.
    Played(u32),
    /// The answer was interrupted: what was sent of it and not heard never sounded.
    Flush,
    /// The call is over.
    End,
}

/// Makes stereo at 16 kHz of both sides of a call. A machine without files and clocks: one input, then [`Mixer::poll_output`] until
/// it is empty.
///
/// The clock of the recording is the user's audio. The agent's begins where the user was when its first sample was sent, and goes on
/// without a pause as long as it is sent before it is due; what comes later begins where the user is by then.
#[derive(Debug)]
pub struct Mixer {
    /// Frames that were handed out: the time at which `left` and `right` begin.
    handed: u64,
    left: VecDeque<i16>,
    /// As long as the agent has spoken: longer or shorter than `left`.
    right: VecDeque<i16>,
    rate: u32,
    resampler: Resampler,
    /// The resampler has an answer under way.
    in_reply: bool,
    /// Samples of the agent so far, at its rate.
    spoken: u32,
    /// Where the agent's audio lies, oldest first.
    runs: VecDeque<Run>,
    /// What the user has heard of it, once that was told.
    played: Option<u32>,
    muted_since: Option<Time>,
    ended: bool,
    source: Vec<f32>,
    resampled: Vec<f32>,
    frames: Vec<i16>,
}

/// A piece of the agent's audio without a pause.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// Its first sample in the agent's timeline.
    agent: u32,
    /// The same moment in the recording.
    at: u64,
}

impl Mixer {
    /// A mixer for an agent of this many samples a second.
    ///
    /// # Errors
    /// If the rate is outside 8,000 to 192,000.
    pub fn new(agent_rate: u32) -> Result<Mixer, Error> {
        Ok(Mixer {
            handed: 0,
            left: VecDeque::new(),
            right: VecDeque::new(),
            rate: agent_rate,
            resampler: Resampler::new(Hz(agent_rate), SPEECH_RATE)?,
            in_reply: false,
            spoken: 0,
            runs: VecDeque::new(),
            played: None,
            muted_since: None,
            ended: false,
            source: Vec::new(),
            resampled: Vec::new(),
            frames: Vec::new(),
        })
    }

    /// One thing happened.
    pub fn handle_input(&mut self, now: Time, input: Input<'_>) {
        if self.ended {
            return;
        }
        match input {
            Input::User(payload) => {
                self.unmute(now);
                let samples = payload.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
                self.left.extend(samples);
            }
            Input::Gap(samples) => {
                self.unmute(now);
                self.silence((samples as usize).min(LONGEST_SILENCE));
            }
            Input::Muted(true) => {
                self.muted_since.get_or_insert(now);
            }
            Input::Muted(false) => self.unmute(now),
            Input::Agent(samples) => self.speak(now, samples),
            Input::ReplyEnd => self.end_reply(),
            Input::Played(position) => self.played = Some(self.played.unwrap_or(0).max(position)),
            Input::Flush => self.flush(now),
            Input::End => {
                self.unmute(now);
                self.ended = true;
            }
        }
    }

    /// The next frames, left and right in turns; `None` when there are none until the next input.
    pub fn poll_output(&mut self) -> Option<&[i16]> {
        let hold = if self.ended { 0 } else { HOLD };
        let count = self.left.len().saturating_sub(hold).min(BLOCK);
        if count == 0 {
            return None;
        }
        self.frames.clear();
        for left in self.left.drain(..count) {
            self.frames.push(left);
            self.frames.push(self.right.pop_front().unwrap_or(0));
        }
        self.handed += count as u64;
        while self.runs.get(1).is_some_and(|second| second.at <= self.handed) {
            self.runs.pop_front();
        }
        Some(&self.frames)
    }

    /// The agent's audio goes on where it is, or where the user is if that is later.
    fn speak(&mut self, now: Time, samples: &[i16]) {
        let here = self.here(now);
        if self.in_reply && self.right_end() + (self.resampler.delay_samples() as u64) < here {
            self.end_reply();
        }
        if !self.in_reply {
            let start = self.right_end().max(here);
            self.right.resize((start - self.handed) as usize, 0);
            if self.runs.len() == RUNS_MAX {
                self.runs.pop_front();
            }
            self.runs.push_back(Run { agent: self.spoken, at: start });
            self.in_reply = true;
        }
        self.spoken = self.spoken.saturating_add(samples.len() as u32);
        self.source.clear();
        self.source.extend(samples.iter().map(|sample| i16_to_f32(*sample)));
        self.resampled.resize(self.resampler.max_output(samples.len()), 0.0);
        let written = self.resampler.process(&self.source, &mut self.resampled);
        self.right.extend(self.resampled[..written].iter().map(|sample| f32_to_i16(*sample)));
        let ahead = self.right.len().saturating_sub(self.left.len());
        if ahead > AHEAD_MAX {
            self.silence(ahead - AHEAD_MAX);
            // That time has passed, muted or not.
            self.muted_since = self.muted_since.map(|_| now);
        }
    }

    /// The end of an answer comes out of the resampler.
    fn end_reply(&mut self) {
        if std::mem::take(&mut self.in_reply) {
            let longest = self.resampler.max_output(self.resampler.delay_samples());
            self.resampled.resize(longest, 0.0);
            let written = self.resampler.flush(&mut self.resampled);
            self.right.extend(self.resampled[..written].iter().map(|sample| f32_to_i16(*sample)));
        }
    }

    fn flush(&mut self, now: Time) {
        let heard = self.played.map_or_else(|| self.here(now), |played| self.time_of(played));
        self.resampler.reset();
        self.in_reply = false;
        self.right.truncate(usize::try_from(heard.saturating_sub(self.handed)).unwrap_or(usize::MAX));
    }

    /// When a sample of the agent sounds.
    fn time_of(&self, position: u32) -> u64 {
        let run = self.runs.iter().rfind(|run| run.agent <= position).or(self.runs.front());
        run.map_or(u64::MAX, |run| {
            let samples = u64::from(position.saturating_sub(run.agent));
            run.at + samples * u64::from(SPEECH_RATE.0) / u64::from(self.rate)
        })
    }

    /// Where the user is.
    fn here(&self, now: Time) -> u64 {
        self.handed + (self.left.len() + self.muted_samples(now)) as u64
    }

    fn right_end(&self) -> u64 {
        self.handed + self.right.len() as u64
    }

    fn muted_samples(&self, now: Time) -> usize {
        let time = self.muted_since.map_or(Duration::ZERO, |since| now.since(since));
        usize::try_from(time.as_micros() * 16 / 1_000).unwrap_or(usize::MAX).min(LONGEST_SILENCE)
    }

    fn unmute(&mut self, now: Time) {
        self.silence(self.muted_samples(now));
        self.muted_since = None;
    }

    fn silence(&mut self, samples: usize) {
        self.left.resize(self.left.len() + samples, 0);
    }
}

#[cfg(test)]
mod tests;

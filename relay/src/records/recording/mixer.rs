//! Two people in one file: the user left, the agent right, at the times at which they spoke.

use std::collections::VecDeque;
use std::time::Duration;

use audio::{Error, Hz, Resampler, SPEECH_RATE, f32_to_i16, i16_to_f32};
use protocol::Time;

use super::track::Track;

/// Frames are kept back for this long: an answer that is interrupted is cut at what was heard, which is told a moment later. 2 s.
const HOLD: u64 = 2 * 16_000;
/// The user's audio may be ahead of the clock by this much in all: what a client had kept when the recording began. 65 s, as long as
/// the burst that a session lets through.
const LEAD_MAX: u64 = 65 * 16_000;
/// Audio that is late by less than this is on its way, as always: 1 s.
const LATE: u64 = 16_000;
/// A connected user of whom nothing came for this long is silent. A line that loses every third packet may be silent for tens of seconds in the
/// midst of words, and one that lets nothing through for two heartbeats of 15 s is taken for lost by then.
const PAUSE: Duration = Duration::from_secs(35);
/// The agent may be this far ahead of the user: 60 s. What goes beyond that is left out.
const AHEAD_MAX: u64 = 60 * 16_000;
/// Runs of the agent's audio that are remembered.
const RUNS_MAX: usize = 256;
/// Frames that [`Mixer::poll_output`] hands out at once, at most. Silence that is shorter is handed out as frames.
const BLOCK: u64 = 1_600;

/// What happens in a call that is recorded.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Audio of the user: 16-bit little-endian samples at 16 kHz, in order, each sample once.
    User(&'a [u8]),
    /// Audio of the user that will never come, in samples. Silence takes its place, up to the present.
    Gap(u32),
    /// The user muted or unmuted. Meanwhile the user's timeline stands still, and time goes on: silence takes its place.
    Muted(bool),
    /// The user has a connection, or has lost it. A recording begins with one.
    Connected(bool),
    /// Audio of the agent is sent: samples at its rate.
    Agent(&'a [i16]),
    /// The answer is whole, or the agent has paused in it.
    ReplyEnd,
    /// The user has heard the agent up to this position in its timeline.
    Played(u32),
    /// The answer was interrupted: what was sent of it and not heard never sounded.
    Flush,
    /// The answer is held: the rest of what was sent of it sounds later. Or it goes on.
    Held(bool),
    /// Nothing but that time goes by. A recording need not be told: it is as good later.
    Passed,
    /// The call is over.
    End,
}

/// What comes next in the recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output<'a> {
    /// Frames: left and right in turns.
    Frames(&'a [i16]),
    /// So many frames of silence on both sides.
    Silence(u64),
}

/// Makes stereo at 16 kHz of both sides of a call. A machine without files and clocks: one input, then [`Mixer::poll_output`] until
/// it is empty.
///
/// The user's audio is there to the sample, one sample after another. Silence comes between only where time went by without the user:
/// audio that is lost, a mute, a connected client that sends nothing. Silence never reaches beyond the present, so a recording is no
/// longer than the time since it began and the audio that the client had kept until then, whatever is said about gaps.
///
/// The agent's audio begins where the user was when its first sample was sent, or at the present if the user's audio is late, and goes
/// on without a pause as long as it is sent before it is due.
#[derive(Debug)]
pub struct Mixer {
    /// Frames that were handed out: the time at which `left` and `right` begin.
    handed: u64,
    left: Track,
    /// As long as the agent has spoken: longer or shorter than `left`.
    right: Track,
    rate: u32,
    resampler: Resampler,
    /// The resampler has an answer under way.
    in_reply: bool,
    /// Samples of the agent so far, at its rate.
    spoken: u32,
    /// Where the agent's audio lies, oldest first.
    runs: VecDeque<Run>,
    /// What was sent of an answer that is held and does not sound yet, and where it begins in the agent's timeline.
    held: Option<(u32, Track)>,
    /// What the user has heard of it, once that was told.
    played: Option<u32>,
    /// When the recording began, once something happened.
    origin: Option<Time>,
    /// By how much the user's audio was ahead of the time since then.
    lead: u64,
    muted: bool,
    connected: bool,
    /// The last input before the connection was lost, or of the connection.
    now: Time,
    /// When something of the user last came, or could have come.
    active: Time,
    /// The user is silent: silence is added as time passes, up to this much before the present.
    silent: Option<u64>,
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
            left: Track::default(),
            right: Track::default(),
            rate: agent_rate,
            resampler: Resampler::new(Hz(agent_rate), SPEECH_RATE)?,
            in_reply: false,
            spoken: 0,
            runs: VecDeque::new(),
            held: None,
            played: None,
            origin: None,
            lead: 0,
            muted: false,
            connected: true,
            now: Time::ZERO,
            active: Time::ZERO,
            silent: None,
            ended: false,
            source: Vec::new(),
            resampled: Vec::new(),
            frames: Vec::new(),
        })
    }

    /// Begins in the midst of a call, when the agent has come so far in its timeline and the user has heard it up to there. What lies between
    /// sounds, or is held, and is not in what is mixed: what the agent says next comes behind it.
    #[must_use]
    pub fn after(mut self, spoken: u32, heard: u32) -> Mixer {
        let ahead = u64::from(spoken.saturating_sub(heard));
        self.right.push_silence((ahead * u64::from(SPEECH_RATE.0) / u64::from(self.rate)).min(AHEAD_MAX));
        // So it is known what of it is left where it is held or cut.
        self.runs.push_back(Run { agent: heard, at: 0 });
        self.spoken = spoken;
        self
    }

    /// One thing happened.
    pub fn handle_input(&mut self, now: Time, input: Input<'_>) {
        if self.ended {
            return;
        }
        if self.origin.is_none() {
            self.origin = Some(now);
            (self.now, self.active) = (now, now);
        }
        // Without a connection nothing of the user comes, and what happens then is heard by nobody.
        let was_connected = self.connected;
        if was_connected || matches!(input, Input::Connected(true)) {
            self.now = self.now.max(now);
        }
        if was_connected {
            // What comes now was said just before.
            let coming = if let Input::User(payload) = input { payload.len() as u64 / 2 } else { 0 };
            self.pass(coming);
        }
        match input {
            Input::User(payload) => {
                self.sound();
                let samples = payload.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
                self.left.push_sound(samples);
                let ahead = self.left_end().saturating_sub(self.present());
                self.lead = (self.lead + ahead).min(LEAD_MAX);
            }
            Input::Gap(samples) => {
                self.sound();
                self.silence(samples.into());
            }
            Input::Muted(true) => self.mute(),
            Input::Muted(false) => self.sound(),
            Input::Connected(connected) => {
                self.connected = connected;
                // Whether the user is still muted is said again, after the audio before.
                self.sound();
            }
            Input::Agent(samples) => self.speak(samples),
            Input::ReplyEnd => self.end_reply(),
            Input::Played(position) => self.played = Some(self.played.unwrap_or(0).max(position)),
            Input::Flush => self.flush(),
            Input::Held(true) => self.hold(),
            Input::Held(false) => self.let_go(),
            Input::Passed => {}
            Input::End => {
                // The agent is there as far as it was heard.
                let heard = self.right_end().min(self.present());
                self.silence(heard.saturating_sub(self.left_end()));
                self.ended = true;
            }
        }
    }

    /// What comes next; `None` when there is nothing until the next input.
    pub fn poll_output(&mut self) -> Option<Output<'_>> {
        let hold = if self.ended || !self.connected { 0 } else { HOLD };
        let count = self.left.len().saturating_sub(hold);
        if count == 0 {
            return None;
        }
        let silent = self.left.silent_for().min(self.right.silent_for()).min(count);
        if silent >= BLOCK {
            self.left.skip(silent);
            self.right.skip(silent);
            self.handed(silent);
            return Some(Output::Silence(silent));
        }
        let count = count.min(BLOCK);
        self.frames.clear();
        for _ in 0..count {
            self.frames.push(self.left.pop());
            self.frames.push(self.right.pop());
        }
        self.handed(count);
        Some(Output::Frames(&self.frames))
    }

    fn handed(&mut self, count: u64) {
        self.handed += count;
        while self.runs.get(1).is_some_and(|second| second.at <= self.handed) {
            self.runs.pop_front();
        }
    }

    /// Time passes: of a silent user, too. So many samples of it were not silent, and come now.
    fn pass(&mut self, coming: u64) {
        let quiet = self.now.since(self.active);
        match self.silent {
            Some(behind) => self.silence(self.late().saturating_sub(behind + coming)),
            None if quiet > PAUSE => self.fall_silent(samples(quiet), coming),
            None => {}
        }
    }

    /// The user has said nothing for so many samples. Of what was said before, nothing is on its way any more.
    fn fall_silent(&mut self, quiet: u64, coming: u64) {
        let late = self.late();
        let silence = if late > quiet + LATE { late } else { quiet };
        self.silence(silence.saturating_sub(coming));
        self.silent = Some(self.late());
    }

    fn mute(&mut self) {
        if !self.muted {
            self.muted = true;
            self.fall_silent(0, 0);
        }
    }

    /// The user may say something from now on.
    fn sound(&mut self) {
        self.muted = false;
        self.silent = None;
        self.active = self.now;
    }

    /// The agent's audio goes on where it is, or where the user is if that is later.
    fn speak(&mut self, samples: &[i16]) {
        let here = self.here();
        if self.in_reply && self.right_end() + (self.resampler.delay_samples() as u64) < here {
            self.end_reply();
        }
        if !self.in_reply {
            self.begin_run(self.spoken, here);
            self.in_reply = true;
        }
        self.spoken = self.spoken.saturating_add(samples.len() as u32);
        self.source.clear();
        self.source.extend(samples.iter().map(|sample| i16_to_f32(*sample)));
        self.resampled.resize(self.resampler.max_output(samples.len()), 0.0);
        let written = self.resampler.process(&self.source, &mut self.resampled);
        self.right.push_sound(self.resampled[..written].iter().map(|sample| f32_to_i16(*sample)));
        self.right.truncate(self.left.len().max(self.present().saturating_sub(self.handed)) + AHEAD_MAX);
    }

    /// A piece of the agent's audio begins, here or where the one before ends if that is later.
    fn begin_run(&mut self, agent: u32, here: u64) {
        let start = self.right_end().max(here);
        self.right.push_silence(start - self.right_end());
        if self.runs.len() == RUNS_MAX {
            self.runs.pop_front();
        }
        self.runs.push_back(Run { agent, at: start });
    }

    /// What is to come after the present sounds later.
    fn hold(&mut self) {
        let here = self.here().max(self.handed);
        if self.held.is_some() || self.right_end() <= here {
            return;
        }
        let run = self.runs.iter().rfind(|run| run.at <= here).copied();
        let agent = run.map_or(self.spoken, |run| {
            let samples = (here - run.at) * u64::from(self.rate) / u64::from(SPEECH_RATE.0);
            run.agent.saturating_add(u32::try_from(samples).unwrap_or(u32::MAX))
        });
        self.held = Some((agent, self.right.split_off(here - self.handed)));
    }

    fn let_go(&mut self) {
        if let Some((agent, rest)) = self.held.take() {
            self.begin_run(agent, self.here());
            self.right.append(rest);
        }
    }

    /// The end of an answer comes out of the resampler.
    fn end_reply(&mut self) {
        if std::mem::take(&mut self.in_reply) {
            let longest = self.resampler.max_output(self.resampler.delay_samples());
            self.resampled.resize(longest, 0.0);
            let written = self.resampler.flush(&mut self.resampled);
            self.right.push_sound(self.resampled[..written].iter().map(|sample| f32_to_i16(*sample)));
        }
    }

    fn flush(&mut self) {
        let heard = self.played.map_or_else(|| self.here(), |played| self.time_of(played));
        self.resampler.reset();
        (self.in_reply, self.held) = (false, None);
        self.right.truncate(heard.saturating_sub(self.handed));
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
    fn here(&self) -> u64 {
        if self.late() > LATE { self.present() } else { self.left_end() }
    }

    /// By how much the user's audio is behind the present.
    fn late(&self) -> u64 {
        self.present().saturating_sub(self.left_end())
    }

    /// The present as a place in the recording. The user's audio that came soonest was not late.
    fn present(&self) -> u64 {
        self.origin.map_or(0, |origin| samples(self.now.since(origin))) + self.lead
    }

    fn left_end(&self) -> u64 {
        self.handed + self.left.len()
    }

    fn right_end(&self) -> u64 {
        self.handed + self.right.len()
    }

    /// Silence on the user's side, up to the present.
    fn silence(&mut self, samples: u64) {
        self.left.push_silence(samples.min(self.late()));
    }
}

fn samples(time: Duration) -> u64 {
    u64::try_from(time.as_micros() * 16 / 1_000).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;

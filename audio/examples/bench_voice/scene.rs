//! A user who says something now and then, and where they do.

use audio::{SPEECH_RATE, f32_to_i16};

use crate::noise::{Noise, Random};
use crate::recordings::Voice;

/// Detectors are judged in pieces of so many samples, 16 ms.
pub(crate) const FRAME: usize = 256;

/// A frame of a recording that is softer than its loud ones by more than this is a pause: 25 dB, as a ratio of powers.
const PAUSE: f32 = 3.2e-3;
/// Pauses that are shorter than this, 600 ms, are part of what is said: no detector is to end an utterance there.
const SHORTEST_PAUSE: usize = 37;
/// What is shorter than this, 64 ms, is no speech: lips, breath.
const SHORTEST_SPEECH: usize = 4;
/// Frames this much softer than the loudest one count for how loud a sound is: 20 dB, as a ratio of powers.
const ACTIVE: f32 = 0.01;
/// Everybody speaks as loud as this: -26 dB of full scale, as power.
const SPEECH: f32 = 2.5e-3;
/// No room is quieter than this: -65 dB of full scale, as power.
const ROOM: f32 = 3.2e-7;
/// Of each voice so many seconds are used.
const SECONDS: usize = 90;

/// One voice in a quiet room.
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    samples: Vec<f32>,
    /// Whether somebody speaks, by frame.
    pub(crate) labels: Vec<bool>,
    seed: u32,
}

impl Scene {
    /// A voice says one recording after another, with a second or more between them. Of its recordings every second one is used: those for
    /// which constants are chosen, or the others.
    pub(crate) fn new(voice: &Voice, seed: u32, for_tuning: bool) -> Scene {
        let mut random = Random::new(seed);
        let mut scene = Scene { name: voice.name, samples: Vec::new(), labels: Vec::new(), seed };
        scene.pause(&mut random);
        let second = SPEECH_RATE.0 as usize;
        let long = |recording: &&Vec<f32>| (second..15 * second).contains(&recording.len());
        let half = voice.recordings.iter().filter(long).skip(usize::from(!for_tuning)).step_by(2);
        // From everywhere in the alphabet.
        let count = half.clone().map(Vec::len).sum::<usize>() / (SECONDS * second);
        for recording in half.step_by(count.max(1)) {
            scene.say(recording);
            scene.pause(&mut random);
        }
        scene.bridge();
        scene
    }

    fn pause(&mut self, random: &mut Random) {
        let frames = random.between(62.0, 190.0) as usize;
        self.samples.resize(self.samples.len() + frames * FRAME, 0.0);
        self.labels.resize(self.labels.len() + frames, false);
    }

    fn say(&mut self, recording: &[f32]) {
        let gain = (SPEECH / active_power(recording)).sqrt();
        let frames = recording.len().div_ceil(FRAME);
        let whole = self.samples.len() + frames * FRAME;
        self.samples.extend(recording.iter().map(|sample| sample * gain));
        self.samples.resize(whole, 0.0);
        self.labels.extend(powers(recording).map(|power| power * gain * gain > SPEECH * PAUSE));
        self.labels.resize(whole / FRAME, false);
    }

    /// Short pauses become speech, and then what is too short for speech becomes a pause.
    fn bridge(&mut self) {
        flip_short(&mut self.labels, true, SHORTEST_SPEECH);
        flip_short(&mut self.labels, false, SHORTEST_PAUSE);
    }

    /// What the microphone gives: the voice, the room, and a noise that is softer than the voice by so many dB where both are loud.
    pub(crate) fn heard(&self, noise: Option<(Noise, f32)>, music: &[Vec<f32>]) -> Vec<i16> {
        let count = self.samples.len();
        let mut heard: Vec<f32> =
            self.samples.iter().zip(self.room()).map(|(sample, room)| sample + room).collect();
        if let Some((noise, decibels)) = noise {
            let sound = noise.samples(count, self.seed, music);
            let gain = (SPEECH * 10f32.powf(-decibels / 10.0) / active_power(&sound)).sqrt();
            for (sample, noise) in heard.iter_mut().zip(&sound) {
                *sample += gain * noise;
            }
        }
        heard.into_iter().map(f32_to_i16).collect()
    }

    /// The room while nobody is there: so many samples.
    pub(crate) fn quiet(&self, count: usize) -> Vec<i16> {
        self.room().take(count).map(f32_to_i16).collect()
    }

    fn room(&self) -> impl Iterator<Item = f32> {
        let mut random = Random::new(self.seed + 1_000);
        let amplitude = (3.0 * ROOM).sqrt();
        std::iter::repeat_with(move || amplitude * random.signed())
    }
}

/// The mean power of the frames in which something is to be heard.
fn active_power(sound: &[f32]) -> f32 {
    let loudest = powers(sound).fold(0.0, f32::max);
    let (sum, count) = powers(sound)
        .filter(|power| *power >= loudest * ACTIVE)
        .fold((0.0, 0.0), |(sum, count), power| (sum + power, count + 1.0));
    sum / count
}

fn powers(sound: &[f32]) -> impl Iterator<Item = f32> {
    sound.chunks(FRAME).map(|frame| frame.iter().map(|x| x * x).sum::<f32>() / frame.len() as f32)
}

/// Turns every run of this label that is shorter than this into its opposite. At the beginning and at the end there is silence.
fn flip_short(labels: &mut [bool], label: bool, shortest: usize) {
    let mut start = 0;
    while start < labels.len() {
        let run = labels[start..].iter().take_while(|other| **other == labels[start]).count();
        if labels[start] == label && run < shortest && start > 0 && start + run < labels.len() {
            labels[start..start + run].fill(!label);
        }
        start += run;
    }
}

//! How well speech is told from noise, and what that costs. `cargo xtask bench voice` fetches the recordings and runs it; by hand it is
//! `cargo run --release -p audio --example bench_voice -- FOLDER [--json] [--tuning]`.
//!
//! **Sound.** Seven voices of people, recorded without noise, say a sentence or a few at -26 dBFS, with pauses of one to three seconds, in a
//! room with noise of -65 dBFS. To that a noise is added. How loud speech and noise are is the mean power of those of their frames of 16 ms
//! that are at most 20 dB softer than the loudest: so keys at 10 dB are keys whose clicks are 10 dB softer than the voice, however seldom
//! they come. Keys, door and fan are made (`noise.rs`), music is recorded.
//!
//! **Labels** come from the recordings alone, by frames of 16 ms: speech is what is at most 25 dB softer than their loud frames; islands of
//! less than 64 ms are none, and pauses of less than 600 ms are part of what is said, since no detector is to end an utterance there.
//!
//! **Detectors.** The relay's own is the last one. The one before it is the same without the gate: it listens to all that is louder than -60 dBFS.
//! The first one (`energy.rs`) knows nothing of voices.
//!
//! **Figures.** *Missed* is the part of the frames of speech that are in nothing that the detector found, *false* the part of the other
//! frames that are in something it found, and F1 the harmonic mean of precision and recall. Pre-roll is off. *Told* is how long after the
//! beginning of an utterance the detector said so: the median, and the 95th percentile.
//!
//! Constants are chosen with `--tuning`, which uses one half of the recordings; without it the other half is used.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints a table")]

mod contenders;
mod energy;
mod noise;
mod recordings;
mod scene;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use contenders::CONTENDERS;
use noise::Noise;
use scene::{FRAME, Scene};

/// How much softer than the voice a noise is, in dB.
const LEVELS: [f32; 3] = [20.0, 10.0, 5.0];

fn main() -> ExitCode {
    let (options, folders): (Vec<_>, Vec<_>) =
        std::env::args().skip(1).partition(|argument| argument.starts_with("--"));
    let has = |option: &str| options.iter().any(|other| other == option);
    let [folder] = &folders[..] else {
        eprintln!("give the folder of the recordings: `cargo xtask bench voice` fetches them and does that");
        return ExitCode::FAILURE;
    };
    match run(Path::new(folder), has("--json"), has("--tuning")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(folder: &Path, json: bool, for_tuning: bool) -> Result<(), Box<dyn Error>> {
    let voices = recordings::voices(folder)?;
    let music = recordings::music(folder)?;
    let scenes: Vec<Scene> =
        (1..).zip(&voices).map(|(seed, voice)| Scene::new(voice, seed, for_tuning)).collect();
    let noises = Noise::ALL.into_iter().flat_map(|noise| LEVELS.map(|level| Some((noise, level))));
    let rows: Vec<Row> =
        std::iter::once(None).chain(noises).map(|noise| Row::of(noise, &scenes, &music)).collect();
    let costs = costs(&scenes[0], &music);
    if json {
        print_json(&rows, &costs);
    } else {
        print_voices(&scenes);
        print_table(&rows);
        print_costs(&costs);
    }
    Ok(())
}

/// What the contenders made of one noise, all voices together.
struct Row {
    name: String,
    figures: Vec<Figures>,
}

#[derive(Clone, Debug, Default)]
struct Figures {
    speech: u32,
    missed: u32,
    silence: u32,
    falsely: u32,
    utterances: u32,
    /// Utterances of which less than half was found.
    lost: u32,
    /// How long after its beginning each utterance was told, in ms.
    told: Vec<f32>,
}

impl Row {
    fn of(noise: Option<(Noise, f32)>, scenes: &[Scene], music: &[Vec<f32>]) -> Row {
        let name = noise.map_or("none".to_owned(), |(noise, level)| format!("{}, {level} dB", noise.name()));
        let mut figures = vec![Figures::default(); CONTENDERS.len()];
        for scene in scenes {
            let heard = scene.heard(noise, music);
            for (figures, (_, make)) in figures.iter_mut().zip(CONTENDERS) {
                figures.add(&scene.labels, &contenders::found(&mut make(), &heard));
            }
        }
        for figures in &mut figures {
            figures.told.sort_by(f32::total_cmp);
        }
        Row { name, figures }
    }
}

impl Figures {
    fn add(&mut self, labels: &[bool], found: &[contenders::Found]) {
        let mut frames = vec![false; labels.len()];
        for found in found {
            let (start, end) = (found.start / FRAME, found.end.div_ceil(FRAME).min(labels.len()));
            frames[start.min(end)..end].fill(true);
        }
        for (is_speech, is_found) in labels.iter().zip(&frames) {
            *(if *is_speech { &mut self.speech } else { &mut self.silence }) += 1;
            self.missed += u32::from(*is_speech && !is_found);
            self.falsely += u32::from(!is_speech && *is_found);
        }
        for utterance in labels.chunk_by(|one, next| one == next).scan(0, |at, run| {
            *at += run.len();
            Some((*at - run.len(), *at, run[0]))
        }) {
            let (start, end, true) = utterance else { continue };
            self.utterances += 1;
            let heard = frames[start..end].iter().filter(|found| **found).count();
            self.lost += u32::from(heard * 2 < end - start);
            let told = found.iter().map(|found| found.told).find(|told| *told > start * FRAME);
            if let Some(told) = told.filter(|told| *told <= end * FRAME) {
                self.told.push((told - start * FRAME) as f32 / 16.0);
            }
        }
    }

    fn missed(&self) -> f64 {
        f64::from(self.missed) / f64::from(self.speech)
    }

    fn falsely(&self) -> f64 {
        f64::from(self.falsely) / f64::from(self.silence)
    }

    fn f1(&self) -> f64 {
        let right = 2.0 * f64::from(self.speech - self.missed);
        right / (right + f64::from(self.missed) + f64::from(self.falsely))
    }

    fn told(&self, percent: usize) -> f32 {
        self.told.get(self.told.len() * percent / 100).copied().unwrap_or(f32::NAN)
    }

    fn print(&self) {
        print!(
            " | {:>6.1} {:>6.1} {:>6.3} {:>4.0} {:>4.0} {:>4}",
            100.0 * self.missed(),
            100.0 * self.falsely(),
            self.f1(),
            self.told(50),
            self.told(95),
            self.lost
        );
    }

    fn to_json(&self) -> String {
        format!(
            "{{\"missed\":{:.4},\"false\":{:.4},\"f1\":{:.4},\"told_ms_p50\":{:.0},\"told_ms_p95\":{:.0},\"utterances\":{},\"lost\":{}}}",
            self.missed(),
            self.falsely(),
            self.f1(),
            self.told(50),
            self.told(95),
            self.utterances,
            self.lost
        )
    }

    fn and(mut self, other: &Figures) -> Figures {
        self.speech += other.speech;
        self.missed += other.missed;
        self.silence += other.silence;
        self.falsely += other.falsely;
        self.utterances += other.utterances;
        self.lost += other.lost;
        self.told.extend(&other.told);
        self.told.sort_by(f32::total_cmp);
        self
    }
}

/// What a sound costs each contender, in nanoseconds a frame of 16 ms.
struct Cost {
    name: &'static str,
    nanoseconds: Vec<f64>,
}

fn costs(scene: &Scene, music: &[Vec<f32>]) -> Vec<Cost> {
    let second = 16_000;
    let quiet: Vec<i16> = scene.quiet(20 * second);
    let of = |noise| scene.heard(noise, music).into_iter().take(60 * second).collect::<Vec<_>>();
    [
        ("digital silence", vec![0; 20 * second]),
        ("a quiet room", quiet),
        ("a voice half of the time", of(None)),
        ("the same with a fan, 10 dB", of(Some((Noise::Fan, 10.0)))),
        ("the same with music, 10 dB", of(Some((Noise::Music, 10.0)))),
    ]
    .into_iter()
    .map(|(name, sound)| Cost {
        name,
        nanoseconds: CONTENDERS.iter().map(|(_, make)| contenders::nanoseconds(*make, &sound)).collect(),
    })
    .collect()
}

fn print_voices(scenes: &[Scene]) {
    let parts = scenes.iter().map(|scene| {
        let speech = scene.labels.iter().filter(|label| **label).count();
        format!("{} ({:.0} s of {:.0})", scene.name, speech as f64 * 0.016, scene.labels.len() as f64 * 0.016)
    });
    println!("voices: {}\n", parts.collect::<Vec<_>>().join("; "));
}

fn print_table(rows: &[Row]) {
    print!("{:<20}", "");
    for (name, _) in CONTENDERS {
        print!(" | {name:<35}");
    }
    print!("\n{:<20}", "noise");
    for _ in CONTENDERS {
        print!(" | missed  false     F1     told   lost");
    }
    print!("\n{:<20}", "");
    for _ in CONTENDERS {
        print!(" |      %      %          ms  95%       ");
    }
    println!();
    for row in rows {
        print!("{:<20}", row.name);
        row.figures.iter().for_each(Figures::print);
        println!();
    }
    print!("{:<20}", "all");
    all(rows).iter().for_each(Figures::print);
    println!("\n");
}

fn all(rows: &[Row]) -> Vec<Figures> {
    (0..CONTENDERS.len())
        .map(|which| rows.iter().fold(Figures::default(), |sum, row| sum.and(&row.figures[which])))
        .collect()
}

fn print_costs(costs: &[Cost]) {
    println!("microseconds a second of sound, and in brackets the part of a core that 1,000 calls take");
    for Cost { name, nanoseconds } in costs {
        print!("{name:<28}");
        for ((contender, _), nanoseconds) in CONTENDERS.iter().zip(nanoseconds) {
            let (micros, percent) = (micros_a_second(*nanoseconds), core_percent(*nanoseconds));
            print!(" | {contender}: {micros:>5.0} ({percent:>4.1} %)");
        }
        println!();
    }
}

/// What a second of sound takes, in microseconds.
fn micros_a_second(nanoseconds: f64) -> f64 {
    nanoseconds * 1e-3 / 0.016
}

/// What 1,000 calls take of a core, in percent.
fn core_percent(nanoseconds: f64) -> f64 {
    nanoseconds * 1_000.0 / 16e6 * 100.0
}

fn print_json(rows: &[Row], costs: &[Cost]) {
    let by_name = |figures: &[Figures]| {
        let figures = CONTENDERS
            .iter()
            .zip(figures)
            .map(|((name, _), figures)| format!("\"{name}\":{}", figures.to_json()));
        figures.collect::<Vec<_>>().join(",")
    };
    let all = Row { name: "all".to_owned(), figures: all(rows) };
    let rows: Vec<_> = rows
        .iter()
        .chain([&all])
        .map(|row| format!("{{\"noise\":\"{}\",{}}}", row.name, by_name(&row.figures)))
        .collect();
    let costs: Vec<_> = costs
        .iter()
        .map(|cost| {
            let figures = CONTENDERS.iter().zip(&cost.nanoseconds);
            let figures: Vec<_> =
                figures.map(|((name, _), figure)| format!("\"{name}\":{figure:.0}")).collect();
            format!("{{\"sound\":\"{}\",{}}}", cost.name, figures.join(","))
        })
        .collect();
    println!(
        "{{\"noises\":[\n  {}\n],\"ns_per_frame\":[\n  {}\n]}}",
        rows.join(",\n  "),
        costs.join(",\n  ")
    );
}

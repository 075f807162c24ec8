//! How good and how fast the resampler is, beside others. Run it with
//! `cargo run --release -p audio --example bench_audio [-- --json]`. It fails, after all is printed, if ours misses a goal.
//!
//! The others are configured as one would for a live microphone:
//! - rubato `Fft`, the crate's advice for a fixed ratio: `Fft::new_custom` with 1,024 samples a chunk in one block. (`Fft::new` cuts the chunk into
//!   four, which saves 24 ms of delay from 48 kHz and costs 14 dB at 7 kHz.)
//! - rubato `Sinc`, its choice for little delay: `Async::new_sinc` with 160 taps, as many as ours, Blackman-Harris window, the cutoff
//!   that rubato derives from both, 256-fold oversampling, cubic, 128 samples a chunk.
//! - linear: interpolation between the two nearest samples, what a worklet of ten lines does.
#![expect(clippy::print_stdout, reason = "a program that prints a table")]

#[path = "../tests/measure/mod.rs"]
mod measure;

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

use audio::{Hz, Resampler, SPEECH_RATE};
use measure::{Figures, Ours, Stream, goal, tone};
use rubato::audioadapter_buffers::direct::SequentialSlice;
use rubato::{Async, Fft, FixedAsync, FixedSync, Indexing, SincInterpolationParameters, WindowFunction};

/// Times real time on one core. The figures above it have their goals in `measure`.
const SPEED_GOAL: f64 = 1_500.0;

fn main() -> ExitCode {
    let json = std::env::args().any(|argument| argument == "--json");
    let reports: Vec<Report> =
        [48_000, 44_100].into_iter().flat_map(|from| CONTENDERS.map(|make| Report::of(from, make))).collect();
    if json {
        let rows: Vec<String> = reports.iter().map(Report::to_json).collect();
        println!("[\n  {}\n]", rows.join(",\n  "));
    } else {
        for table in reports.chunks(CONTENDERS.len()) {
            print_table(table);
        }
    }
    let rows = rows();
    let mut ours = reports.chunks(CONTENDERS.len()).map(|table| &table[0]);
    let is_good = ours.all(|report| rows.iter().all(|row| (row.is_enough)(report)));
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

type Make = fn(Hz) -> (&'static str, Box<dyn Stream>);

const CONTENDERS: [Make; 4] = [
    |from| ("ours", Box::new(Ours(resampler(from)))),
    |from| ("rubato Fft", Box::new(Rubato::fft(from))),
    |from| ("rubato Sinc", Box::new(Rubato::sinc(from))),
    |from| ("linear", Box::new(Linear::new(from))),
];

struct Report {
    from: u32,
    name: &'static str,
    figures: Figures,
    times_real_time: f64,
}

impl Report {
    fn of(from: u32, make: Make) -> Self {
        let from_hz = Hz(from);
        let stream = || make(from_hz).1;
        Self {
            from,
            name: make(from_hz).0,
            figures: Figures::of(from_hz, SPEECH_RATE, 10, &stream),
            times_real_time: times_real_time(from_hz, make),
        }
    }

    fn to_json(&self) -> String {
        let Figures { alias_dbfs, alias_at_hz, ripple_db, delay_ms, sinad_db, pitch_ppm, lost_samples } =
            self.figures;
        format!(
            "{{\"from_hz\":{},\"to_hz\":{},\"resampler\":\"{}\",\"alias_dbfs\":{alias_dbfs:.2},\"alias_at_hz\":{alias_at_hz},\
             \"ripple_db\":{ripple_db:.5},\"delay_ms\":{delay_ms:.4},\"sinad_db\":{sinad_db:.3},\"pitch_ppm\":{pitch_ppm:.9},\
             \"lost_samples\":{lost_samples},\"times_real_time\":{:.0}}}",
            self.from, SPEECH_RATE.0, self.name, self.times_real_time
        )
    }
}

/// A line of the table.
struct Row {
    label: &'static str,
    goal: String,
    figure: fn(&Report) -> String,
    /// Whether the goal is reached, which only ours has to.
    is_enough: fn(&Report) -> bool,
}

fn rows() -> [Row; 8] {
    [
        Row {
            label: "worst alias from 8.5 kHz (dBFS)",
            goal: format!("<= {}", goal::ALIAS_DBFS),
            figure: |r| format!("{:.1}", r.figures.alias_dbfs),
            is_enough: |r| r.figures.alias_dbfs <= goal::ALIAS_DBFS,
        },
        Row {
            label: "  at (Hz)",
            goal: String::new(),
            figure: |r| r.figures.alias_at_hz.to_string(),
            is_enough: |_| true,
        },
        Row {
            label: "ripple to 7 kHz (dB)",
            goal: format!("<= {}", goal::RIPPLE_DB),
            figure: |r| format!("{:.4}", r.figures.ripple_db),
            is_enough: |r| r.figures.ripple_db <= goal::RIPPLE_DB,
        },
        Row {
            label: "delay (ms)",
            goal: format!("<= {}", goal::DELAY_MS),
            figure: |r| format!("{:.3}", r.figures.delay_ms),
            is_enough: |r| r.figures.delay_ms <= goal::DELAY_MS,
        },
        Row {
            label: "SINAD, 997 Hz, 16 bits (dB)",
            goal: format!(">= {}", goal::SINAD_DB),
            figure: |r| format!("{:.2}", r.figures.sinad_db),
            is_enough: |r| r.figures.sinad_db >= goal::SINAD_DB,
        },
        Row {
            label: "pitch error (ppm)",
            goal: format!("<= {:.0e}", goal::PITCH_PPM),
            figure: |r| format!("{:.7}", r.figures.pitch_ppm.abs()),
            is_enough: |r| r.figures.pitch_ppm.abs() <= goal::PITCH_PPM,
        },
        Row {
            label: "lost samples in 20 s",
            goal: "0".to_owned(),
            figure: |r| r.figures.lost_samples.to_string(),
            is_enough: |r| r.figures.lost_samples == 0,
        },
        Row {
            label: "times real time, one core",
            goal: format!(">= {SPEED_GOAL}"),
            figure: |r| format!("{:.0}", r.times_real_time),
            is_enough: |r| r.times_real_time >= SPEED_GOAL,
        },
    ]
}

fn print_table(reports: &[Report]) {
    println!("{} Hz to {} Hz", reports[0].from, SPEECH_RATE.0);
    let head: String = reports.iter().map(|report| format!("{:>14}", report.name)).collect();
    println!("{:<34}{:>10}{head}", "", "goal");
    for Row { label, goal, figure, is_enough } in rows() {
        let figures: String = reports.iter().map(|report| format!("{:>14}", figure(report))).collect();
        let said = if is_enough(&reports[0]) { "" } else { "  NOT REACHED" };
        println!("{label:<34}{goal:>10}{figures}{said}");
    }
    println!();
}

/// The best of several runs over 20 seconds in the 128-sample blocks of an AudioWorklet: other programs can only slow it down.
#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn times_real_time(from: Hz, make: Make) -> f64 {
    let seconds = 20.0;
    let input = tone(from, 997.0, 0.5, seconds);
    let mut output = Vec::with_capacity(input.len());
    let mut best = f64::INFINITY;
    for _ in 0..15 {
        let mut stream = make(from).1;
        output.clear();
        let start = Instant::now();
        for block in input.chunks(128) {
            stream.feed(black_box(block), &mut output);
        }
        best = best.min(start.elapsed().as_secs_f64());
        black_box(&output);
    }
    seconds / best
}

fn resampler(from: Hz) -> Resampler {
    Resampler::new(from, SPEECH_RATE).expect("both rates are supported")
}

/// Collects what rubato wants at once. Its output starts with its delay, which is cut off as its own `process_all` does.
struct Rubato {
    inner: Box<dyn rubato::Resampler<f32>>,
    waiting: Vec<f32>,
    produced: Vec<f32>,
    taken: u64,
    made: u64,
    to_trim: usize,
    from: Hz,
}

impl Rubato {
    fn fft(from: Hz) -> Self {
        let (from_hz, to_hz) = (from.0 as usize, SPEECH_RATE.0 as usize);
        let fft =
            Fft::new_custom(from_hz, to_hz, 1024, 1, 1, WindowFunction::BlackmanHarris2, FixedSync::Input);
        Self::new(from, Box::new(fft.expect("both rates are supported")))
    }

    fn sinc(from: Hz) -> Self {
        let parameters =
            SincInterpolationParameters::new(160, WindowFunction::BlackmanHarris).oversampling_factor(256);
        let ratio = f64::from(SPEECH_RATE.0) / f64::from(from.0);
        let sinc = Async::new_sinc(ratio, 1.0, &parameters, 128, 1, FixedAsync::Input);
        Self::new(from, Box::new(sinc.expect("the parameters are in range")))
    }

    fn new(from: Hz, inner: Box<dyn rubato::Resampler<f32>>) -> Self {
        let to_trim = inner.output_delay();
        let produced = vec![0.0; inner.output_frames_max()];
        Self { inner, waiting: Vec::new(), produced, taken: 0, made: 0, to_trim, from }
    }

    fn one_chunk(&mut self, partial: Option<usize>, output: &mut Vec<f32>) {
        let needed = self.inner.input_frames_next();
        self.waiting.resize(self.waiting.len().max(needed), 0.0);
        let room = self.produced.len();
        let input =
            SequentialSlice::new(&self.waiting[..needed], 1, needed).expect("one channel of that length");
        let mut made =
            SequentialSlice::new_mut(&mut self.produced, 1, room).expect("one channel of that length");
        let indexing = partial.map(|count| Indexing::new().partial_len(count));
        let (_, written) = self
            .inner
            .process_into_buffer(&input, &mut made, indexing.as_ref())
            .expect("the sizes it asked for");
        self.waiting.drain(..needed);
        let cut = self.to_trim.min(written);
        self.to_trim -= cut;
        self.made += (written - cut) as u64;
        output.extend_from_slice(&self.produced[cut..written]);
    }
}

impl Stream for Rubato {
    fn feed(&mut self, input: &[f32], output: &mut Vec<f32>) {
        self.taken += input.len() as u64;
        self.waiting.extend_from_slice(input);
        while self.waiting.len() >= self.inner.input_frames_next() {
            self.one_chunk(None, output);
        }
    }

    fn finish(&mut self, output: &mut Vec<f32>) {
        let expected = (self.taken * u64::from(SPEECH_RATE.0)).div_ceil(u64::from(self.from.0));
        while self.made < expected {
            let partial = self.waiting.len();
            self.one_chunk(Some(partial), output);
        }
        let surplus = (self.made - expected) as usize;
        output.truncate(output.len() - surplus);
    }
}

struct Linear {
    from: u64,
    /// The last two samples; how many came; how many went.
    last: [f32; 2],
    taken: u64,
    made: u64,
}

impl Linear {
    fn new(from: Hz) -> Self {
        Self { from: u64::from(from.0), last: [0.0; 2], taken: 0, made: 0 }
    }
}

impl Stream for Linear {
    fn feed(&mut self, input: &[f32], output: &mut Vec<f32>) {
        let to = u64::from(SPEECH_RATE.0);
        for &sample in input {
            self.last = [self.last[1], sample];
            self.taken += 1;
            // The next output lies at made * from / to inputs; it needs the sample at or after it.
            while self.made * self.from <= (self.taken - 1) * to {
                let past = ((self.taken - 1) * to - self.made * self.from) as f32 / to as f32;
                output.push(self.last[1] + (self.last[0] - self.last[1]) * past);
                self.made += 1;
            }
        }
    }

    fn finish(&mut self, output: &mut Vec<f32>) {
        if self.made * self.from < self.taken * u64::from(SPEECH_RATE.0) {
            self.feed(&[0.0], output);
        }
    }
}

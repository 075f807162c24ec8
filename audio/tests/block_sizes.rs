//! A stream gives the same bits whatever the sizes of the blocks it arrives in.

use audio::{Chunker, Hz, Level, LevelMeter, PlayoutBuffer, Resampler, VoiceActivity, VoiceEvent};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// A generator of repeatable noise and of block sizes.
struct Random(u32);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.0 >> 8
    }

    fn sample(&mut self) -> f32 {
        self.next() as f32 / 8_388_608.0 - 1.0
    }
}

/// Noise that comes and goes like words.
fn stream(count: usize) -> Vec<f32> {
    let mut random = Random(1);
    (0..count).map(|n| random.sample() * if n / 20_000 % 2 == 1 { 0.3 } else { 0.002 }).collect()
}

/// A buzz of 120 Hz that swells like vowels, comes and goes like words.
fn words(count: usize) -> Vec<f32> {
    let buzz = |t: f32| (1..12).map(|h| (t * 753.98 * h as f32).sin() / h as f32).sum::<f32>();
    let voice = |t: f32| 0.2 * buzz(t) * (0.6 + 0.4 * (t * 25.0).sin());
    (0..count).map(|n| if n / 20_000 % 2 == 1 { voice(n as f32 / 16_000.0) } else { 0.0 }).collect()
}

/// The ways a stream may be cut: into ones, quanta, odd blocks, large blocks, and random ones that may be empty.
fn cuts(stream: &[f32]) -> Vec<Vec<&[f32]>> {
    let mut all: Vec<Vec<&[f32]>> = [1, 128, 441, 4_096].map(|size| stream.chunks(size).collect()).into();
    let mut random = Random(2);
    let mut rest = stream;
    let mut cut = Vec::new();
    while !rest.is_empty() {
        let (now, later) = rest.split_at((random.next() as usize % 700).min(rest.len()));
        cut.push(now);
        rest = later;
    }
    all.push(cut);
    all
}

/// Asserts that `run` makes the same of all cuts.
fn same_for_all_cuts<T: PartialEq + std::fmt::Debug>(stream: &[f32], run: impl Fn(&[&[f32]]) -> T) {
    let expected = run(&[stream]);
    for (number, cut) in cuts(stream).iter().enumerate() {
        assert!(run(cut) == expected, "cut number {number} makes a difference");
    }
}

#[test]
fn the_resampler_gives_the_same_bits() {
    for (from, to) in
        [(48_000, 16_000), (44_100, 16_000), (44_101, 16_000), (24_000, 48_000), (16_000, 16_000)]
    {
        same_for_all_cuts(&stream(30_000), |cut| {
            let mut resampler = Resampler::new(Hz(from), Hz(to)).expect("supported rates");
            let mut output = vec![0.0; resampler.max_output(30_000)];
            let mut all = Vec::new();
            for block in cut {
                let written = resampler.process(block, &mut output);
                all.extend(output[..written].iter().map(|sample| sample.to_bits()));
            }
            let written = resampler.flush(&mut output);
            all.extend(output[..written].iter().map(|sample| sample.to_bits()));
            all
        });
    }
}

#[test]
fn the_chunker_gives_the_same_chunks() {
    same_for_all_cuts(&stream(30_000), |cut| {
        let mut chunker = Chunker::new(1_600);
        let mut chunks: Vec<Vec<i16>> = Vec::new();
        for block in cut {
            chunker.push(block, |chunk| chunks.push(chunk.to_vec()));
        }
        chunker.flush(|chunk| chunks.push(chunk.to_vec()));
        chunks
    });
}

#[test]
fn the_level_meter_gives_the_same_level() {
    same_for_all_cuts(&stream(30_000), |cut| {
        let mut meter = LevelMeter::new();
        for block in cut {
            meter.push(block);
        }
        let Level { rms, peak } = meter.take();
        (rms.to_bits(), peak.to_bits())
    });
}

#[test]
fn voice_activity_gives_the_same_events() {
    let run = |cut: &[&[f32]]| {
        let mut detector = VoiceActivity::default();
        let mut events: Vec<VoiceEvent> = Vec::new();
        for block in cut {
            detector.push(block, |event| events.push(event));
        }
        events
    };
    let stream = words(120_000);
    assert!(run(&[&stream]).len() >= 4, "the stream has words");
    same_for_all_cuts(&stream, run);
}

#[test]
fn the_playout_buffer_plays_the_same_samples() {
    same_for_all_cuts(&stream(30_000), |cut| {
        let mut buffer = PlayoutBuffer::new(Hz(16_000), 100, 2_000);
        let mut position = 0;
        for block in cut {
            assert_eq!(buffer.push(position, block), block.len());
            position += block.len() as u64;
        }
        buffer.end_of_reply();
        let mut random = Random(cut.len() as u32);
        let mut heard = Vec::new();
        while buffer.queued() > 0 {
            let mut out = vec![0.0; random.next() as usize % 300];
            let filled = buffer.pull(&mut out);
            heard.extend(out[..filled].iter().map(|sample| sample.to_bits()));
        }
        heard
    });
}

//! A WAV file to 16 kHz, the way a browser's microphone gets there:
//! `cargo run --release -p audio --example resample -- IN.wav OUT.wav`.
//!
//! IN is 16-bit integer or 32-bit float at 8 to 192 kHz; several channels are averaged into one. It goes through
//! `audio::Resampler` in blocks of 128 samples, and OUT is what comes out: 16 kHz mono, 32-bit float, `ceil(samples * 16,000 / rate)`
//! samples. Nothing is trimmed or shifted: the resampler keeps both files aligned, sample 0 with sample 0. Its delay
//! (printed) is how long it waited for each sample's future, which a file cannot show.
#![expect(clippy::print_stdout, reason = "a program that reports to a person")]

use std::error::Error;
use std::process::ExitCode;

use audio::{Hz, Resampler, SPEECH_RATE};
use hound::{SampleFormat, WavReader, WavSpec, WavWriter};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [input, output] = arguments.as_slice() else {
        return fail("usage: resample IN.wav OUT.wav");
    };
    match resample(input, output) {
        Ok(summary) => {
            println!("{summary}");
            ExitCode::SUCCESS
        }
        Err(message) => fail(&message),
    }
}

fn resample(input: &str, output: &str) -> Result<String, String> {
    let mut reader = WavReader::open(input).map_err(|error| format!("cannot read {input}: {error}"))?;
    let from = Hz(reader.spec().sample_rate);
    let mono = read_mono(&mut reader).map_err(|error| format!("cannot read {input}: {error}"))?;
    let mut resampler = Resampler::new(from, SPEECH_RATE).map_err(|error| format!("{input}: {error}"))?;
    let delay_ms = 1_000.0 * resampler.delay_seconds();
    let written =
        write(&mut resampler, &mono, output).map_err(|error| format!("cannot write {output}: {error}"))?;
    Ok(format!(
        "{} samples at {} Hz to {written} at {} Hz; delay in real time {delay_ms:.3} ms",
        mono.len(),
        from.0,
        SPEECH_RATE.0
    ))
}

fn read_mono(reader: &mut WavReader<impl std::io::Read>) -> Result<Vec<f32>, Box<dyn Error>> {
    let spec = reader.spec();
    let interleaved: Vec<f32> = match (spec.sample_format, spec.bits_per_sample) {
        (SampleFormat::Int, 16) => {
            reader.samples::<i16>().map(|sample| sample.map(audio::i16_to_f32)).collect::<Result<_, _>>()?
        }
        (SampleFormat::Float, 32) => reader.samples::<f32>().collect::<Result<_, _>>()?,
        (format, bits) => {
            return Err(format!("{bits}-bit {format:?} samples; use 16-bit Int or 32-bit Float").into());
        }
    };
    let channels = usize::from(spec.channels);
    Ok(interleaved.chunks_exact(channels).map(|frame| frame.iter().sum::<f32>() / channels as f32).collect())
}

fn write(resampler: &mut Resampler, mono: &[f32], path: &str) -> Result<u32, hound::Error> {
    let spec = WavSpec {
        channels: 1,
        sample_rate: SPEECH_RATE.0,
        bits_per_sample: 32,
        sample_format: SampleFormat::Float,
    };
    let mut writer = WavWriter::create(path, spec)?;
    let mut resampled = vec![0.0; resampler.max_output(128.max(resampler.delay_samples()))];
    for block in mono.chunks(128) {
        let count = resampler.process(block, &mut resampled);
        write_all(&mut writer, &resampled[..count])?;
    }
    let count = resampler.flush(&mut resampled);
    write_all(&mut writer, &resampled[..count])?;
    let written = writer.len();
    writer.finalize()?;
    Ok(written)
}

fn write_all(
    writer: &mut WavWriter<impl std::io::Write + std::io::Seek>,
    samples: &[f32],
) -> Result<(), hound::Error> {
    samples.iter().try_for_each(|&sample| writer.write_sample(sample))
}

#[expect(clippy::print_stderr, reason = "a program that reports to a person")]
fn fail(message: &str) -> ExitCode {
    eprintln!("{message}");
    ExitCode::FAILURE
}

//! WAV files in and out.

use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};

use audio::{Error, Hz, Resampler, SPEECH_RATE, f32_to_i16};
use hound::{SampleFormat, WavReader, WavSpec, WavWriter};

use super::HEARD_RATE;

/// Why a WAV file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WavError {
    /// It cannot be read, or is no WAV file.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: hound::Error,
    },
    /// It is a WAV file whose audio is in a form that is not read.
    #[error(
        "cannot read {path}: its audio is {form}; PCM of 8, 16, 24 or 32 bits and 32-bit float are read. \
         `ffmpeg -i IN -c:a pcm_s16le OUT.wav` makes such a file of it"
    )]
    Form {
        /// The file.
        path: PathBuf,
        /// What it is.
        form: String,
    },
    /// Its rate cannot be brought to 16 kHz.
    #[error("cannot use {path}: {source}")]
    Rate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Error,
    },
    /// It cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: hound::Error,
    },
}

/// The path that stands for standard input.
const STANDARD_INPUT: &str = "-";
/// A program that writes to a pipe, or is ended in the middle, says 0 or some length that is larger than any file.
const UNKNOWN_LENGTH: u32 = 0;
/// Forms of audio in a WAV file (the `wFormatTag` of RFC 2361) by their names; the first two are read.
const FORMS: [(u16, &str); 12] = [
    (PCM, "PCM"),
    (FLOAT, "float"),
    (0x02, "Microsoft ADPCM"),
    (0x06, "A-law"),
    (0x07, "mu-law"),
    (0x11, "IMA ADPCM"),
    (0x31, "GSM 6.10"),
    (0x45, "G.726 ADPCM"),
    (0x50, "MPEG"),
    (0x55, "MP3"),
    (0xff, "AAC"),
    (0x2000, "AC-3"),
];
const PCM: u16 = 1;
const FLOAT: u16 = 3;
/// Says that the form stands further behind, at the begin of a GUID.
const EXTENSIBLE: u16 = 0xfffe;

/// Reads the first channel of a WAV file (integer or float, 8 to 192 kHz) as mono 16 kHz; of standard input if the path is `-`. What was
/// written by way of a pipe, or is cut off, is read to its end, whatever its head says about its length.
///
/// # Errors
/// When it cannot be read, has no audio, its audio is compressed or of another width, or its rate is not between 8 and 192 kHz.
pub fn read_speech(path: &Path) -> Result<Vec<i16>, WavError> {
    let read = |source| WavError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    if path.as_os_str() == STANDARD_INPUT {
        io::stdin().lock().read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut bytes))
    }
    .map_err(|error| match path.is_dir() {
        true => read(io::Error::other("it is a folder").into()),
        false => read(error.into()),
    })?;
    let (format, audio) = parts(&bytes).map_err(|says| read(hound::Error::FormatError(says)))?;
    let form = form(format);
    let not_read = |form: &str| WavError::Form { path: path.to_owned(), form: form.to_owned() };
    let form = form.map_err(|form| not_read(&form))?;
    let read = |error| match error {
        hound::Error::Unsupported => not_read(&form),
        source => WavError::Read { path: path.to_owned(), source },
    };
    let whole = rewrite(format, audio).map_err(|says| read(hound::Error::FormatError(says)))?;
    drop(bytes);
    let mut reader = WavReader::new(Cursor::new(whole)).map_err(read)?;
    let spec = reader.spec();
    let channels = usize::from(spec.channels);
    let samples: Result<Vec<f32>, _> = match spec.sample_format {
        SampleFormat::Float => reader.samples::<f32>().step_by(channels).collect(),
        SampleFormat::Int => {
            let scale = 1.0 / (1_i64 << (spec.bits_per_sample - 1)) as f32;
            reader
                .samples::<i32>()
                .step_by(channels)
                .map(|sample| sample.map(|value| value as f32 * scale))
                .collect()
        }
    };
    let samples = samples.map_err(read)?;
    let mut resampler = Resampler::new(Hz(spec.sample_rate), SPEECH_RATE)
        .map_err(|source| WavError::Rate { path: path.to_owned(), source })?;
    let mut output = vec![0.0; resampler.max_output(samples.len())];
    let written = resampler.process(&samples, &mut output);
    output.truncate(written);
    let mut tail = vec![0.0; resampler.max_output(resampler.delay_samples())];
    let flushed = resampler.flush(&mut tail);
    output.extend_from_slice(&tail[..flushed]);
    Ok(output.into_iter().map(f32_to_i16).collect())
}

/// What the head says about the form of the audio, and all of the audio that there is.
fn parts(bytes: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
    let word = |at: usize| word(bytes, at);
    let is_riff = matches!(bytes.get(..4), Some(b"RIFF" | b"RF64" | b"BW64"));
    if !is_riff || bytes.get(8..12) != Some(b"WAVE") {
        return Err("it is no WAV file");
    }
    let (mut format, mut long_length, mut at) = (None, None, 12);
    while let (Some(id), Some(length)) = (bytes.get(at..at + 4), word(at + 4)) {
        let rest = &bytes[at + 8..];
        match id {
            b"fmt " => format = rest.get(..length as usize),
            // Of files beyond 4 GB: the length of the whole, then that of the data.
            b"ds64" => long_length = word(at + 16),
            b"data" => {
                let format = format.ok_or("its head does not say what kind of audio it is")?;
                let length = long_length.filter(|_| length == u32::MAX).unwrap_or(length);
                // A file can be whole and have no audio: then pieces follow, and nothing besides.
                let is_unknown = length == UNKNOWN_LENGTH && !are_pieces(rest);
                let audio = if is_unknown { rest } else { rest.get(..length as usize).unwrap_or(rest) };
                return Ok((format, audio));
            }
            _ => {}
        }
        at = at.saturating_add(8).saturating_add(length as usize);
        // A piece of odd length is filled up with a zero, unless its writer forgot to.
        at += usize::from(length % 2 == 1 && bytes.get(at) == Some(&0));
    }
    Err("there is no audio in it")
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map(u32::from_le_bytes)
}

/// Whether these bytes are pieces of a file, each with a name and its length, to the last byte.
fn are_pieces(mut bytes: &[u8]) -> bool {
    while let (Some(id), Some(length)) = (bytes.get(..4), word(bytes, 4)) {
        let end = (length as usize).checked_add(8 + length as usize % 2);
        let rest = end.and_then(|end| bytes.get(end..));
        let Some(rest) = rest.filter(|_| id.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' '))
        else {
            return false;
        };
        bytes = rest;
    }
    bytes.is_empty()
}

/// What kind of audio it is by its head, in words; as an error if it is of a kind that is not read.
fn form(format: &[u8]) -> Result<String, String> {
    let number =
        |at: usize| format.get(at..at + 2).map_or(0, |bytes| u16::from_le_bytes([bytes[0], bytes[1]]));
    let tag = if number(0) == EXTENSIBLE { number(24) } else { number(0) };
    let bits = number(14);
    let name = FORMS.iter().find(|(number, _)| *number == tag).map(|(_, name)| *name);
    let is_read = matches!((tag, bits), (PCM, 8 | 16 | 24 | 32) | (FLOAT, 32));
    let words = match name {
        Some(name) if matches!(tag, PCM | FLOAT) => format!("{bits}-bit {name}"),
        Some(name) => name.to_owned(),
        None => format!("of the form {tag:#x}"),
    };
    if is_read { Ok(words) } else { Err(words) }
}

/// The same audio with a head that is right about its length, and nothing besides.
fn rewrite(format: &[u8], audio: &[u8]) -> Result<Vec<u8>, &'static str> {
    // What may come after the 16 bytes of plain PCM says nothing.
    let format = if format.starts_with(&[1, 0]) { format.get(..16).unwrap_or(format) } else { format };
    let frame = format.get(12..14).map_or(0, |align| usize::from(u16::from_le_bytes([align[0], align[1]])));
    // What is cut off may end in the middle of a sample.
    let audio = audio.len().checked_rem(frame).and_then(|over| audio.get(..audio.len() - over));
    let audio = audio.ok_or("its head does not say how long a sample is")?;
    if audio.is_empty() {
        return Err("there is no audio in it");
    }
    let long = "it is longer than 4 GB";
    let data = u32::try_from(audio.len()).map_err(|_| long)?;
    let head = u32::try_from(format.len()).map_err(|_| long)?;
    let riff = data.checked_add(head).and_then(|sum| sum.checked_add(20)).ok_or(long)?;
    let parts: [&[u8]; 8] = [
        b"RIFF",
        &riff.to_le_bytes(),
        b"WAVEfmt ",
        &head.to_le_bytes(),
        format,
        b"data",
        &data.to_le_bytes(),
        audio,
    ];
    Ok(parts.concat())
}

/// Writes what was heard as a 16-bit WAV file.
///
/// # Errors
/// When it cannot be written.
pub fn write_heard(path: &Path, heard: &[f32]) -> Result<(), WavError> {
    let write = |source| WavError::Write { path: path.to_owned(), source };
    let spec = WavSpec {
        channels: 1,
        sample_rate: HEARD_RATE,
        bits_per_sample: 16,
        sample_format: SampleFormat::Int,
    };
    let mut writer = WavWriter::create(path, spec).map_err(write)?;
    for sample in heard {
        writer.write_sample(f32_to_i16(*sample)).map_err(write)?;
    }
    writer.finalize().map_err(write)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of these pieces.
    fn file(riff: u32, pieces: &[(&[u8; 4], u32, &[u8])]) -> Vec<u8> {
        let mut file = [b"RIFF".as_slice(), &riff.to_le_bytes(), b"WAVE"].concat();
        for (id, length, bytes) in pieces {
            file.extend([id.as_slice(), &length.to_le_bytes(), bytes].concat());
        }
        file
    }

    fn format(bits: u16, channels: u16) -> Vec<u8> {
        let align = channels * bits / 8;
        let mut format = [1_u16.to_le_bytes(), channels.to_le_bytes()].concat();
        format.extend(16_000_u32.to_le_bytes());
        format.extend((16_000 * u32::from(align)).to_le_bytes());
        format.extend([align.to_le_bytes(), bits.to_le_bytes()].concat());
        format
    }

    fn read(bytes: &[u8]) -> Result<Vec<i16>, WavError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("in.wav");
        std::fs::write(&path, bytes).expect("written");
        read_speech(&path)
    }

    #[test]
    fn audio_from_a_pipe_is_read_to_its_end_whatever_its_head_says() {
        let samples: Vec<i16> = (0..1_000).map(|n| n * 7 - 3_000).collect();
        let audio: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let (mono, riff_unknown) = (format(16, 1), [0, 36, 0x7fff_f024, 0x8000_0024, u32::MAX]);
        for riff in riff_unknown {
            for length in [0, 2_001, 5_000, 0x7fff_f000, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
                for cut in [0, 1] {
                    let pieces: [(&[u8; 4], u32, &[u8]); 5] = [
                        (b"fmt ", 16, &mono),
                        (b"LIST", 8, b"INFOabcd"),
                        (b"junk", 3, b"xyz\0"),
                        (b"bext", 3, b"xyz"),
                        (b"data", length, &audio[..audio.len() - cut]),
                    ];
                    let heard = read(&file(riff, &pieces)).expect("audio");
                    assert_eq!(heard.len(), samples.len() - cut, "{riff:x} {length:x}");
                    assert!(
                        heard.iter().zip(&samples).all(|(a, b)| a.abs_diff(*b) <= 1),
                        "{riff:x} {length:x}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_length_that_its_writer_never_filled_in_is_not_believed_where_the_whole_has_its_own() {
        let (mono, audio) = (format(16, 1), [1_u8; 400]);
        for riff in [0, 36, 436, u32::MAX] {
            let pieces: [(&[u8; 4], u32, &[u8]); 2] = [(b"fmt ", 16, &mono), (b"data", 0, &audio)];
            assert_eq!(read(&file(riff, &pieces)).expect("audio").len(), 200, "{riff}");
            let long = [[0_u8; 20].as_slice(), &0_u32.to_le_bytes()].concat();
            let pieces: [(&[u8; 4], u32, &[u8]); 3] =
                [(b"ds64", 24, &long), (b"fmt ", 16, &mono), (b"data", u32::MAX, &audio)];
            assert_eq!(read(&file(riff, &pieces)).expect("audio").len(), 200, "{riff}, of a long file");
            let pieces: [(&[u8; 4], u32, &[u8]); 3] =
                [(b"fmt ", 16, &mono), (b"data", 0, b""), (b"LIST", 3, b"INF\0")];
            assert!(read(&file(riff, &pieces)).is_err(), "{riff}, without audio");
        }
    }

    #[test]
    fn audio_of_a_form_that_is_not_read_is_named_with_what_is_read() {
        let extensible = |tag: u16, bits: u16| {
            let mut format = format(bits, 1);
            format[..2].copy_from_slice(&EXTENSIBLE.to_le_bytes());
            format.extend([22, 0]);
            format.extend(bits.to_le_bytes());
            format.extend(4_u32.to_le_bytes());
            format.extend(tag.to_le_bytes());
            format.extend(*b"\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71");
            format
        };
        let plain = |tag: u16, bits: u16| {
            let mut format = format(bits, 1);
            format[..2].copy_from_slice(&tag.to_le_bytes());
            format
        };
        let read_with = |format: &[u8]| {
            let pieces: [(&[u8; 4], u32, &[u8]); 2] =
                [(b"fmt ", format.len() as u32, format), (b"data", 400, &[0_u8; 400])];
            read(&file(u32::MAX, &pieces))
        };
        for bits in [8, 16, 24, 32] {
            read_with(&plain(PCM, bits)).expect("read");
        }
        for format in [plain(FLOAT, 32), extensible(PCM, 16), extensible(PCM, 24), extensible(FLOAT, 32)] {
            read_with(&format).expect("read");
        }
        for (tag, bits, says) in [
            (FLOAT, 64, "64-bit float"),
            (FLOAT, 16, "16-bit float"),
            (PCM, 64, "64-bit PCM"),
            (PCM, 12, "12-bit PCM"),
            (0x02, 4, "Microsoft ADPCM"),
            (0x06, 8, "A-law"),
            (0x07, 8, "mu-law"),
            (0x55, 0, "MP3"),
            (0x1234, 16, "of the form 0x1234"),
        ] {
            for mut format in [plain(tag, bits), extensible(tag, bits)] {
                // A compressed block has a length of its own, and most writers give one to the others, too.
                format[12] = 8;
                let error = read_with(&format).expect_err(says).to_string();
                let words =
                    format!("its audio is {says}; PCM of 8, 16, 24 or 32 bits and 32-bit float are read");
                assert!(error.contains(&words), "{error}");
            }
        }
    }

    #[test]
    fn what_comes_after_the_audio_is_not_heard() {
        let (audio, mono) = ([1_u8; 400], format(16, 1));
        let pieces: [(&[u8; 4], u32, &[u8]); 3] =
            [(b"fmt ", 16, &mono), (b"data", 400, &audio), (b"LIST", 8, b"INFOabcd")];
        assert_eq!(read(&file(444, &pieces)).expect("audio").len(), 200);
        let pieces: [(&[u8; 4], u32, &[u8]); 3] =
            [(b"fmt ", 16, &mono), (b"data", 0, b""), (b"LIST", 8, b"INFOabcd")];
        assert!(read(&file(52, &pieces)).is_err(), "a whole file without audio");
    }

    #[test]
    fn other_widths_and_channels_and_sizes_of_the_head_are_read_as_before() {
        for (bits, channels) in [(8, 1), (16, 2), (24, 1), (24, 2), (32, 1)] {
            let mut format = format(bits, channels);
            let frame = usize::from(bits / 8 * channels);
            let audio = vec![0_u8; 300 * frame + frame - 1];
            for extra in [0, 2] {
                format.resize(16 + extra, 0);
                let length = format.len() as u32;
                let pieces: [(&[u8; 4], u32, &[u8]); 2] =
                    [(b"fmt ", length, &format), (b"data", u32::MAX, &audio)];
                assert_eq!(read(&file(u32::MAX, &pieces)).expect("audio").len(), 300, "{bits} {channels}");
            }
        }
    }

    #[test]
    fn what_has_no_audio_is_refused_and_nothing_panics() {
        let (mono, audio) = (format(16, 1), [1_u8; 40]);
        let pieces: [(&[u8; 4], u32, &[u8]); 3] =
            [(b"fmt ", 16, &mono), (b"LIST", 8, b"INFOabcd"), (b"data", u32::MAX, &audio)];
        let whole = file(u32::MAX, &pieces);
        let head = whole.len() - audio.len();
        for length in 0..whole.len() {
            assert_eq!(read(&whole[..length]).is_ok(), length >= head + 2, "{length} bytes");
        }
        let mut seed = 1_u64;
        for _ in 0..1_000 {
            let mut broken = whole.clone();
            for _ in 0..4 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = (seed >> 33) as usize % broken.len();
                broken[at] = (seed >> 25) as u8;
            }
            // It may be refused, or be other audio.
            let _ = read(&broken);
        }
    }
}

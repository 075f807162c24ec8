//! Sound as providers send it: samples in bytes that are cut anywhere, with or without the header of a WAV file.

use super::{Event, Failure, FailureKind, Sound};

/// The longest header of a WAV file, up to its samples.
const HEADER_MAX_BYTES: usize = 64 * 1024;
/// The fields of a chunk `fmt ` that every WAV file has, and with those that say which format an extensible one is, of which the first two are
/// here.
const FORMAT_BYTES: usize = 16;
const LONG_FORMAT_BYTES: usize = 26;
const SUBFORMAT: usize = 24;
/// Formats of a WAV file: whole numbers, numbers with a fraction, and one that says further behind which of them it is.
const WHOLE: u16 = 1;
const FLOAT: u16 = 3;
const EXTENSIBLE: u16 = 0xFFFE;
/// Rates that a voice may have.
const RATES: std::ops::RangeInclusive<u32> = 8_000..=96_000;

/// Little-endian samples that come in pieces.
pub(super) struct Pcm {
    rate: u32,
    channels: usize,
    form: Form,
    /// The beginning of a frame whose end has not come.
    rest: Vec<u8>,
    /// Frames told so far.
    frames: u64,
}

/// How a sample is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// A whole number of so many bytes, 2 to 4. The two highest are those of 16 bits.
    Whole(usize),
    /// A number of 32 bits between -1 and 1.
    Float,
}

/// A WAV file that comes in pieces. A file that is written while it is sent does not know its length.
pub(super) enum Wav {
    /// The header as far as it has come.
    Header(Header),
    /// The samples, and how many bytes of them are still to come, if the header knows.
    Samples(Pcm, Option<usize>),
}

/// The header of a WAV file. Each of its chunks is read once, however its bytes come.
#[derive(Default)]
pub(super) struct Header {
    bytes: Vec<u8>,
    /// Where the chunk begins that is read next; 0 while nothing was read.
    place: usize,
    /// What it says of the samples, if it has said so.
    pcm: Option<Pcm>,
}

impl Pcm {
    /// Samples of one channel and 16 bits.
    pub(super) fn mono(rate: u32) -> Pcm {
        Pcm { rate, channels: 1, form: Form::Whole(2), rest: Vec::new(), frames: 0 }
    }

    /// Samples of 16 bits.
    pub(super) fn of(rate: u32, channels: u16) -> Result<Pcm, Failure> {
        if !matches!(channels, 1 | 2) || !RATES.contains(&rate) {
            return Err(odd(&format!(
                "only mono and stereo is understood, not {channels} channels, {rate} Hz"
            )));
        }
        Ok(Pcm { channels: channels.into(), ..Pcm::mono(rate) })
    }

    /// The sound of these bytes, several channels mixed into one; `None` if they are no whole sample yet.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Option<Event> {
        self.rest.extend_from_slice(bytes);
        let frame = self.form.bytes() * self.channels;
        let whole = self.rest.len() - self.rest.len() % frame;
        let frames = self.rest[..whole].chunks_exact(frame);
        let samples: Vec<i16> = match (self.form, self.channels) {
            // What most voices send. A call's samples are read by the ten thousand, and of these nothing has to be worked out.
            (Form::Whole(2), 1) => frames.map(|frame| i16::from_le_bytes([frame[0], frame[1]])).collect(),
            _ => frames.map(|frame| self.form.mixed(frame)).collect(),
        };
        self.rest.drain(..whole);
        self.frames += samples.len() as u64;
        let sound = Sound { rate: self.rate, samples };
        (!sound.samples.is_empty()).then_some(Event::Sound(sound))
    }

    /// The length of the sound that was told, in milliseconds.
    pub(super) fn told_ms(&self) -> u64 {
        self.frames * 1_000 / u64::from(self.rate)
    }
}

impl Form {
    /// Bytes of a sample.
    fn bytes(self) -> usize {
        match self {
            Form::Whole(bytes) => bytes,
            Form::Float => 4,
        }
    }

    /// One sample of a frame that has one for each channel.
    fn mixed(self, frame: &[u8]) -> i16 {
        let samples = frame.chunks_exact(self.bytes()).map(|sample| i32::from(self.sample(sample)));
        let channels = (frame.len() / self.bytes()) as i32;
        i16::try_from(samples.sum::<i32>() / channels).expect("a mean is no larger than what it is of")
    }

    /// The sample of these bytes in 16 bits.
    fn sample(self, bytes: &[u8]) -> i16 {
        match (self, bytes) {
            (Form::Float, &[a, b, c, d]) => {
                // What is louder than it may be becomes the loudest, and no number silence.
                (f32::from_le_bytes([a, b, c, d]) * 32_768.0).round() as i16
            }
            (_, &[.., low, high]) => i16::from_le_bytes([low, high]),
            (_, [] | [_]) => 0,
        }
    }
}

impl Wav {
    /// A file of which nothing has come.
    pub(super) fn new() -> Wav {
        Wav::Header(Header::default())
    }

    /// The sound of its next bytes, if they have any.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<Option<Event>, Failure> {
        match self {
            Wav::Header(header) => {
                header.bytes.extend_from_slice(bytes);
                let Some((pcm, left)) = header.read()? else {
                    let is_short = header.bytes.len() < HEADER_MAX_BYTES;
                    return if is_short { Ok(None) } else { Err(odd("its header has no end")) };
                };
                let rest = header.bytes.split_off(header.place);
                *self = Wav::Samples(pcm, left);
                self.read(&rest)
            }
            Wav::Samples(pcm, left) => {
                let taken = left.map_or(bytes.len(), |left| left.min(bytes.len()));
                *left = left.map(|left| left - taken);
                Ok(pcm.read(&bytes[..taken]))
            }
        }
    }

    /// Whether its header says that more samples follow than have come.
    pub(super) fn is_short(&self) -> bool {
        matches!(self, Wav::Samples(_, Some(left)) if *left > 0)
    }
}

impl Header {
    /// What it says of the samples, and how many bytes of them follow, if it knows. `None` if it is not whole; otherwise the samples begin at
    /// `place`.
    fn read(&mut self) -> Result<Option<(Pcm, Option<usize>)>, Failure> {
        if self.place == 0 {
            if self.bytes.len() < 12 {
                return Ok(None);
            }
            if !self.bytes.starts_with(b"RIFF") || &self.bytes[8..12] != b"WAVE" {
                return Err(odd("it is no WAV file"));
            }
            self.place = 12;
        }
        while let Some(chunk) = self.bytes.get(self.place..self.place + 8) {
            let length = u32::from_le_bytes([chunk[4], chunk[5], chunk[6], chunk[7]]);
            let body = self.place + 8;
            match &chunk[..4] {
                b"fmt " => {
                    let length = (length as usize).clamp(FORMAT_BYTES, LONG_FORMAT_BYTES);
                    let Some(fields) = self.bytes.get(body..body + length) else { return Ok(None) };
                    self.pcm = Some(format(fields)?);
                }
                b"data" => {
                    let pcm = self.pcm.take().ok_or_else(|| odd("it does not say what its samples are"))?;
                    self.place = body;
                    // What writes into a pipe leaves 0, or a length that no answer has: 2,000,000,000, 0x7FFF0000, 0x7FFFF000, 0xFFFFFFFF.
                    let known = (1..0x4000_0000).contains(&length);
                    return Ok(Some((pcm, known.then_some(length as usize))));
                }
                _ => {}
            }
            // A chunk of an odd length has one byte more.
            self.place = body.saturating_add(length as usize).saturating_add(length as usize % 2);
            if self.place > HEADER_MAX_BYTES {
                return Err(odd("its header is too long"));
            }
        }
        Ok(None)
    }
}

/// The fields of a chunk `fmt `.
fn format(fields: &[u8]) -> Result<Pcm, Failure> {
    let short = |place: usize| u16::from_le_bytes([fields[place], fields[place + 1]]);
    let (format, channels, bits) = (short(0), short(2), short(14));
    let rate = u32::from_le_bytes([fields[4], fields[5], fields[6], fields[7]]);
    let means = match format {
        // This one says further behind which other it is.
        EXTENSIBLE if fields.len() == LONG_FORMAT_BYTES => short(SUBFORMAT),
        EXTENSIBLE => WHOLE,
        format => format,
    };
    let form = match (means, bits) {
        (WHOLE, 16 | 24 | 32) => Some(Form::Whole(usize::from(bits / 8))),
        (FLOAT, 32) => Some(Form::Float),
        _ => None,
    };
    let is = || format!("format {format}, {channels} channels, {bits} bits, {rate} Hz");
    let odd = || odd(&format!("only mono and stereo of 16, 24 or 32 bits is understood, not {}", is()));
    let pcm = Pcm::of(rate, channels).map_err(|_| odd())?;
    Ok(Pcm { form: form.ok_or_else(odd)?, ..pcm })
}

fn odd(what: &str) -> Failure {
    Failure::new(FailureKind::Provider, format!("the sound cannot be read: {what}"))
}

#[cfg(test)]
mod tests;

//! Recordings of people and of music, as `cargo xtask` fetches them (`xtask/src/recordings.rs`), at 16 kHz.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use audio::{Hz, Resampler, SPEECH_RATE, i16_to_f32};
use hound::WavReader;

/// Somebody who speaks, in a room without any noise.
pub(crate) struct Voice {
    pub(crate) name: &'static str,
    /// What they say, a sentence or a few at a time, in the order of the names of the files.
    pub(crate) recordings: Vec<Vec<f32>>,
}

/// A voice, its package, and where in it the recordings are.
const VOICES: [(&str, &str, &str); 7] = [
    ("Allison, English", "asterisk-core-sounds-en-wav", "usr/share/asterisk/sounds/en_US_f_Allison"),
    ("Allison, Spanish", "asterisk-core-sounds-es-wav", "usr/share/asterisk/sounds/es_MX_f_Allison"),
    ("June, French", "asterisk-core-sounds-fr-wav", "usr/share/asterisk/sounds/fr_CA_f_June"),
    ("Carlo, Italian", "asterisk-core-sounds-it-wav", "usr/share/asterisk/sounds/it_IT_m_Carlo"),
    ("Ivrvoice, Russian", "asterisk-core-sounds-ru-wav", "usr/share/asterisk/sounds/ru_RU_f_IvrvoiceRU"),
    ("reader, English", "pocketsphinx-testdata", "usr/share/pocketsphinx/test/data/librivox"),
    ("player, English", "pocketsphinx-testdata", "usr/share/pocketsphinx/test/data/cards"),
];

const MUSIC: (&str, &str) = ("asterisk-moh-opsound-wav", "usr/share/asterisk/moh");

/// Every voice.
///
/// # Errors
/// When a recording is missing or is none.
pub(crate) fn voices(folder: &Path) -> Result<Vec<Voice>, Box<dyn Error>> {
    VOICES
        .into_iter()
        .map(|(name, package, path)| {
            Ok(Voice { name, recordings: read_all(&folder.join(package).join(path))? })
        })
        .collect()
}

/// Pieces of music, minutes long each.
///
/// # Errors
/// When a recording is missing or is none.
pub(crate) fn music(folder: &Path) -> Result<Vec<Vec<f32>>, Box<dyn Error>> {
    let (package, path) = MUSIC;
    read_all(&folder.join(package).join(path))
}

/// The WAV files of a folder, in the order of their names.
fn read_all(folder: &Path) -> Result<Vec<Vec<f32>>, Box<dyn Error>> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "wav"))
        .collect();
    files.sort();
    files
        .iter()
        .map(|file| read(file).map_err(|error| format!("{}: {error}", file.display()).into()))
        .collect()
}

/// A WAV file of 16 bits, mono, at 16 kHz.
fn read(file: &Path) -> Result<Vec<f32>, Box<dyn Error>> {
    let mut reader = WavReader::open(file)?;
    let spec = reader.spec();
    if spec.channels != 1 {
        return Err(format!("{} channels, and not one", spec.channels).into());
    }
    let samples =
        reader.samples::<i16>().map(|sample| sample.map(i16_to_f32)).collect::<Result<Vec<f32>, _>>()?;
    if spec.sample_rate == SPEECH_RATE.0 {
        return Ok(samples);
    }
    let mut resampler = Resampler::new(Hz(spec.sample_rate), SPEECH_RATE)?;
    let mut resampled = vec![0.0; resampler.max_output(samples.len())];
    let written = resampler.process(&samples, &mut resampled);
    resampled.truncate(written);
    let mut rest = vec![0.0; resampler.max_output(resampler.delay_samples())];
    let written = resampler.flush(&mut rest);
    resampled.extend_from_slice(&rest[..written]);
    Ok(resampled)
}

//! Something to say.

/// What counts as speech.
#[must_use]
pub fn voice(seconds: f64) -> Vec<i16> {
    (0..(seconds * 16_000.0) as u32).map(audio::synthetic::voice).collect()
}

/// A pause.
#[must_use]
pub fn silence(seconds: f64) -> Vec<i16> {
    vec![0; (seconds * 16_000.0) as usize]
}

//! Something to say.

/// What counts as speech: a tone with overtones that swells.
#[must_use]
pub fn voice(seconds: f64) -> Vec<i16> {
    (0..(seconds * 16_000.0) as u32)
        .map(|i| {
            let t = f64::from(i) / 16_000.0;
            let swell = 0.6 + 0.4 * (t * 25.0).sin();
            let tone: f64 = (1..12).map(|h| (t * 754.0 * f64::from(h)).sin() / f64::from(h)).sum();
            (tone * swell * 6_000.0) as i16
        })
        .collect()
}

/// A pause.
#[must_use]
pub fn silence(seconds: f64) -> Vec<i16> {
    vec![0; (seconds * 16_000.0) as usize]
}

//! The resampler is as good as `docs/audio.md` says: each goal measured from outside.

mod measure;

use audio::{Hz, Resampler, SPEECH_RATE};
use measure::{Figures, Ours, Sine, Stream, decibel_ratio, decibels, goal, run, steady, tone};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn ours(from: u32, to: u32) -> impl Fn() -> Box<dyn Stream> {
    move || Box::new(Ours(Resampler::new(Hz(from), Hz(to)).expect("the tests ask for supported rates")))
}

/// Images of tones from 1 kHz to 15/32 of the lower rate (7.5 kHz of 16) at -1 dBFS when the rate goes up: the worst, in dBFS.
fn worst_image(from: Hz, to: Hz, make: &dyn Fn() -> Box<dyn Stream>) -> f64 {
    (1_000..=from.0 * 15 / 32)
        .step_by(100)
        .map(|hz| {
            let hz = f64::from(hz);
            let output = steady(from, to, &tone(from, hz, decibel_ratio(-1.0), 0.1), make);
            let sine = Sine::fit(&output, hz / f64::from(to.0));
            decibels((2.0 * sine.residual(&output)).sqrt())
        })
        .fold(f64::NEG_INFINITY, f64::max)
}

fn meets_every_goal(from: u32) {
    let figures = Figures::of(Hz(from), SPEECH_RATE, 25, &ours(from, 16_000));
    assert!(figures.alias_dbfs <= goal::ALIAS_DBFS, "{figures:?}: at {} Hz", figures.alias_at_hz);
    assert!(figures.ripple_db <= goal::RIPPLE_DB, "{figures:?}");
    assert!(figures.delay_ms <= goal::DELAY_MS, "{figures:?}");
    assert!(figures.sinad_db >= goal::SINAD_DB, "{figures:?}");
    assert!(figures.pitch_ppm.abs() <= goal::PITCH_PPM, "{figures:?}");
    assert_eq!(figures.lost_samples, 0, "{figures:?}");
}

#[test]
fn from_48_khz_every_goal_is_met() {
    meets_every_goal(48_000);
}

#[test]
fn from_44_1_khz_every_goal_is_met() {
    meets_every_goal(44_100);
}

#[test]
fn a_rate_that_divides_nothing_is_as_good_as_one_that_does() {
    meets_every_goal(44_101);
}

#[test]
fn every_device_rate_comes_down_to_16_khz_without_aliases() {
    for from in [22_050, 24_000, 32_000, 88_200, 96_000, 176_400, 192_000, 47_999] {
        let make = ours(from, 16_000);
        let (alias, at) = measure::worst_alias(Hz(from), SPEECH_RATE, 250, &make);
        assert!(alias <= goal::ALIAS_DBFS, "{from} Hz: {alias} dBFS at {at} Hz");
        let ripple = measure::ripple(Hz(from), SPEECH_RATE, &make);
        assert!(ripple <= goal::RIPPLE_DB, "{from} Hz: {ripple} dB");
    }
}

#[test]
fn an_agents_rate_goes_up_to_every_device_rate_without_images() {
    for from in [8_000, 11_025, 16_000, 24_000] {
        for to in [16_000, 44_100, 48_000, 96_000, 192_000, 47_999] {
            if from >= to {
                continue;
            }
            let make = ours(from, to);
            let image = worst_image(Hz(from), Hz(to), &make);
            assert!(image <= goal::ALIAS_DBFS, "{from} to {to} Hz: {image} dBFS");
            let ripple = measure::ripple(Hz(from), Hz(to), &make);
            assert!(ripple <= goal::RIPPLE_DB, "{from} to {to} Hz: {ripple} dB");
        }
    }
}

#[test]
fn input_and_output_are_aligned() {
    for (from, to) in
        [(48_000, 16_000), (44_100, 16_000), (44_101, 16_000), (16_000, 48_000), (24_000, 44_100)]
    {
        let input = tone(Hz(from), 300.0, 0.5, 0.5);
        let expected = tone(Hz(to), 300.0, 0.5, 0.5);
        let output = run(&input, 128, &ours(from, to));
        let middle = expected.len() / 4..expected.len() * 3 / 4;
        let worst = middle.map(|n| f64::from((output[n] - expected[n]).abs())).fold(0.0, f64::max);
        // The ripple of the pass band allows -63 dB; a misalignment of a thousandth of a sample would show as much.
        assert!(decibels(worst / 0.5) < -60.0, "{from} to {to} Hz: {} dB", decibels(worst / 0.5));
    }
}

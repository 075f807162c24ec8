//! Computes the filter of the resampler and prints the table in `src/kernel.rs`:
//! `cargo run --release -p audio --example design_kernel`.
//!
//! The impulse response is a cosine series on a finite support, so its frequency response is linear in the coefficients. They are found by
//! Lawson's algorithm (C. L. Lawson, "Contributions to the theory of linear least maximum approximation", 1961): least squares
//! again and again, with each frequency's weight multiplied by its error, until the largest error is as small as it gets.
//! One condition is exact: the response is zero at both ends of its support, so that the stop band falls off beyond the last frequency checked.
#![expect(clippy::print_stdout, reason = "a program that prints a table")]

use std::f64::consts::PI;

/// Length of the impulse response in periods of the lower sample rate. All frequencies below are in units of that rate.
const SUPPORT: f64 = 160.0 / 3.0;
const COEFFICIENTS: usize = 32;
const PASS_BAND_END: f64 = 7.0 / 16.0;
const STOP_BAND_START: f64 = 8.5 / 16.0;
const STOP_BAND_CHECKED_TO: f64 = 3.0;
/// How much larger an error may be in the pass band than in the stop band.
const PASS_BAND_TOLERANCE: f64 = 120.0;
/// Frequencies checked in each `1 / SUPPORT`, the distance of two ripples.
const GRID: f64 = 16.0;
const ITERATIONS: usize = 600;

fn main() {
    let points = grid();
    let mut weights = vec![1.0 / points.len() as f64; points.len()];
    let mut best = (f64::INFINITY, [0.0; COEFFICIENTS]);
    for _ in 0..ITERATIONS {
        let coefficients = least_squares(&points, &weights);
        let errors: Vec<f64> = points.iter().map(|point| point.error(&coefficients)).collect();
        let worst = errors.iter().copied().fold(0.0, f64::max);
        if worst < best.0 {
            best = (worst, coefficients);
        }
        let total: f64 = weights.iter().zip(&errors).map(|(weight, error)| weight * error).sum();
        for (weight, error) in weights.iter_mut().zip(&errors) {
            *weight = *weight * error / total + f64::MIN_POSITIVE;
        }
    }
    let (worst, coefficients) = best;
    println!("// stop band {:.2} dB", 20.0 * worst.log10());
    println!("// pass band +-{:.5} dB", 20.0 * (1.0 + worst * PASS_BAND_TOLERANCE).log10());
    for coefficient in coefficients {
        println!("{coefficient:.12},");
    }
}

/// A frequency at which the response is asked for.
struct Point {
    /// The response there of each coefficient alone.
    basis: [f64; COEFFICIENTS],
    target: f64,
    /// What an error counts for.
    importance: f64,
}

impl Point {
    fn new(frequency: f64, target: f64, importance: f64) -> Self {
        let cycles = frequency * SUPPORT;
        let basis = std::array::from_fn(|k| {
            let k = k as f64;
            if k == 0.0 { sinc(cycles) } else { sinc(cycles - k) + sinc(cycles + k) }
        });
        Self { basis, target, importance }
    }

    fn error(&self, coefficients: &[f64]) -> f64 {
        let response: f64 = self.basis.iter().zip(coefficients).map(|(basis, a)| basis * a).sum();
        (response - self.target).abs() * self.importance
    }
}

fn grid() -> Vec<Point> {
    let between = |start: f64, end: f64| {
        let count = ((end - start) * GRID * SUPPORT) as usize;
        (0..=count).map(move |n| start + (end - start) * n as f64 / count as f64)
    };
    let pass = between(0.0, PASS_BAND_END).map(|f| Point::new(f, 1.0, 1.0 / PASS_BAND_TOLERANCE));
    let stop = between(STOP_BAND_START, STOP_BAND_CHECKED_TO).map(|f| Point::new(f, 0.0, 1.0));
    pass.chain(stop).collect()
}

/// The coefficients with the least weighted sum of squared errors, by the normal equations.
fn least_squares(points: &[Point], weights: &[f64]) -> [f64; COEFFICIENTS] {
    const N: usize = COEFFICIENTS;
    let mut normal = [[0.0; N + 1]; N];
    for (point, weight) in points.iter().zip(weights) {
        let weight = weight * point.importance.powi(2);
        for (row, left) in normal.iter_mut().zip(point.basis) {
            for (sum, right) in row.iter_mut().zip(point.basis.iter().chain([&point.target])) {
                *sum += weight * left * right;
            }
        }
    }
    // The value at the ends of the support, h(T/2), weighs so much that nothing is left of it.
    let end: [f64; N] = std::array::from_fn(|k| match k {
        0 => 1.0,
        k if k % 2 == 0 => 2.0,
        _ => -2.0,
    });
    for (row, left) in normal.iter_mut().zip(end) {
        for (sum, right) in row.iter_mut().zip(end) {
            *sum += 1e3 * left * right;
        }
    }
    solve(normal)
}

/// Gaussian elimination with partial pivoting.
fn solve<const N: usize, const M: usize>(mut rows: [[f64; M]; N]) -> [f64; N] {
    for pivot in 0..N {
        let largest = (pivot..N)
            .max_by(|&a, &b| rows[a][pivot].abs().total_cmp(&rows[b][pivot].abs()))
            .expect("the range is not empty");
        rows.swap(pivot, largest);
        let pivot_row = rows[pivot];
        for (_, row) in rows.iter_mut().enumerate().filter(|(n, _)| *n != pivot) {
            let factor = row[pivot] / pivot_row[pivot];
            for (value, above) in row.iter_mut().zip(pivot_row).skip(pivot) {
                *value -= factor * above;
            }
        }
    }
    std::array::from_fn(|n| rows[n][N] / rows[n][n])
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) }
}

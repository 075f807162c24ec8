use std::fmt;
use std::ops::{Add, AddAssign};

/// Nano-dollars in a dollar.
const NANO: u64 = 1_000_000_000;
/// Databases count in signed 64-bit integers.
const MAX: u64 = i64::MAX as u64;

/// Money in whole nano-dollars (10⁻⁹ US dollars). Arithmetic stops at the largest amount and never wraps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NanoUsd(u64);

/// Why a text is not an amount of money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an amount in US dollars: write it as 5 or 0.0048, with at most 9 decimals")]
pub struct MoneyError;

impl NanoUsd {
    /// Nothing.
    pub const ZERO: NanoUsd = NanoUsd(0);
    /// The largest amount: about nine billion dollars.
    pub const MAX: NanoUsd = NanoUsd(MAX);

    /// So many nano-dollars.
    #[must_use]
    pub const fn new(nano: u64) -> NanoUsd {
        NanoUsd(if nano > MAX { MAX } else { nano })
    }

    /// Reads a decimal number of dollars exactly, such as `5` or `0.0048`.
    ///
    /// # Errors
    /// For anything else: signs, exponents, more than nine decimals, more than [`NanoUsd::MAX`].
    pub fn parse(dollars: &str) -> Result<NanoUsd, MoneyError> {
        let (whole, decimals) = dollars.split_once('.').unwrap_or((dollars, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(decimals) || decimals.len() > 9 {
            return Err(MoneyError);
        }
        let whole: u64 = whole.parse().map_err(|_| MoneyError)?;
        let decimals: u64 = format!("{decimals:0<9}").parse().map_err(|_| MoneyError)?;
        let nano = whole.checked_mul(NANO).and_then(|nano| nano.checked_add(decimals)).ok_or(MoneyError)?;
        if nano > MAX { Err(MoneyError) } else { Ok(NanoUsd(nano)) }
    }

    /// The number of nano-dollars.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// What is left after `spent`; nothing if more was spent.
    #[must_use]
    pub const fn saturating_sub(self, spent: NanoUsd) -> NanoUsd {
        NanoUsd(self.0.saturating_sub(spent.0))
    }
}

impl Add for NanoUsd {
    type Output = NanoUsd;

    fn add(self, other: NanoUsd) -> NanoUsd {
        NanoUsd::new(self.0.saturating_add(other.0))
    }
}

impl AddAssign for NanoUsd {
    fn add_assign(&mut self, other: NanoUsd) {
        *self = *self + other;
    }
}

/// Dollars, exact, with at least two decimals: `$5.00`, `$0.0048`.
impl fmt::Display for NanoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = format!("{:09}", self.0 % NANO);
        let trimmed = decimals.trim_end_matches('0');
        write!(f, "${}.{trimmed:0<2}", self.0 / NANO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_read_and_written_exactly() {
        for (text, nano, shown) in [
            ("5", 5_000_000_000, "$5.00"),
            ("0.0048", 4_800_000, "$0.0048"),
            ("0.000000001", 1, "$0.000000001"),
            ("12.5", 12_500_000_000, "$12.50"),
            ("0", 0, "$0.00"),
            ("9223372036.854775807", MAX, "$9223372036.854775807"),
        ] {
            let money = NanoUsd::parse(text).expect("an amount");
            assert_eq!((money.get(), money.to_string().as_str()), (nano, shown));
        }
    }

    #[test]
    fn what_is_no_exact_amount_is_refused() {
        for text in [
            "",
            "-1",
            "+1",
            "1e3",
            ".5",
            "5.",
            "1.0000000001",
            "1,5",
            "$5",
            "9223372036.854775808",
            "½",
            "99999999999999999999",
        ] {
            assert_eq!(NanoUsd::parse(text), Err(MoneyError), "{text}");
        }
    }

    #[test]
    fn the_largest_amount_does_not_wrap() {
        assert_eq!(NanoUsd::MAX + NanoUsd::new(1), NanoUsd::MAX);
        assert_eq!(NanoUsd::new(u64::MAX), NanoUsd::MAX);
        assert_eq!(NanoUsd::new(3).saturating_sub(NanoUsd::new(5)), NanoUsd::ZERO);
    }
}

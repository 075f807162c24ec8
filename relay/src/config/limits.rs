//! What a session, a user and an account may do: the limits of `[limits]`, of a plan, and of a token.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de};
use serde_json::Number;

use super::values::Values;
use super::{ConfigError, millis};
use crate::money::NanoUsd;
use crate::money::budget::{Caps, TokenCaps};

/// A sample: no chunk is shorter.
const CHUNK_BYTES_MIN: u64 = 2;

/// Beyond it a number with a fraction does not say which whole number is meant (2^53).
const LARGEST_EXACT: f64 = 9_007_199_254_740_992.0;

/// What a session, its user and its account may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest duration of a session.
    pub session: Duration,
    /// Longest time without audio or a message other than `ping`.
    pub idle: Duration,
    /// Shortest payload of an audio frame, in bytes.
    pub chunk_min_bytes: u32,
    /// Longest payload of an audio frame, in bytes.
    pub chunk_max_bytes: u32,
    /// Audio that may come faster than real time.
    pub burst: Duration,
    /// Messages of a connection in a second, audio not counted.
    pub control_messages_per_second: u32,
    /// Sessions a user may have at a time.
    pub sessions_per_user: u32,
    /// Sessions an account may have at a time.
    pub sessions_per_account: u32,
    /// Sessions a user may begin in a minute.
    pub sessions_per_minute: u32,
    /// What a session may cost.
    pub session_budget: NanoUsd,
    /// What a user may cost in a day (UTC), whatever the token says.
    pub user_day_budget: NanoUsd,
    /// What an account may cost in a calendar month (UTC), whatever the token says.
    pub account_month_budget: NanoUsd,
    /// What the token allows of these two at most.
    pub token_caps: TokenCaps,
}

/// The limits that a token carries, named and measured as in `[limits]`. One that is not there does not tighten anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TokenLimits {
    /// Longest session.
    #[serde(deserialize_with = "whole")]
    pub session_minutes: Option<u64>,
    /// Longest time without audio.
    #[serde(deserialize_with = "whole")]
    pub idle_minutes: Option<u64>,
    /// Smallest audio chunk.
    #[serde(deserialize_with = "whole")]
    pub chunk_min_bytes: Option<u64>,
    /// Largest audio chunk.
    #[serde(deserialize_with = "whole")]
    pub chunk_max_bytes: Option<u64>,
    /// Audio that may come faster than real time.
    #[serde(deserialize_with = "whole")]
    pub burst_seconds: Option<u64>,
    /// Messages of a connection other than audio.
    #[serde(deserialize_with = "whole")]
    pub control_messages_per_second: Option<u64>,
    /// Sessions of the user at the same time.
    #[serde(deserialize_with = "whole")]
    pub sessions_per_user: Option<u64>,
    /// Sessions of the account at the same time.
    #[serde(deserialize_with = "whole")]
    pub sessions_per_account: Option<u64>,
    /// New sessions of the user in a minute.
    #[serde(deserialize_with = "whole")]
    pub sessions_per_minute: Option<u64>,
    /// What a session may cost.
    pub session_usd: Option<TokenUsd>,
    /// What the user may cost in a day.
    pub user_day_usd: Option<TokenUsd>,
    /// What the account may cost in a month.
    pub account_month_usd: Option<TokenUsd>,
}

/// US dollars in a token: a number or a text such as `"0.50"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "NumberOrText")]
pub struct TokenUsd(pub NanoUsd);

#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrText {
    Number(Number),
    Text(String),
}

impl Limits {
    pub(super) fn check(values: &Values) -> Result<Limits, ConfigError> {
        let seconds = |key| values.whole(key).map(|seconds| Duration::from_secs(seconds.into()));
        let chunk_min_bytes = values.whole("limits.chunk_min_bytes")?;
        let chunk_max_bytes = values.whole("limits.chunk_max_bytes")?;
        if chunk_max_bytes < chunk_min_bytes {
            let accepted = format!("give at least limits.chunk_min_bytes ({chunk_min_bytes})");
            return Err(values.wrong("limits.chunk_max_bytes", chunk_max_bytes, accepted));
        }
        if !has_even(chunk_min_bytes, chunk_max_bytes) {
            let accepted = "give a range that an even number is in: a sample has two bytes";
            return Err(values.wrong("limits.chunk_max_bytes", chunk_max_bytes, accepted));
        }
        Ok(Limits {
            session: 60 * seconds("limits.session_minutes")?,
            idle: 60 * seconds("limits.idle_minutes")?,
            chunk_min_bytes,
            chunk_max_bytes,
            burst: seconds("limits.burst_seconds")?,
            control_messages_per_second: values.whole("limits.control_messages_per_second")?,
            sessions_per_user: values.whole("limits.sessions_per_user")?,
            sessions_per_account: values.whole("limits.sessions_per_account")?,
            sessions_per_minute: values.whole("limits.sessions_per_minute")?,
            session_budget: values.dollars("limits.session_usd")?,
            user_day_budget: values.dollars("limits.user_day_usd")?,
            account_month_budget: values.dollars("limits.account_month_usd")?,
            token_caps: TokenCaps::NONE,
        })
    }

    /// These limits, each as tight as the token wants it and never looser than it is here. Where the token's chunks would all be shorter or
    /// longer than ours may be, those of the nearest length we take are left: there is always a chunk that passes.
    #[must_use]
    pub fn tightened(self, token: &TokenLimits) -> Limits {
        let time = |ours: Duration, theirs: Option<u64>, unit: u64| {
            theirs.map_or(ours, |theirs| ours.min(Duration::from_secs(theirs.saturating_mul(unit))))
        };
        let number = |theirs: u64| u32::try_from(theirs).unwrap_or(u32::MAX);
        let at_most = |ours: u32, theirs: Option<u64>| theirs.map_or(ours, |theirs| ours.min(number(theirs)));
        let money =
            |ours: NanoUsd, theirs: Option<TokenUsd>| theirs.map_or(ours, |theirs| ours.min(theirs.0));
        let chunk_max_bytes = at_most(self.chunk_max_bytes, token.chunk_max_bytes).max(self.chunk_min_bytes);
        let chunk_min_bytes = token
            .chunk_min_bytes
            .map_or(self.chunk_min_bytes, |theirs| self.chunk_min_bytes.max(number(theirs)))
            .min(chunk_max_bytes);
        let (chunk_min_bytes, chunk_max_bytes) = match has_even(chunk_min_bytes, chunk_max_bytes) {
            true => (chunk_min_bytes, chunk_max_bytes),
            // One odd length is left: the nearest even one that we take, which there is.
            false if chunk_max_bytes > self.chunk_min_bytes => (chunk_max_bytes - 1, chunk_max_bytes - 1),
            false => (chunk_max_bytes + 1, chunk_max_bytes + 1),
        };
        Limits {
            session: time(self.session, token.session_minutes, 60),
            idle: time(self.idle, token.idle_minutes, 60),
            chunk_min_bytes,
            chunk_max_bytes,
            burst: time(self.burst, token.burst_seconds, 1),
            control_messages_per_second: at_most(
                self.control_messages_per_second,
                token.control_messages_per_second,
            ),
            sessions_per_user: at_most(self.sessions_per_user, token.sessions_per_user),
            sessions_per_account: at_most(self.sessions_per_account, token.sessions_per_account),
            sessions_per_minute: at_most(self.sessions_per_minute, token.sessions_per_minute),
            session_budget: money(self.session_budget, token.session_usd),
            // They stay apart, because an administrator may set another budget in the place of ours, and not of the token's.
            user_day_budget: self.user_day_budget,
            account_month_budget: self.account_month_budget,
            token_caps: TokenCaps {
                user_day: token.user_day_usd.map(|usd| usd.0),
                account_month: token.account_month_usd.map(|usd| usd.0),
            },
        }
    }

    /// What a session, its user and its account may spend.
    #[must_use]
    pub fn caps(&self) -> Caps {
        Caps {
            session: self.session_budget,
            user_day: self.user_day_budget,
            account_month: self.account_month_budget,
            token: self.token_caps,
        }
    }

    /// As `welcome` tells them.
    #[must_use]
    pub fn to_message(&self) -> protocol::Limits {
        protocol::Limits {
            session_ms: millis(self.session),
            idle_ms: millis(self.idle),
            chunk_min_bytes: self.chunk_min_bytes,
            chunk_max_bytes: self.chunk_max_bytes,
            burst_ms: u32::try_from(self.burst.as_millis()).unwrap_or(u32::MAX),
            budget_nano_usd: self.session_budget.get(),
        }
    }
}

impl TokenLimits {
    /// The first limit that is smaller than `[limits]` takes it, or that no chunk can pass, with what is accepted: such a token would open
    /// calls that nothing can be said in.
    #[must_use]
    pub fn impossible(&self) -> Option<(&'static str, String)> {
        let smallest = [
            ("session_minutes", self.session_minutes, 1),
            ("idle_minutes", self.idle_minutes, 1),
            ("chunk_min_bytes", self.chunk_min_bytes, CHUNK_BYTES_MIN),
            ("chunk_max_bytes", self.chunk_max_bytes, CHUNK_BYTES_MIN),
            ("burst_seconds", self.burst_seconds, 1),
            ("control_messages_per_second", self.control_messages_per_second, 1),
            ("sessions_per_user", self.sessions_per_user, 1),
            ("sessions_per_account", self.sessions_per_account, 1),
            ("sessions_per_minute", self.sessions_per_minute, 1),
        ];
        let too_small =
            smallest.into_iter().find(|(_, given, least)| given.is_some_and(|given| given < *least));
        if let Some((name, _, least)) = too_small {
            return Some((name, format!("at least {least}")));
        }
        match (self.chunk_min_bytes, self.chunk_max_bytes) {
            (Some(min), Some(max)) if max < min => {
                Some(("chunk_max_bytes", format!("at least chunk_min_bytes ({min})")))
            }
            (Some(min), Some(max)) if min == max && min % 2 == 1 => {
                Some(("chunk_max_bytes", format!("at least {}: a sample has two bytes", min + 1)))
            }
            _ => None,
        }
    }
}

/// A whole number, also one that is written with a fraction of nothing: to JavaScript, and to JSON, 1 and 1.0 are one number.
fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let Some(number) = Option::<Number>::deserialize(deserializer)? else { return Ok(None) };
    let is_whole = |number: &f64| number.fract() == 0.0 && (0.0..=LARGEST_EXACT).contains(number);
    let whole = number.as_u64().or_else(|| number.as_f64().filter(is_whole).map(|number| number as u64));
    whole.map(Some).ok_or_else(|| de::Error::custom(format!("{number} is no whole number from 0")))
}

/// Whether a chunk of whole samples passes.
fn has_even(min: u32, max: u32) -> bool {
    max & !1 >= min
}

impl TryFrom<NumberOrText> for TokenUsd {
    type Error = crate::money::MoneyError;

    fn try_from(given: NumberOrText) -> Result<TokenUsd, Self::Error> {
        let text = match given {
            // Its shortest decimal form is what the signer wrote.
            NumberOrText::Number(number) => match number.as_f64() {
                Some(decimal) if number.is_f64() => decimal.to_string(),
                _ => number.to_string(),
            },
            NumberOrText::Text(text) => text,
        };
        NanoUsd::parse(&text).map(TokenUsd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::money::budget::Overrides;

    /// A limit as a number that is smaller when it is tighter.
    fn sizes(limits: &Limits) -> [u64; 12] {
        let Limits {
            session,
            idle,
            chunk_min_bytes,
            chunk_max_bytes,
            burst,
            control_messages_per_second,
            sessions_per_user,
            sessions_per_account,
            sessions_per_minute,
            session_budget,
            user_day_budget: _,
            account_month_budget: _,
            token_caps: _,
        } = limits;
        let (user_day, account_month) = limits.caps().with(&Overrides::default());
        [
            session.as_secs(),
            idle.as_secs(),
            u64::from(u32::MAX - chunk_min_bytes),
            (*chunk_max_bytes).into(),
            burst.as_secs(),
            (*control_messages_per_second).into(),
            (*sessions_per_user).into(),
            (*sessions_per_account).into(),
            (*sessions_per_minute).into(),
            session_budget.get(),
            user_day.get(),
            account_month.get(),
        ]
    }

    /// The same for a token's, `None` where it carries none.
    fn token_sizes(token: &TokenLimits) -> [Option<u64>; 12] {
        let seconds = |value: Option<u64>, unit: u64| value.map(|value| value.saturating_mul(unit));
        let money = |value: Option<TokenUsd>| value.map(|value| value.0.get());
        [
            seconds(token.session_minutes, 60),
            seconds(token.idle_minutes, 60),
            token.chunk_min_bytes.map(|bytes| u64::from(u32::MAX).saturating_sub(bytes)),
            token.chunk_max_bytes,
            token.burst_seconds,
            token.control_messages_per_second,
            token.sessions_per_user,
            token.sessions_per_account,
            token.sessions_per_minute,
            money(token.session_usd),
            money(token.user_day_usd),
            money(token.account_month_usd),
        ]
    }

    /// A generator whose every run is the same (Knuth's MMIX constants).
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            self.0 >> 11
        }

        /// Nothing, small, about as large as the defaults, or huge.
        fn maybe(&mut self) -> Option<u64> {
            match self.next() % 6 {
                0 => None,
                1 => Some(0),
                2 => Some(self.next() % 10),
                3 => Some(self.next() % 1_000),
                4 => Some(self.next() % 200_000),
                _ => Some(u64::MAX - self.next()),
            }
        }

        fn money(&mut self) -> Option<TokenUsd> {
            self.maybe().map(|value| TokenUsd(NanoUsd::new(value.saturating_mul(1_000_000))))
        }

        fn token(&mut self) -> TokenLimits {
            TokenLimits {
                session_minutes: self.maybe(),
                idle_minutes: self.maybe(),
                chunk_min_bytes: self.maybe(),
                chunk_max_bytes: self.maybe(),
                burst_seconds: self.maybe(),
                control_messages_per_second: self.maybe(),
                sessions_per_user: self.maybe(),
                sessions_per_account: self.maybe(),
                sessions_per_minute: self.maybe(),
                session_usd: self.money(),
                user_day_usd: self.money(),
                account_month_usd: self.money(),
            }
        }
    }

    #[test]
    fn a_token_makes_a_limit_tighter_and_never_looser() {
        let ours = Config::defaults().limits;
        let mut random = Random(1);
        let mut tightened = [0; 12];
        for _ in 0..20_000 {
            let token = random.token();
            let applies = ours.tightened(&token);
            let (shortest, longest) = (applies.chunk_min_bytes, applies.chunk_max_bytes);
            assert!(has_even(shortest, longest), "a chunk passes: {token:?}");
            let max = sizes(&ours)[3].min(token.chunk_max_bytes.unwrap_or(u64::MAX));
            let chunks = u64::from(ours.chunk_min_bytes)..=max;
            for (at, ((applies, ours), theirs)) in
                sizes(&applies).into_iter().zip(sizes(&ours)).zip(token_sizes(&token)).enumerate()
            {
                let wanted = theirs.map_or(ours, |theirs| theirs.min(ours));
                match at {
                    // Chunks that ours do not meet: the nearest of ours.
                    2 if token.chunk_min_bytes.is_some_and(|min| min > max) => {
                        assert_eq!(shortest, longest, "{token:?}");
                    }
                    2 | 3 if chunks.is_empty() => {
                        assert_eq!((shortest, longest), (100, 100), "{token:?}");
                    }
                    // One odd length would be left.
                    2 | 3 if shortest == longest => assert!(applies.abs_diff(wanted) <= 1, "{token:?}"),
                    _ => assert_eq!(applies, wanted, "limit {at}: {token:?}"),
                }
                assert!(applies <= ours, "limit {at} is no looser: {token:?}");
                tightened[at] += u32::from(applies < ours);
            }
        }
        assert!(tightened.iter().all(|times| *times > 1_000), "each was tightened at times: {tightened:?}");
    }

    #[test]
    fn a_token_is_refused_in_words_or_lets_a_chunk_through() {
        let ours = Config::defaults().limits;
        let mut random = Random(2);
        let mut refused = [0; 2];
        for _ in 0..20_000 {
            let token = random.token();
            let impossible = token.impossible();
            refused[usize::from(impossible.is_some())] += 1;
            let zero = token_sizes(&token)[..9].iter().zip(0..).any(|(size, at)| at != 2 && *size == Some(0))
                || token.chunk_min_bytes == Some(0);
            if let Some((name, accepted)) = impossible {
                assert!(!name.is_empty() && accepted.starts_with("at least"), "{token:?}");
                continue;
            }
            assert!(!zero, "nothing that stands still is taken: {token:?}");
            let limits = ours.tightened(&token);
            assert!(has_even(limits.chunk_min_bytes, limits.chunk_max_bytes) && limits.chunk_max_bytes >= 2);
            assert!(limits.burst >= Duration::from_secs(1) && limits.session >= Duration::from_secs(60));
        }
        assert!(refused.iter().all(|times| *times > 1_000), "both happen: {refused:?}");
    }

    #[test]
    fn a_tokens_limits_are_read_as_strictly_as_the_configuration() {
        let read = |json: &str| serde_json::from_str::<TokenLimits>(json);
        let limits =
            read(r#"{"session_minutes":5,"session_usd":0.1,"user_day_usd":"2.50","account_month_usd":3}"#)
                .expect("good");
        assert_eq!(limits.session_minutes, Some(5));
        assert_eq!(limits.session_usd, Some(TokenUsd(NanoUsd::new(100_000_000))));
        assert_eq!(limits.user_day_usd, Some(TokenUsd(NanoUsd::new(2_500_000_000))));
        assert_eq!(limits.account_month_usd, Some(TokenUsd(NanoUsd::new(3_000_000_000))));
        assert_eq!(read("{}").expect("none"), TokenLimits::default());
        for wrong in [
            r#"{"session_minutes":"5"}"#,
            r#"{"session_minutes":-1}"#,
            r#"{"session_minutes":1.5}"#,
            r#"{"session_minutes":true}"#,
            r#"{"sesion_minutes":5}"#,
            r#"{"session_usd":-1}"#,
            r#"{"session_usd":"five"}"#,
            r#"{"session_usd":[1]}"#,
            r#"{"session_usd":1e300}"#,
            "7",
            r#""session_minutes""#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}

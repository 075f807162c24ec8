//! How a relay that is told to stop goes.

use std::time::Duration;

use super::values::Values;
use super::{Config, ConfigError};

const SERVE: &str = "drain.serve_seconds";
const MOVE: &str = "drain.move_seconds";

/// How long the steps take of a relay that is told to stop, before it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// How long it still takes calls while it says that it is not ready.
    pub serve: Duration,
    /// Over how long it then sends its calls elsewhere.
    pub moving: Duration,
}

impl Drain {
    /// It stops at once.
    pub const NONE: Drain = Drain { serve: Duration::ZERO, moving: Duration::ZERO };

    /// A relay that `is_alone` has nobody to send its calls to: it stops at once, unless the operator wants it otherwise.
    pub(super) fn check(values: &Values, is_alone: bool) -> Result<Drain, ConfigError> {
        let seconds = |key| -> Result<Duration, ConfigError> {
            let seconds = values.whole(key)?;
            let counts = !is_alone || values.has(key);
            Ok(Duration::from_secs(if counts { seconds.into() } else { 0 }))
        };
        Ok(Drain { serve: seconds(SERVE)?, moving: seconds(MOVE)? })
    }
}

impl Config {
    /// Leaves of [`Config::drain`] what the operator gave: whoever tries a relay does not wait for its end.
    pub(crate) fn drain_as_given(&mut self) {
        let or_none = |key, time| if self.is_given(key) { time } else { Duration::ZERO };
        self.drain =
            Drain { serve: or_none(SERVE, self.drain.serve), moving: or_none(MOVE, self.drain.moving) };
    }
}

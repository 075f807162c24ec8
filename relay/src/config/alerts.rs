//! When operators are told that something is wrong with the service.

use std::time::Duration;

use super::ConfigError;
use super::values::Values;

/// From when on it is worth an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alerts {
    /// More calls of a hundred than this fail. Nobody looks if there is none.
    pub failed_calls_percent: Option<u32>,
    /// Five answers of a hundred take longer than this, in milliseconds. Nobody looks if there is none.
    pub answer_p95_ms: Option<u32>,
    /// Fewer calls, or fewer answers, say nothing.
    pub least_calls: u32,
    /// The database takes no writes for so long. Nobody looks if there is none.
    pub store_down: Option<Duration>,
}

impl Alerts {
    pub(super) fn check(values: &Values) -> Result<Alerts, ConfigError> {
        let unless_zero = |key| -> Result<Option<u32>, ConfigError> {
            Ok(Some(values.whole(key)?).filter(|number| *number > 0))
        };
        Ok(Alerts {
            failed_calls_percent: unless_zero("alerts.failed_calls_percent")?,
            answer_p95_ms: unless_zero("alerts.answer_p95_ms")?,
            least_calls: values.whole("alerts.least_calls")?,
            store_down: unless_zero("alerts.store_down_seconds")?
                .map(|seconds| Duration::from_secs(seconds.into())),
        })
    }
}

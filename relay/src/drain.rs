//! How a relay that is told to stop goes.
//!
//! First it says that it is not ready and takes calls all the same, so that load balancers notice before anybody is refused. Then it takes none any
//! more, and sends those that it has elsewhere, each at a moment of its own: between two turns if there is such a moment. Then it stops.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::App;
use crate::config::Drain;
use crate::operations::telemetry;

/// The time between two looks at whether a call is still here.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Sends the calls of this relay elsewhere, and then cancels [`Live::shutdown`](crate::Live::shutdown). Dropped, it leaves the relay at the step at
/// which it is.
pub(crate) async fn drain(app: &App) {
    let (live, Drain { serve, moving }) = (&app.live, app.config.drain);
    telemetry::draining();
    live.unready.cancel();
    let calls = live.sessions.len();
    tracing::info!(
        "told to stop: not ready for {} s, then {calls} calls move within {} s",
        serve.as_secs(),
        moving.as_secs()
    );
    sleep(serve).await;
    if moving > Duration::ZERO {
        live.move_calls(moving);
        let end = Instant::now() + moving;
        while live.sessions.len() > 0 && Instant::now() < end {
            sleep(LOOK_EVERY).await;
        }
    }
    let calls = live.sessions.len();
    tracing::info!(calls, "stopping; the calls that are left are told to come back elsewhere");
    live.shutdown.cancel();
}

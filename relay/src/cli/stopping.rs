//! SIGINT and SIGTERM for a command that takes long and writes: the first one has it end at its next safe place, the second one at once.

use std::fmt::Display;

use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::serve::Signals;
use super::tell;
use crate::operations::log;

/// Whether the command is told to stop, from when this is made until it is dropped.
pub(super) struct Stop {
    told: CancellationToken,
    _listening: AbortOnDropHandle<()>,
}

impl Stop {
    /// Listens for signals from now on: none of them ends the process unheard.
    pub(super) fn listen() -> Stop {
        let told = CancellationToken::new();
        let (mut signals, telling) = (Signals::listen(), told.clone());
        let listening = tokio::spawn(async move {
            signals.next().await;
            telling.cancel();
            tell(&"told to stop: what is under way is finished or undone; a second signal ends it at once");
            signals.next().await;
            log::finish();
            std::process::exit(1);
        });
        Stop { told, _listening: AbortOnDropHandle::new(listening) }
    }

    /// For work that looks by itself whether it is to stop.
    pub(super) fn token(&self) -> &CancellationToken {
        &self.told
    }

    /// Does work that may be given up wherever it waits, since each of its steps is done whole or not at all. `stopped` says what was done then, and
    /// how to go on.
    pub(super) async fn or<T, E: Display>(
        &self,
        stopped: &str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, String> {
        tokio::select! {
            biased;
            () = self.told.cancelled() => Err(stopped.to_owned()),
            done = work => done.map_err(|error| error.to_string()),
        }
    }
}

//! Connections over HTTP that wait for a request as long as a call goes on, so that no turn pays for a handshake.
//!
//! A client of HTTP opens a connection when it is asked something. So what a call will ask is asked for the head of its address when the call
//! begins, again before the connection would be closed because nobody has used it, and at once when a request has used its connection up: one
//! that is broken off, as by an interruption, takes its connection along, and the next turn comes within seconds. Where several requests are under
//! way and use all that there are, one more is opened for the next. All calls of a relay share
//! what waits: whoever finds a connection there, or somebody who opens one, opens none. A provider that does not answer is asked again once in a
//! while, and that it did not says nothing to its breaker: what is wrong is told to a request, and to nobody before.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::connections::FRESH_FOR;
use super::{Service, Upstream};

/// Connections are kept ready for a call, until this is dropped.
#[derive(Debug)]
pub struct Ready {
    _until: DropGuard,
}

impl Ready {
    /// Keeps a connection ready to whichever of these providers would be asked next for each service; `None` if none of them is asked over HTTP.
    #[must_use]
    pub fn keep(
        providers: &[Arc<Upstream>],
        tasks: &TaskTracker,
        shutdown: &CancellationToken,
    ) -> Option<Ready> {
        if providers.iter().all(|upstream| upstream.provider().kind.is_fed) {
            return None;
        }
        let over = shutdown.child_token();
        let until = over.clone().drop_guard();
        let (providers, shutdown) = (providers.to_vec(), shutdown.clone());
        tasks.spawn(async move {
            loop {
                let next = [Service::SpeechToText, Service::LanguageModel, Service::TextToSpeech]
                    .map(|service| asked_next(&providers, service));
                // A call that ends meanwhile leaves what it opens to others: it is soon there.
                let wait = tokio::select! {
                    () = shutdown.cancelled() => return,
                    wait = look(next) => wait,
                };
                let [hearing, thinking, speaking] = next;
                tokio::select! {
                    () = over.cancelled() => return,
                    () = sleep(wait) => {}
                    () = wanted(hearing) => {}
                    () = wanted(thinking) => {}
                    () = wanted(speaking) => {}
                }
            }
        });
        Some(Ready { _until: until })
    }
}

/// Which of the providers would be asked next for this.
fn asked_next(providers: &[Arc<Upstream>], service: Service) -> Option<&Arc<Upstream>> {
    providers.iter().find(|upstream| upstream.service() == service && upstream.is_asked())
}

/// Has a connection to each of those wait that would be asked next, and says after what time to look again.
async fn look(next: [Option<&Arc<Upstream>>; 3]) -> Duration {
    let [hearing, thinking, speaking] = next;
    let (hearing, thinking, speaking) =
        tokio::join!(be_ready(hearing), be_ready(thinking), be_ready(speaking));
    hearing.min(thinking).min(speaking)
}

async fn be_ready(next: Option<&Arc<Upstream>>) -> Duration {
    match next {
        Some(upstream) => upstream.be_ready().await,
        None => FRESH_FOR,
    }
}

/// Waits until one more connection is wanted to the provider that would be asked next; for ever without one.
async fn wanted(next: Option<&Arc<Upstream>>) {
    match next {
        Some(upstream) => upstream.wanted().await,
        None => std::future::pending().await,
    }
}

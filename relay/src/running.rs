//! Work that goes on by itself.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// Work that the runtime polls, whether or not its owner does.
///
/// A future that is held and not polled keeps what it holds: a connection, a place in a queue, a lock. Whoever holds one and waits
/// for something else may wait for itself. So whatever a session has under way is one of these (`relay/clippy.toml` refuses to box a
/// future in any other way), and it lets go of what it holds however long nobody looks at it.
///
/// Dropped, it goes on to its end: a transaction is not to be left in the middle. So what is started here ends by itself, soon.
#[derive(Debug)]
pub(crate) struct Running<T>(JoinHandle<T>);

impl<T: Send + 'static> Running<T> {
    /// Starts the work as a task that the relay waits for before it stops. What it logs is of whoever starts it.
    pub(crate) fn start(tasks: &TaskTracker, work: impl Future<Output = T> + Send + 'static) -> Running<T> {
        Running(tasks.spawn(work.in_current_span()))
    }
}

impl<T> Future for Running<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        match ready!(Pin::new(&mut self.0).poll(context)) {
            Ok(done) => Poll::Ready(done),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime ends, and with it whoever waits here.
                Err(_) => Poll::Pending,
            },
        }
    }
}

/// Waits for what is under way, for ever if nothing is. Dropping the future loses nothing.
pub(crate) async fn waited<T>(running: &mut Option<Running<T>>) -> T {
    let Some(work) = running else { return std::future::pending().await };
    let done = work.await;
    *running = None;
    done
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Mutex;

    use super::*;

    #[tokio::test]
    async fn what_is_under_way_lets_go_of_what_it_holds_while_nobody_polls_it() {
        let connection = Arc::new(Mutex::new(0));
        let one = connection.clone();
        let work = async move {
            let mut held = one.lock().await;
            tokio::task::yield_now().await;
            *held += 1;
        };
        let mut running = Some(Running::start(&TaskTracker::new(), work));
        tokio::task::yield_now().await;
        assert!(connection.try_lock().is_err(), "it is in the middle of it");
        assert_eq!(*connection.lock().await, 1, "it has gone on to its end");
        waited(&mut running).await;
        assert!(running.is_none());
    }
}

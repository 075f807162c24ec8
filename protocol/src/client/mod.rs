//! The client's end of the link.

mod io;

pub use io::*;

use crate::Time;

/// The client's end of the link.
#[derive(Debug)]
pub struct Client {}

impl Client {
    /// A client that waits for [`Input::Start`].
    #[must_use]
    pub fn new(_config: Config) -> Self {
        Client {}
    }

    /// One thing happened. Drain [`Client::poll_output`] afterwards, then arm one timer for [`Client::poll_timeout`].
    pub fn handle_input(&mut self, _now: Time, _input: Input<'_>) {}

    /// The next thing to do; `None` when there is nothing until the next input.
    pub fn poll_output(&mut self) -> Option<Output<'_>> {
        None
    }

    /// When [`Input::Timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        None
    }

    /// The connection as the application sees it.
    #[must_use]
    pub fn state(&self) -> State {
        State::Idle
    }
}

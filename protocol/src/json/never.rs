//! The error of what cannot fail.

use std::fmt::{self, Display};

/// An error that there is not, so that nothing has to be downloaded for it: no words either for the case that somebody makes one, which nobody does,
/// since whoever reads notes what is wrong and goes on.
#[derive(Debug)]
pub(super) enum Never {}

impl Display for Never {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl std::error::Error for Never {}

impl serde::ser::Error for Never {
    fn custom<T: Display>(_: T) -> Self {
        std::process::abort()
    }
}

impl serde::de::Error for Never {
    fn custom<T: Display>(_: T) -> Self {
        std::process::abort()
    }
}

//! By `serde_json`.

use serde::{Deserialize, Serialize};

/// A text that may be JSON.
pub(crate) struct Document<'a>(&'a str);

impl<'a> Document<'a> {
    /// Whether it is JSON shows when something is read.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        Some(Document(text))
    }

    /// Reads it as a `T`.
    pub(crate) fn read<T: Deserialize<'a>>(&self) -> Option<T> {
        serde_json::from_str(self.0).ok()
    }
}

/// Writes JSON text.
pub(crate) fn write(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("names are texts, and numbers are whole")
}

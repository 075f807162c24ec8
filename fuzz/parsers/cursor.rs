//! Where the next page of a list begins, as a client gives it back: whatever is read is what would be written.

use std::fmt::Debug;

use relay::records::store::{Cursor, UsageCursor};
use relay::server::{read_cursor, write_cursor};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Does with the input what is done with bytes of strangers. It panics if a promise is broken.
pub(crate) fn run(input: &[u8]) {
    let Ok(given) = std::str::from_utf8(input) else { return };
    try_as::<Cursor>(given);
    try_as::<UsageCursor>(given);
}

fn try_as<C: DeserializeOwned + Serialize + PartialEq + Debug>(given: &str) {
    let Some(cursor) = read_cursor::<C>(given) else { return };
    assert_eq!(read_cursor::<C>(&write_cursor(&cursor)), Some(cursor));
}

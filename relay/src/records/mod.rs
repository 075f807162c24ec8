//! What is written, and where: the store, what is owed to it while it is away, recordings, how long all of it is kept, and how it moves to another
//! database.

pub mod moving;
pub mod recording;
pub mod retention;
pub mod spill;
pub mod store;

use std::sync::Arc;

use recording::Recordings;
use spill::Spill;
use store::Store;

/// What is written, and where.
#[derive(Debug)]
pub struct Records {
    /// Sessions, turns and usage, on disk.
    pub store: Arc<dyn Store>,
    /// Where what is to be written is kept while the database is away.
    pub spill: Spill,
    /// Where recordings are; nothing is recorded without.
    pub recordings: Option<Arc<Recordings>>,
}

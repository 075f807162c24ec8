//! Recordings: off by default, announced to the page, one stereo WAV file for each session and epoch.
//!
//! The session's task mixes ([`Mixer`]) and hands blocks over without waiting; a writer, one task each, puts them into a file in the
//! data folder, the spool. When the session leaves, the file is finished, carried to the configured folder or bucket and removed. What
//! a relay that was lost left in its spool is finished and carried by the next one that starts there. `docs/recordings.md` says what
//! each channel holds.

mod mixer;
mod place;
mod recorder;
mod spool;
mod track;
mod wav;

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use axum::body::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::sync::Semaphore;

pub use mixer::{Input, Mixer, Output};
pub use recorder::Recorder;

use crate::config::RecordingPlace;
use crate::records::store::SessionRow;
use spool::Spool;

/// Files that are carried at the same time.
const CARRIED_AT_ONCE: usize = 4;
/// Read at once for a listener, who may be slow: each such piece is a request of its own.
const READ_BYTES: usize = 1 << 20;

/// Where recordings are, and how they get there.
#[derive(Debug)]
pub struct Recordings {
    place: Arc<dyn ObjectStore>,
    spool: Spool,
    /// Bounds memory and connections: a part of a file is in memory while it is sent.
    carrying: Semaphore,
}

/// A recording as one WAV file: a header, and the audio of its pieces.
#[derive(Debug)]
pub struct Playback {
    place: Arc<dyn ObjectStore>,
    /// Bytes of audio.
    audio: u64,
    /// Stored files, and how long each is with a header of its own.
    pieces: Vec<(Key, u64)>,
}

/// Why a recording is not there, or not gone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// The configured place cannot be used.
    #[error("recording.{key}: {reason}")]
    Place {
        /// `dir` or `url`.
        key: &'static str,
        /// Why.
        reason: String,
    },
    /// The folder for what is being recorded cannot be used.
    #[error("the folder for recordings on their way: {0}")]
    Spool(#[from] io::Error),
    /// Nothing is there: not yet, or not any more.
    #[error("no such recording")]
    NotFound,
    /// It is being written or sent.
    #[error("the recording is on its way")]
    Busy,
    /// The folder or bucket cannot be reached or said no.
    #[error("recordings: {0}")]
    Store(#[source] object_store::Error),
}

impl From<object_store::Error> for RecordingError {
    fn from(error: object_store::Error) -> RecordingError {
        match error {
            object_store::Error::NotFound { .. } => RecordingError::NotFound,
            error => RecordingError::Store(error),
        }
    }
}

/// The key of a recording: ids only, nothing a user can choose. A session's row holds its keys, with a space between them where the
/// session went on in another relay.
#[must_use]
pub fn key(session_id: &str, epoch: u32, started_at_ms: i64) -> String {
    let day = Timestamp::from_millisecond(started_at_ms).unwrap_or_default().to_zoned(TimeZone::UTC).date();
    let (year, month, day) = (day.year(), day.month(), day.day());
    let epoch = if epoch == 0 { String::new() } else { format!(".{epoch}") };
    format!("{year:04}/{month:02}/{day:02}/{session_id}{epoch}.wav")
}

/// The head of a WAV file that goes on for as long as the call does.
pub(crate) fn live_header() -> Bytes {
    Bytes::copy_from_slice(&wav::header(u64::MAX))
}

/// Up to which position of the user's timeline the recording of the relay before has what was said, for the one that takes the session
/// over. A relay that stops notes in the ledger all that came, and that the client is gone. One that is killed loses what it had not
/// written to its disk, nobody knows how much: then everything that comes again is recorded.
pub(crate) fn recorded_through(row: &SessionRow) -> u32 {
    if row.attached || row.recording.is_none() { 0 } else { row.metered_position }
}

impl Recordings {
    /// Whether recordings can go to this place, as far as it can be said without going there.
    ///
    /// # Errors
    /// When the variables `AWS_*` make no sense.
    pub fn check(
        place: &RecordingPlace,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), RecordingError> {
        match place {
            RecordingPlace::Folder(_) => Ok(()),
            RecordingPlace::Bucket(_) => place::open(place, environment).map(drop),
        }
    }

    /// Writes a small file to this place and deletes it.
    ///
    /// # Errors
    /// When the place cannot be reached, or says no.
    pub async fn probe(
        place: &RecordingPlace,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), RecordingError> {
        let place = place::open(place, environment)?;
        let key = Key::from(format!("voxrelay-check-{}", uuid::Uuid::now_v7()));
        place.put(&key, Bytes::from_static(b"voxrelay config --check --connect").into()).await?;
        Ok(place.delete(&key).await?)
    }

    /// Recordings in this place, by way of a folder in `data_dir`, whose disk keeps `min_free` bytes for others. The variables `AWS_*` say
    /// how to reach a bucket.
    ///
    /// # Errors
    /// When the folder cannot be made, or the variables make no sense.
    pub fn new(
        place: &RecordingPlace,
        data_dir: &Path,
        min_free: u64,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Recordings, RecordingError> {
        Ok(Recordings {
            place: place::open(place, environment)?,
            spool: Spool::create(data_dir, min_free)?,
            carrying: Semaphore::new(CARRIED_AT_ONCE),
        })
    }

    /// Opens what a session's row names: the pieces of a session that went on in another relay follow each other in one file.
    ///
    /// # Errors
    /// When nothing is there (a call that goes on, or ended this moment, is still on its way), or the place cannot be reached.
    pub async fn open(&self, recording: &str) -> Result<Playback, RecordingError> {
        let mut pieces = Vec::new();
        for key in keys(recording) {
            match self.place.head(&key).await {
                Ok(found) if found.size > wav::HEADER_BYTES => pieces.push((key, found.size)),
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if pieces.is_empty() {
            return Err(RecordingError::NotFound);
        }
        let audio = pieces.iter().map(|(_, size)| size - wav::HEADER_BYTES).sum();
        Ok(Playback { place: Arc::clone(&self.place), audio, pieces })
    }

    /// Deletes what a session's row named, also where it is still on its way. What is not there counts as deleted.
    ///
    /// # Errors
    /// When the place cannot be reached, or a recording is being written or sent; to be tried again.
    pub async fn delete(&self, recording: &str) -> Result<(), RecordingError> {
        for key in keys(recording) {
            self.spool.remove(key.as_ref())?;
            self.delete_object(&key).await?;
        }
        Ok(())
    }

    async fn delete_object(&self, key: &Key) -> Result<(), RecordingError> {
        match self.place.delete(key).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Playback {
    /// Its length in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        wav::HEADER_BYTES + self.audio
    }

    /// These of its bytes, in order.
    pub fn read(self, wanted: Range<u64>) -> BoxStream<'static, Result<Bytes, RecordingError>> {
        let header = wav::header(self.audio);
        let end = wanted.end.min(wav::HEADER_BYTES);
        let header = header.get(wanted.start as usize..end as usize).map(Bytes::copy_from_slice);
        let mut begin = wav::HEADER_BYTES;
        let mut reads = Vec::new();
        for (key, size) in self.pieces {
            // Where the audio of this file is in the whole, and how much further than in the file.
            let (whole, shift) = (begin..begin + size - wav::HEADER_BYTES, begin - wav::HEADER_BYTES);
            begin = whole.end;
            let part = wanted.start.max(whole.start)..wanted.end.min(whole.end);
            for start in part.clone().step_by(READ_BYTES) {
                let end = part.end.min(start + READ_BYTES as u64);
                reads.push((key.clone(), start - shift..end - shift));
            }
        }
        let place = self.place;
        let audio = stream::iter(reads).then(move |(key, range)| {
            let place = Arc::clone(&place);
            async move { place.get_range(&key, range).await.map_err(RecordingError::from) }
        });
        stream::iter(header.map(Ok)).chain(audio).boxed()
    }
}

fn keys(recording: &str) -> impl Iterator<Item = Key> {
    recording.split_ascii_whitespace().map(Key::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_the_day_the_session_and_the_epoch() {
        let id = "0192d6c5-0000-7000-8000-000000000001";
        assert_eq!(key(id, 0, 1_796_083_199_000), format!("2026/11/30/{id}.wav"));
        assert_eq!(key(id, 2, 1_796_083_201_000), format!("2026/12/01/{id}.2.wav"));
    }
}

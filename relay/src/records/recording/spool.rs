//! Files on their way: written while the call goes on, then carried to their place and removed.
//!
//! Whoever writes or carries a file holds its lock, which ends with the process: an unlocked file was left by a relay that is gone.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::io::AsyncReadExt;

use super::{RecordingError, Recordings, wav};
use crate::operations::{log, telemetry};
use crate::records::store::{Store, StoreError, create_data_dir};

/// In the data folder.
const FOLDER: &str = "recordings-on-their-way";
/// Of a file that nobody has locked yet.
const NEW: &str = "new";
/// A file up to this size is sent at once, a longer one in parts of it. S3 takes parts from 5 MiB, and 10,000 of them.
const PART_BYTES: usize = 8 << 20;

/// The folder.
#[derive(Debug)]
pub(super) struct Spool {
    dir: PathBuf,
    /// Bytes of its disk that are for others.
    min_free: u64,
}

/// A file in it whose lock is held.
#[derive(Debug)]
pub(super) struct Spooled {
    pub(super) file: File,
    pub(super) key: String,
    path: PathBuf,
}

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carried {
    /// It is in its place.
    Stored,
    /// Nothing was recorded, or its session was deleted.
    Discarded,
}

/// Why a file stays where it is for now.
#[derive(Debug, thiserror::Error)]
pub(super) enum CarryError {
    #[error(transparent)]
    Recording(#[from] RecordingError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<io::Error> for CarryError {
    fn from(error: io::Error) -> CarryError {
        RecordingError::from(error).into()
    }
}

impl From<object_store::Error> for CarryError {
    fn from(error: object_store::Error) -> CarryError {
        RecordingError::from(error).into()
    }
}

impl Spool {
    pub(super) fn create(data_dir: &Path, min_free: u64) -> io::Result<Spool> {
        let dir = data_dir.join(FOLDER);
        create_data_dir(&dir)?;
        Ok(Spool { dir, min_free })
    }

    /// A new file with room for its head.
    pub(super) fn begin(&self, key: &str) -> io::Result<Spooled> {
        self.check_room()?;
        let path = self.path(key);
        let new = path.with_extension(NEW);
        let mut options = OpenOptions::new();
        options.create(true).truncate(true).read(true).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&new)?;
        file.try_lock()?;
        // Until it is finished it says nothing about its length: readers take what there is.
        file.write_all(&wav::header(u64::MAX))?;
        std::fs::rename(&new, &path)?;
        Ok(Spooled { file, key: key.to_owned(), path })
    }

    /// A recording must not fill the disk that the database is on.
    pub(super) fn check_room(&self) -> io::Result<()> {
        if self.min_free == 0 || fs4::available_space(&self.dir)? >= self.min_free {
            return Ok(());
        }
        let megabytes = self.min_free >> 20;
        let says = format!("the disk has less than {megabytes} MB left, see recording.min_free_mb");
        Err(io::Error::new(io::ErrorKind::StorageFull, says))
    }

    /// The files that nobody writes or carries.
    fn left(&self) -> io::Result<Vec<Spooled>> {
        let mut left = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).filter(|name| name.ends_with(".wav"));
            let Some(name) = name else { continue };
            // It may be carried and gone by now.
            let Ok(file) = OpenOptions::new().read(true).write(true).open(&path) else { continue };
            if file.try_lock().is_ok() && path.exists() {
                left.push(Spooled { file, key: name.replace('_', "/"), path });
            }
        }
        Ok(left)
    }

    /// Removes the file of a key, if it is here and nobody writes or carries it.
    pub(super) fn remove(&self, key: &str) -> Result<(), RecordingError> {
        let path = self.path(key);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        match file.try_lock() {
            Ok(()) => Ok(std::fs::remove_file(path)?),
            Err(TryLockError::WouldBlock) => Err(RecordingError::Busy),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    /// Keys have no `_`: they are dates, ids and epochs.
    fn path(&self, key: &str) -> PathBuf {
        self.dir.join(key.replace('/', "_"))
    }
}

impl Spooled {
    /// Writes the head for what is there. Says how many bytes of audio that is.
    fn finish(&mut self) -> io::Result<u64> {
        let audio = self.file.metadata()?.len().saturating_sub(wav::HEADER_BYTES);
        // A crash may have cut a frame in two.
        let audio = audio - audio % wav::FRAME_BYTES;
        self.file.set_len(wav::HEADER_BYTES + audio)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&wav::header(audio))?;
        self.file.seek(SeekFrom::Start(0))?;
        Ok(audio)
    }
}

impl Recordings {
    /// Finishes and carries what was left on its way: by a relay that is gone, or because the place could not be reached. Says how many
    /// files are in their place now.
    ///
    /// # Errors
    /// When the folder in the data folder cannot be read.
    pub async fn carry_left(&self, store: &dyn Store) -> Result<u32, RecordingError> {
        let mut stored = 0;
        for spooled in self.spool.left()? {
            stored += u32::from(self.carry(spooled, store).await == Some(Carried::Stored));
        }
        Ok(stored)
    }

    /// Finishes a file and carries it to its place. `None` if it has to stay for now.
    pub(super) async fn carry(&self, spooled: Spooled, store: &dyn Store) -> Option<Carried> {
        let key = spooled.key.clone();
        match self.try_carry(spooled, store).await {
            Ok(carried) => {
                telemetry::recording(match carried {
                    Carried::Stored => "stored",
                    Carried::Discarded => "discarded",
                });
                Some(carried)
            }
            Err(error) => {
                let error = log::with_causes(&error);
                tracing::warn!(%key, %error, "a recording stays in the data folder for now");
                telemetry::recording("kept");
                None
            }
        }
    }

    async fn try_carry(&self, mut spooled: Spooled, store: &dyn Store) -> Result<Carried, CarryError> {
        let audio = spooled.finish()?;
        let key = Key::from(&*spooled.key);
        if audio > 0 && is_wanted(store, &spooled.key).await? {
            let turn = self.carrying.acquire().await.expect("the semaphore is never closed");
            send(&*self.place, &key, &spooled.path).await?;
            drop(turn);
        }
        // Deleted in the meantime, it must not come back; nor may what a relay that was killed right here had sent.
        let carried = if audio > 0 && is_wanted(store, &spooled.key).await? {
            // Before the file is removed: a relay that is killed here does it again.
            let (id, part) = session_and_part(&spooled.key);
            store.recording_ready(id, part).await?;
            Carried::Stored
        } else {
            self.delete_object(&key).await?;
            Carried::Discarded
        };
        std::fs::remove_file(&spooled.path)?;
        Ok(carried)
    }
}

/// The session of a recording's key, and the epoch whose part of it this is: [`super::key`].
fn session_and_part(key: &str) -> (&str, &str) {
    let name = key.rsplit('/').next().unwrap_or(key);
    let name = name.strip_suffix(".wav").unwrap_or(name);
    name.split_once('.').unwrap_or((name, "0"))
}

/// Whether a session's row names the recording.
async fn is_wanted(store: &dyn Store, key: &str) -> Result<bool, StoreError> {
    let (id, _) = session_and_part(key);
    let row = store.session(id).await?;
    let recording = row.and_then(|row| row.recording).unwrap_or_default();
    Ok(recording.split_ascii_whitespace().any(|other| other == key))
}

async fn send(place: &dyn ObjectStore, key: &Key, path: &Path) -> Result<(), RecordingError> {
    let mut file = tokio::fs::File::open(path).await?;
    let first = part(&mut file).await?;
    if first.len() < PART_BYTES {
        place.put(key, first.into()).await?;
        return Ok(());
    }
    let mut upload = place.put_multipart(key).await?;
    let sent = async {
        let mut next = first;
        while !next.is_empty() {
            upload.put_part(next.into()).await?;
            next = part(&mut file).await?;
        }
        upload.complete().await?;
        Ok(())
    }
    .await;
    if sent.is_err() {
        // What was sent would stay there unseen.
        let _ = upload.abort().await;
    }
    sent
}

async fn part(file: &mut tokio::fs::File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(PART_BYTES as u64).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

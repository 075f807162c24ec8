//! The lock on a relay's data folder. The files in it belong to one relay at a time: a second relay would take the sessions of the first one
//! for lost.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::{StoreError, create_data_dir, unix_ms};

/// The file in the data folder that is locked.
pub const LOCK_FILE: &str = "voxrelay.lock";
/// The file in the data folder that names the relay which had the folder last.
pub const RELAY_FILE: &str = "voxrelay.relay";
/// How many bytes of the lock file or of the relay file are read at most.
const HOLDER_BYTES: u64 = 500;

/// The lock on a data folder. It ends when this is dropped, or when the process ends, in whatever way.
#[derive(Debug)]
pub struct FolderLock {
    file: File,
    /// Who has the folder, as the lock file says it.
    holder: String,
    dir: PathBuf,
}

impl FolderLock {
    /// Locks the folder, and makes it if it is not there.
    ///
    /// # Errors
    /// When another process has locked it, with what is known of that process, or when it cannot be made or locked.
    pub fn take(data_dir: &Path) -> Result<FolderLock, StoreError> {
        let path = data_dir.join(LOCK_FILE);
        let create = |source| StoreError::Create { path: path.display().to_string(), source };
        create_data_dir(data_dir).map_err(create)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(create)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let dir = data_dir.display().to_string();
                return Err(StoreError::InUse { dir, holder: holder(&mut file) });
            }
            Err(TryLockError::Error(source)) => return Err(create(source)),
        }
        let since = Timestamp::from_second(unix_ms() / 1_000).unwrap_or_default();
        let holder = format!("process {} since {since}", std::process::id());
        let mut lock = FolderLock { file, holder, dir: data_dir.to_owned() };
        lock.note(&lock.holder.clone());
        Ok(lock)
    }

    /// Notes in the lock file what this process does, for a process that finds the folder locked.
    pub fn note_doing(&mut self, doing: &str) {
        self.note(&format!("{}, {doing}", self.holder));
    }

    /// The id of the relay that had the folder before. Since the folder is locked by this process, that relay is gone: its leases can be
    /// ended at once, without waiting until they are over.
    #[must_use]
    pub fn relay_before(&self) -> Option<String> {
        let mut id = String::new();
        let file = File::open(self.dir.join(RELAY_FILE)).ok()?;
        file.take(HOLDER_BYTES).read_to_string(&mut id).ok()?;
        Some(id.trim().to_owned()).filter(|id| !id.is_empty())
    }

    /// Notes the id of the relay that has the folder, for the next one.
    pub fn note_relay(&self, id: &str) {
        if let Err(error) = std::fs::write(self.dir.join(RELAY_FILE), format!("{id}\n")) {
            tracing::warn!(%error, file = RELAY_FILE, "it is not noted which relay has the data folder");
        }
    }

    /// Writes a line to the lock file. A failure is only logged, since a full disk is no reason not to start.
    fn note(&mut self, line: &str) {
        if let Err(error) = self.write(line) {
            tracing::warn!(%error, file = LOCK_FILE, "it is not noted who has the data folder");
        }
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        writeln!(self.file, "{line}")?;
        self.file.flush()
    }
}

/// What the lock file says of the process that has locked it.
fn holder(file: &mut File) -> String {
    let mut holder = String::new();
    match file.take(HOLDER_BYTES).read_to_string(&mut holder) {
        Ok(_) if !holder.trim().is_empty() => holder.trim().to_owned(),
        _ => "another process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_holder_at_a_time_and_the_next_one_hears_who() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path().join("data");
        let mut first = FolderLock::take(&dir).expect("it is free");
        first.note_doing("listening on 127.0.0.1:8080");
        let refused = FolderLock::take(&dir).expect_err("it is taken").to_string();
        let id = format!("process {} since 20", std::process::id());
        assert!(refused.contains(&id) && refused.contains("listening on 127.0.0.1:8080"), "{refused}");
        assert!(refused.contains(&dir.display().to_string()), "{refused}");
        assert_eq!(first.relay_before(), None);
        first.note_relay("relay-1");
        drop(first);
        let second = FolderLock::take(&dir).expect("it is free again");
        assert_eq!(second.relay_before().as_deref(), Some("relay-1"), "whose sessions are free");
    }
}

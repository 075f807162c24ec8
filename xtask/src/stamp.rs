//! Skips work whose inputs have not changed: by content, so that a fresh checkout or a touched file costs nothing.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::Hasher;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::workspace;

/// What a piece of work was last done with.
pub(crate) struct Stamp {
    file: PathBuf,
    now: String,
}

impl Stamp {
    /// `inputs` are files or folders; what is missing counts as empty. `settings` are whatever else decides the result.
    pub(crate) fn new(name: &str, inputs: &[PathBuf], settings: &str) -> Result<Stamp> {
        let mut hasher = DefaultHasher::new();
        hasher.write(settings.as_bytes());
        for input in inputs {
            feed(&mut hasher, input)?;
        }
        let file = folder().join(format!("{name}.stamp"));
        Ok(Stamp { file, now: format!("{:016x}", hasher.finish()) })
    }

    /// Whether the work was done with the same inputs and what it made is still there.
    pub(crate) fn is_current(&self, made: &[PathBuf]) -> bool {
        made.iter().all(|path| path.exists())
            && fs::read_to_string(&self.file).is_ok_and(|before| before == self.now)
    }

    /// Remembers that the work is done.
    pub(crate) fn keep(&self) -> Result<()> {
        fs::create_dir_all(folder())?;
        fs::write(&self.file, &self.now).with_context(|| format!("cannot write {}", self.file.display()))
    }
}

/// Beside what is made rather than in the target directory, of which a person may have several.
fn folder() -> PathBuf {
    workspace::path("node_modules/.cache/xtask")
}

fn feed(hasher: &mut DefaultHasher, path: &Path) -> Result<()> {
    hasher.write(path.to_string_lossy().as_bytes());
    if path.is_dir() {
        let mut entries: Vec<PathBuf> =
            fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
        entries.sort();
        for entry in entries {
            feed(hasher, &entry)?;
        }
    } else if path.is_file() {
        let content = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        hasher.write_usize(content.len());
        hasher.write(&content);
    }
    Ok(())
}

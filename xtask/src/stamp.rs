//! Skips work whose inputs have not changed: by content, so that a fresh checkout or a touched file costs nothing.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::Hasher;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::workspace;

/// A piece of work: what it was last done with, and what it made.
pub(crate) struct Stamp {
    file: PathBuf,
    inputs: String,
    made: Vec<PathBuf>,
}

impl Stamp {
    /// `inputs` and `made` are files or folders; what is missing counts as empty. `settings` are whatever else decides the result.
    pub(crate) fn new(name: &str, inputs: &[PathBuf], settings: &str, made: &[PathBuf]) -> Result<Stamp> {
        let inputs = format!("{} {settings}", content_of(inputs)?);
        Ok(Stamp { file: folder().join(format!("{name}.stamp")), inputs, made: made.to_vec() })
    }

    /// Whether the work was done with the same inputs, and what it made is still there as it was made.
    pub(crate) fn is_current(&self) -> Result<bool> {
        let there = self.made.iter().all(|path| path.exists());
        Ok(there
            && fs::read_to_string(&self.file).is_ok_and(|before| self.now().is_ok_and(|now| before == now)))
    }

    /// Remembers that the work is done.
    pub(crate) fn keep(&self) -> Result<()> {
        fs::create_dir_all(folder())?;
        fs::write(&self.file, self.now()?).with_context(|| format!("cannot write {}", self.file.display()))
    }

    fn now(&self) -> Result<String> {
        Ok(format!("{} {}", self.inputs, content_of(&self.made)?))
    }
}

/// Beside what is made rather than in the target directory, of which a person may have several.
fn folder() -> PathBuf {
    workspace::path("node_modules/.cache/xtask")
}

fn content_of(paths: &[PathBuf]) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    for path in paths {
        feed(&mut hasher, path)?;
    }
    Ok(format!("{:016x}", hasher.finish()))
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

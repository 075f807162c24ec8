//! Recordings of people who speak, and of music, out of packages of Debian. They are fetched when something is measured with them and unpacked
//! below Cargo's target directory: nothing is installed, and nothing of them is part of the repository.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::step::{output, step, up_to_date};
use crate::workspace;

/// What is fetched. All of it is under licences that let anybody use it: CC BY-SA 3.0, CC BY 3.0, BSD.
const PACKAGES: [&str; 7] = [
    // Prompts of a telephone system: five recordings of four professional speakers, 8 kHz.
    "asterisk-core-sounds-en-wav",
    "asterisk-core-sounds-es-wav",
    "asterisk-core-sounds-fr-wav",
    "asterisk-core-sounds-it-wav",
    "asterisk-core-sounds-ru-wav",
    // A volunteer who reads a novel, and a user of a game of cards, 16 kHz.
    "pocketsphinx-testdata",
    // Music for those who wait, 8 kHz.
    "asterisk-moh-opsound-wav",
];

/// What people do beside speaking to an agent, and more of them: fetched where that is measured. Freedoom's sounds are under a licence of BSD's
/// kind, the others under the GPL and CC BY-SA.
const SOUNDS: [&str; 4] = [
    // Another speaker of those prompts, 8 kHz.
    "asterisk-prompt-it-menardi-wav",
    // A speaker who says where a loudspeaker is, 48 kHz.
    "alsa-utils",
    // Children's letters and syllables, some of which are words: many speakers, 44.1 kHz, Ogg Vorbis.
    "klettres-data",
    // Doors, switches and grunts, 11 and 22 kHz.
    "freedoom",
];

const ADVICE: &str =
    "the recordings come out of packages of Debian: run this on Debian or Ubuntu, after `apt-get update`";

/// The folder in which each package has a folder of its name, with what it would install. Fetches what is missing.
///
/// # Errors
/// When a package cannot be fetched or unpacked: the error says what is needed.
pub(crate) fn fetched() -> Result<PathBuf> {
    all_of(&PACKAGES)
}

/// The same with other sounds of people and of things.
///
/// # Errors
/// When a package cannot be fetched or unpacked: the error says what is needed.
pub(crate) fn fetched_with_sounds() -> Result<PathBuf> {
    all_of(&SOUNDS)?;
    fetched()
}

fn all_of(packages: &[&str]) -> Result<PathBuf> {
    let folder = workspace::cache().join("recordings");
    for package in packages {
        let title = format!("recordings of {package}");
        if folder.join(package).is_dir() {
            up_to_date(title);
        } else {
            step(title, || fetch(&folder, package))?;
        }
    }
    Ok(folder)
}

/// Fetches and unpacks a package. Its folder is there when it is whole.
fn fetch(folder: &Path, package: &str) -> Result<()> {
    let download = folder.join(format!("{package}.part"));
    if download.exists() {
        fs::remove_dir_all(&download).context("an earlier attempt cannot be removed")?;
    }
    fs::create_dir_all(&download).context("the cache cannot be written")?;
    output(Command::new("apt-get").current_dir(&download).args(["download", package]), ADVICE)?;
    let is_package = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "deb");
    let mut files = fs::read_dir(&download)?.filter_map(Result::ok).map(|entry| entry.path());
    let Some(file) = files.find(is_package) else { bail!("apt-get has fetched no package: {ADVICE}") };
    let unpacked = download.join("unpacked");
    output(Command::new("dpkg-deb").arg("-x").arg(file).arg(&unpacked), ADVICE)?;
    fs::rename(unpacked, folder.join(package)).context("the cache cannot be written")?;
    fs::remove_dir_all(&download).context("what was fetched cannot be removed")
}

//! The tools the tests need: installed where that is possible, asked for in one line where it is not.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use super::outcome::Outcome;
use crate::cargo_tool::answers;
use crate::prerequisites;
use crate::step::{output, run, step};
use crate::workspace;

/// Programs the tests call, and the Debian packages they come in: two voices, a reference resampler, a reader of the relay's database that is
/// not the relay, a pooler before PostgreSQL, and the proxies that `deploy/` configures.
const PROGRAMS: [(&str, &str); 8] = [
    ("espeak-ng", "espeak-ng"),
    ("flite", "flite"),
    ("sox", "sox"),
    ("sqlite3", "sqlite3"),
    ("pgbouncer", "pgbouncer"),
    ("nginx", "nginx-light"),
    ("haproxy", "haproxy"),
    ("caddy", "caddy"),
];

/// Names and places of a Chromium that somebody else installed.
const CHROMIUMS: [&str; 5] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/// Whether a program is installed, whatever it makes of the question for its version: flite has no answer to it.
pub(crate) fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

/// Sees to it that everything is there.
pub(super) fn ready() -> Result<Outcome> {
    prerequisites::wasm_target()?;
    prerequisites::node()?;
    prerequisites::npm_packages()?;
    let mut packages: Vec<&str> =
        PROGRAMS.iter().filter(|(program, _)| !is_there(program)).map(|(_, package)| *package).collect();
    if installed_chromium().is_none() && is_debian() {
        packages.push("chromium");
    }
    if !has_postgres() {
        packages.push("postgresql");
    }
    if !packages.is_empty() {
        install(&packages)?;
    }
    if installed_chromium().is_none() {
        step("downloading Chromium by Playwright", || {
            run(
                Command::new("npx").current_dir(workspace::root()).args([
                    "playwright-core",
                    "install",
                    "chromium",
                ]),
                "install Chromium or Chrome and run this again",
            )
        })?;
    }
    let chromium = chromium()?;
    Ok(Outcome::ok()
        .note(format!("browser: {}", output(Command::new(&chromium).arg("--version"), "")?.trim())))
}

/// The browser of the tests.
pub(crate) fn chromium() -> Result<PathBuf> {
    if let Some(path) = installed_chromium() {
        return Ok(path);
    }
    let script = "import { chromium } from 'playwright-core'; console.log(chromium.executablePath());";
    let path = output(
        workspace::node().args(["--input-type=module", "--eval", script]),
        "run `npm ci`, or set E2E_CHROMIUM to the path of a Chromium",
    )?;
    let path = PathBuf::from(path.trim());
    if !path.exists() {
        bail!("there is no Chromium: install one, or set E2E_CHROMIUM to its path");
    }
    Ok(path)
}

/// The server, of which the tests start one of their own.
fn has_postgres() -> bool {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    versions.map(|version| version.path().join("bin/postgres")).any(|program| program.exists())
        || (full_path("initdb").is_some() && full_path("postgres").is_some())
}

fn installed_chromium() -> Option<PathBuf> {
    let chosen = std::env::var_os("E2E_CHROMIUM").map(PathBuf::from);
    chosen.or_else(|| CHROMIUMS.iter().filter(|name| answers(name)).find_map(|name| full_path(name)))
}

/// Where in `PATH` the program lies; Playwright takes no bare name.
fn full_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Installs packages of Debian, and says how long that took.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let list = packages.join(" ");
    if !(is_root() && answers("apt-get")) {
        bail!(
            "install these and run this again: {list} (Debian: sudo apt-get install {list}; macOS: brew install {list})"
        );
    }
    step(format!("installing {list} (apt-get)"), || {
        let advice = "check the network and the package sources of apt";
        run(Command::new("apt-get").args(["update", "-qq"]), advice)?;
        run(
            Command::new("apt-get")
                .args(["install", "-y", "-qq", "--no-install-recommends"])
                .args(packages)
                .env("DEBIAN_FRONTEND", "noninteractive")
                // Programs are wanted and no services: the tests start what they need.
                .env("RUNLEVEL", "1"),
            advice,
        )
    })
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.starts_with(b"0\n"))
}

/// Debian's `chromium` is a real package; Ubuntu's needs snap.
pub(super) fn is_debian() -> bool {
    is_root()
        && fs::read_to_string("/etc/os-release")
            .is_ok_and(|text| text.lines().any(|line| line == "ID=debian"))
}

//! Steps that make calls in browsers of other makers, each of which is installed when such a step runs: they are big.

use anyhow::Result;

use super::outcome::Outcome;
use super::tests::{Background, browser_tests, node_tests};
use super::tools;
use crate::workspace;

/// Makes one call, which is cut and comes back.
const ONE_CALL: &str = "tests/engines/call.test.mjs";

/// A browser beside Chromium.
struct Engine {
    /// As the tests call it.
    name: &'static str,
    /// What a test of it starts, and the Debian packages in which that comes.
    programs: &'static [(&'static str, &'static str)],
}

const ENGINES: [Engine; 2] = [
    Engine {
        name: "firefox",
        // A Firefox without a loudspeaker plays nothing, so that it gets a sound server of its own.
        programs: &[
            ("firefox-esr", "firefox-esr"),
            ("pulseaudio", "pulseaudio"),
            ("paplay", "pulseaudio-utils"),
        ],
    },
    Engine { name: "webkit", programs: &[("WebKitWebDriver", "webkit2gtk-driver"), ("Xvfb", "xvfb")] },
];

/// One call in each engine, beside each other: a call mostly waits.
pub(super) fn one_call() -> Result<Outcome> {
    let (there, mut outcome) = ready()?;
    let calls: Vec<_> = there
        .into_iter()
        .map(|engine| {
            let mut call = browser_tests()?;
            call.env("E2E_ENGINES", engine).args(["--test", "--test-reporter=spec", ONE_CALL]);
            Ok(Background::start(call))
        })
        .collect::<Result<_>>()?;
    for call in calls {
        outcome.add(call.outcome(ONE_CALL)?);
    }
    Ok(outcome)
}

/// Whatever may happen in a call, in every engine, on phones and over a lossy link.
pub(super) fn everything() -> Result<Outcome> {
    let (there, mut outcome) = ready()?;
    let engines = ["chromium"].into_iter().chain(there).collect::<Vec<_>>().join(",");
    outcome.add(node_tests("tests/engines", |node| {
        node.env("E2E_ENGINES", engines)
            .env("E2E_FAKES", workspace::program("fakes"))
            .env("E2E_FAR", workspace::program("examples/far"))
    })?);
    Ok(outcome)
}

/// Installs what is missing where that is possible. The engines that are there, and what has to be said of those that are not.
fn ready() -> Result<(Vec<&'static str>, Outcome)> {
    let missing = |engine: &Engine| {
        engine.programs.iter().filter(|(program, _)| !tools::is_there(program)).map(|(_, package)| *package)
    };
    let packages: Vec<&str> = ENGINES.iter().flat_map(missing).collect();
    if !packages.is_empty() && tools::is_debian() {
        tools::install(&packages)?;
    }
    let mut there = Vec::new();
    let mut outcome = Outcome::ok();
    for engine in &ENGINES {
        let lacks: Vec<&str> = missing(engine).collect();
        if lacks.is_empty() {
            there.push(engine.name);
        } else {
            let note = format!(
                "{}: NOT CHECKED, as root on Debian it is installed: {}",
                engine.name,
                lacks.join(" ")
            );
            outcome = outcome.not_checked(&note);
        }
    }
    Ok((there, outcome))
}

//! A step that runs while another one mostly waits: this program once more, with that step alone.

use std::process::{Command, Output, Stdio};
use std::thread::JoinHandle;

use anyhow::{Context, Result};

use super::failures;
use super::outcome::Outcome;
use crate::workspace;

/// A step that is running in a process of its own. What it prints is shown when it is waited for.
pub(super) struct Beside(JoinHandle<std::io::Result<Output>>);

impl Beside {
    /// Starts a step for which those that it needs are done.
    pub(super) fn start(step: &'static str) -> Result<Beside> {
        let program = std::env::current_exe().context("where this program is, the system does not say")?;
        // Whoever waits for sound is not to wait for this.
        let mut command = if cfg!(unix) { Command::new("nice") } else { Command::new(&program) };
        if cfg!(unix) {
            command.args(["-n", "10"]).arg(&program);
        }
        command.current_dir(workspace::root()).args(["test", "--alone", "--only", step]).stdin(Stdio::null());
        Ok(Beside(std::thread::spawn(move || command.output())))
    }

    /// Waits for it, and says what came of it.
    pub(super) fn outcome(self, step: &str) -> Result<Outcome> {
        let output = self.0.join().expect("it only waits for a process").context("the step did not start")?;
        let said = String::from_utf8_lossy(&output.stdout);
        eprint!("{}{said}", String::from_utf8_lossy(&output.stderr));
        let outcome = read(&said, step).context("the step ended without its line: see above")?;
        // It has counted its tests by itself, and may be a check that has none.
        Ok(outcome.close(output.status.success(), step))
    }
}

/// Reads a step's line of the summary, the notes under it, and what failed.
fn read(said: &str, step: &str) -> Option<Outcome> {
    let mut lines = said.lines().skip_while(|line| line.split_whitespace().next() != Some(step));
    let mut words = lines.next()?.split_whitespace();
    let is_partly = words.nth(1) == Some("PARTLY");
    let mut outcome = Outcome { partly: is_partly, ..Outcome::ok() };
    outcome.failed = words.next_back()?.parse().ok()?;
    outcome.passed = words.next_back()?.parse().ok()?;
    outcome.beside = Some(words.collect::<Vec<_>>().join(" "));
    let notes = lines.map_while(|line| line.strip_prefix("  ").filter(|note| !note.starts_with(' ')));
    outcome.notes.extend(notes.map(str::to_owned));
    let heading = failures::heading(step);
    let failed = said.lines().skip_while(|line| *line != heading).skip(1);
    failed.map_while(|line| line.strip_prefix("    ")).for_each(|line| outcome.failures.say(line));
    Some(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steps_line_is_read_with_its_notes_and_nothing_else() {
        let said = "\nstep           result          time  passed  failed\n\
            fakes          PARTLY        70.1 s      40       1\n  a note\n  another\n               70.1 s\n\n\
            What failed in `fakes`:\n    test at a.test.mjs:1:1\n      AssertionError\n\n40 passed, 1 failed\n";
        let outcome = read(said, "fakes").expect("its line is there");
        assert_eq!((outcome.passed, outcome.failed, outcome.partly), (40, 1, true));
        assert_eq!(outcome.notes, ["a note", "another"]);
        let failed: Vec<String> = outcome.failures.told().collect();
        assert_eq!(failed, ["test at a.test.mjs:1:1", "  AssertionError"], "as it was said there");
        assert_eq!(
            outcome.beside.as_deref(),
            Some("70.1 s"),
            "what it took itself, however long it was waited for"
        );
        assert_eq!(read(said, "spoken"), None);

        let check =
            "step result time passed failed\nclippy         ok              2.1 s       0       0\n\n";
        let outcome = read(check, "clippy").expect("its line is there");
        assert_eq!(outcome.close(true, "clippy").failed, 0, "a check without tests may be good");
        let outcome = read(check, "clippy").expect("its line is there");
        assert_eq!(outcome.close(false, "clippy").failed, 1, "whatever its line says");
        assert_eq!(read("fakes ok", "fakes"), None);
    }
}

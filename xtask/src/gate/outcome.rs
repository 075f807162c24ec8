//! What came of a step, read from what the test programs print.

use super::failures::Failures;

/// How a test says that it could not look at what it is for.
const NOT_CHECKED: &str = "NOT CHECKED: ";

/// What came of a step.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Tests that passed. A check that runs no tests passes without counting.
    pub(crate) passed: u64,
    /// Tests that failed; a check that fails counts as one.
    pub(crate) failed: u64,
    /// Tests that were there and were not run.
    pub(crate) skipped: u64,
    /// Part of the check could not be made, and the notes say which.
    pub(crate) partly: bool,
    /// How long it took by itself, if it ran beside another step and was waited for afterwards.
    pub(crate) beside: Option<String>,
    /// What a reader of the summary has to know.
    pub(crate) notes: Vec<String>,
    /// What failed, in the words of who found it.
    pub(crate) failures: Failures,
}

impl Outcome {
    /// A check that found nothing wrong.
    pub(crate) fn ok() -> Outcome {
        Outcome::default()
    }

    /// A check that failed. What comes after the note's first line is what it found.
    pub(crate) fn failure(note: String) -> Outcome {
        let mut failures = Failures::default();
        note.lines().skip(1).for_each(|line| failures.say(line));
        Outcome { failed: 1, notes: vec![note], failures, ..Outcome::default() }
    }

    /// Adds something to say.
    pub(crate) fn note(mut self, note: impl Into<String>) -> Outcome {
        self.notes.push(note.into());
        self
    }

    /// Says what could not be checked. It is not passed, and not failed.
    pub(crate) fn not_checked(mut self, note: &str) -> Outcome {
        self.partly = true;
        self.note(note)
    }

    /// The result in one sign and in one word.
    pub(crate) fn verdict(&self) -> (&'static str, &'static str) {
        match (self.failed, self.partly) {
            (0, false) => ("✓", "ok"),
            (0, true) => ("!", "PARTLY"),
            _ => ("✗", "FAILED"),
        }
    }

    /// Reads a line of a test program: libtest's `test result: …`, node's count, how Python's unittest ends, or `NOT CHECKED: …` of a test that passes
    /// where it can look at nothing.
    pub(crate) fn read(&mut self, line: &str) {
        let line = plain(line);
        self.failures.read(&line);
        let line = line.trim();
        if let Some(counts) = line.strip_prefix("test result: ") {
            let counts = counts.split_once(". ").map_or("", |(_, counts)| counts);
            for part in counts.split(';') {
                match part.trim().split_once(' ') {
                    Some((number, "passed")) => self.passed += number.parse::<u64>().unwrap_or(0),
                    Some((number, "failed")) => self.failed += number.parse::<u64>().unwrap_or(0),
                    Some((number, "ignored")) => self.skipped += number.parse::<u64>().unwrap_or(0),
                    _ => {}
                }
            }
        } else if let Some((word, number)) = node_count(line) {
            let number = number.parse::<u64>().unwrap_or(0);
            match word {
                "pass" => self.passed += number,
                "fail" | "cancelled" => self.failed += number,
                "skipped" | "todo" => self.skipped += number,
                _ => {}
            }
        } else if line.starts_with(NOT_CHECKED) {
            self.partly = true;
            if !self.notes.iter().any(|note| note == line) {
                self.notes.push(line.to_owned());
            }
        } else if let Some(ran) = line.strip_prefix("Ran ") {
            let number = ran.split_once(" test").and_then(|(number, _)| number.parse::<u64>().ok());
            self.passed += number.unwrap_or(0);
        } else if let Some(counts) = line.strip_prefix("FAILED (").or_else(|| line.strip_prefix("OK (")) {
            for part in counts.trim_end_matches(')').split(", ") {
                let Some((word, number)) = part.split_once('=') else { continue };
                let number = number.parse::<u64>().unwrap_or(0);
                // All that ran were taken as passed.
                self.passed = self.passed.saturating_sub(number);
                match word {
                    "skipped" | "expected failures" => self.skipped += number,
                    _ => self.failed += number,
                }
            }
        }
    }

    /// Adds what came of another test program.
    pub(crate) fn add(&mut self, other: Outcome) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.partly |= other.partly;
        self.notes.extend(other.notes);
        self.failures.add(other.failures);
    }

    /// Closes the account of a test program: one that fails without a failed test, or runs none, is a failure too.
    pub(crate) fn finish(self, success: bool, program: &str) -> Outcome {
        let mut outcome = self.close(success, program);
        if success && outcome.passed == 0 {
            outcome.failed += 1;
            outcome.notes.push(format!("{program} ran no test"));
        }
        if outcome.skipped > 0 {
            outcome.notes.push(format!("{} skipped or ignored by {program}", outcome.skipped));
        }
        outcome
    }

    /// The same of a check, which may have no tests.
    pub(super) fn close(mut self, success: bool, program: &str) -> Outcome {
        self.failures.close();
        if !success && self.failed == 0 {
            self.failed = 1;
            self.notes.push(format!("{program} failed before its tests were done: see above"));
        }
        self
    }
}

/// `ℹ pass 3` of node's spec reporter, `# pass 3` of its TAP.
fn node_count(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("ℹ ").or_else(|| line.strip_prefix("# "))?.split_once(' ')
}

/// The line without colours.
fn plain(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        out.push_str(before);
        rest = after.find(|c: char| c.is_ascii_alphabetic()).map_or("", |end| &after[end + 1..]);
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> (u64, u64, u64) {
        let mut outcome = Outcome::ok();
        lines.iter().for_each(|line| outcome.read(line));
        (outcome.passed, outcome.failed, outcome.skipped)
    }

    #[test]
    fn libtest_and_node_lines_are_summed() {
        let cargo =
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.10s";
        let failed = "test result: \u{1b}[31mFAILED\u{1b}[0m. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out";
        let node = ["ℹ tests 9", "ℹ pass 5", "\u{1b}[34mℹ fail 1\u{1b}[39m", "# cancelled 1", "ℹ skipped 2"];
        assert_eq!(read(&[cargo, failed]), (15, 2, 1));
        assert_eq!(read(&node), (5, 2, 2));
        assert_eq!(read(&["test result: nonsense", "ℹ pass", "running 3 tests"]), (0, 0, 0));
    }

    #[test]
    fn what_a_test_could_not_look_at_stands_in_the_summary_once() {
        let mut outcome = Outcome::ok();
        let lines =
            ["NOT CHECKED: a full disk", "NOT CHECKED: a full disk", "test result: ok. 2 passed; 0 failed"];
        lines.iter().for_each(|line| outcome.read(line));
        let outcome = outcome.finish(true, "cargo test");
        assert_eq!((outcome.verdict().1, outcome.passed), ("PARTLY", 2));
        assert_eq!(outcome.notes, ["NOT CHECKED: a full disk"]);
    }

    #[test]
    fn of_what_unittest_ran_the_failed_and_the_skipped_are_taken_off() {
        assert_eq!(read(&["Ran 7 tests in 0.748s", "", "OK"]), (7, 0, 0));
        assert_eq!(read(&["Ran 1 test in 0.1s", "OK (skipped=1)"]), (0, 0, 1));
        assert_eq!(read(&["Ran 7 tests in 0.7s", "FAILED (failures=1, errors=2, skipped=1)"]), (3, 3, 1));
        assert_eq!(read(&["Ran 0 tests in 0.0s", "FAILED (errors=1)"]), (0, 1, 0));
    }

    #[test]
    fn a_program_that_runs_no_test_or_dies_early_has_failed() {
        assert_eq!(Outcome::ok().finish(true, "x").failed, 1);
        assert_eq!(Outcome { passed: 3, ..Outcome::ok() }.finish(false, "x").failed, 1);
        assert_eq!(Outcome { passed: 3, ..Outcome::ok() }.finish(true, "x").failed, 0);
    }
}

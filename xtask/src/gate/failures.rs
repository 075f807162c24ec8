//! What failed, in the words of the test programs: for the summary, which may be all that is kept of a run.

use std::collections::VecDeque;

/// Of one step.
const MOST_BYTES: usize = 4_096;
/// Of one test.
const MOST_LINES: usize = 30;
/// Of one line, in characters.
const LONGEST: usize = 300;

/// The heading under which the summary says what failed in a step.
pub(super) fn heading(step: &str) -> String {
    format!("What failed in `{step}`:")
}

/// What is said of the tests of a step that failed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Failures {
    lines: Vec<String>,
    /// Lines for which there was no room.
    left_out: usize,
    /// The test that is being read of.
    test: Option<(Teller, VecDeque<String>)>,
    /// What comes is the trace of a panic.
    is_trace: bool,
}

/// Which kind of program tells of a test that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Teller {
    /// `---- name stdout ----`, then what the test printed: how it ends says why it failed.
    Libtest,
    /// `test at file:line:column`, then the error: how it begins says what it is.
    Node,
    /// `FAIL: test_name (…)`, then the traceback.
    Unittest,
}

impl Teller {
    /// Whose first line about a test that failed this is.
    fn of_first(line: &str) -> Option<Teller> {
        if line.starts_with("---- ") && line.ends_with(" stdout ----") {
            Some(Teller::Libtest)
        } else if line.starts_with("test at ") {
            Some(Teller::Node)
        } else if line.starts_with("FAIL: test") || line.starts_with("ERROR: test") {
            Some(Teller::Unittest)
        } else {
            None
        }
    }

    /// Whether this line is of something else again.
    fn is_over(self, line: &str) -> bool {
        match self {
            Teller::Libtest => line == "failures:" || line.starts_with("test result: "),
            Teller::Node => line.starts_with("ℹ "),
            Teller::Unittest => line.starts_with("Ran ") || line.starts_with("====="),
        }
    }
}

impl Failures {
    /// Reads a line, without colours, of what a test program prints.
    pub(super) fn read(&mut self, line: &str) {
        let line = line.trim_end();
        if let Some(teller) = Teller::of_first(line) {
            self.close();
            self.test = Some((teller, VecDeque::new()));
            self.is_trace = false;
        }
        let Some((teller, lines)) = &mut self.test else { return };
        if teller.is_over(line) {
            self.close();
            return;
        }
        self.is_trace = line == "stack backtrace:" || (self.is_trace && line.starts_with(' '));
        if self.is_trace || line.trim_start().is_empty() || line.contains("node:internal/") {
            return;
        }
        if lines.len() == MOST_LINES {
            if *teller != Teller::Libtest {
                return;
            }
            // The first one has the test's name.
            lines.remove(1);
        }
        lines.push_back(short(line));
    }

    /// Takes a line that says what failed.
    pub(super) fn say(&mut self, line: &str) {
        self.close();
        if !line.trim_start().is_empty() {
            self.keep(short(line.trim_end()));
        }
    }

    /// Takes what failed elsewhere in the same step.
    pub(super) fn add(&mut self, mut other: Failures) {
        self.close();
        other.close();
        for line in other.lines {
            self.keep(line);
        }
        self.left_out += other.left_out;
    }

    /// What was read last is read to its end.
    pub(super) fn close(&mut self) {
        let Some((_, lines)) = self.test.take() else { return };
        for line in lines {
            self.keep(line);
        }
    }

    /// What there is to say of what was read to its end.
    pub(super) fn told(&self) -> impl Iterator<Item = String> {
        let more = (self.left_out > 0).then(|| format!("… and {} lines more: see above", self.left_out));
        self.lines.iter().cloned().chain(more)
    }

    fn keep(&mut self, line: String) {
        let bytes: usize = self.lines.iter().map(String::len).sum();
        if self.left_out > 0 || bytes + line.len() > MOST_BYTES {
            self.left_out += 1;
        } else {
            self.lines.push(line);
        }
    }
}

fn short(line: &str) -> String {
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{} …", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        let mut failures = Failures::default();
        lines.into_iter().for_each(|line| failures.read(line));
        failures.close();
        failures.told().collect()
    }

    #[test]
    fn of_libtest_each_failed_test_is_told_without_its_backtrace() {
        let lines = told([
            "test a::works ... ok",
            "failures:",
            "",
            "---- a::breaks stdout ----",
            "",
            "thread 'a::breaks' (7) panicked at src/a.rs:3:5:",
            "assertion `left == right` failed",
            "  left: 1",
            "stack backtrace:",
            "   0: __rustc::rust_begin_unwind",
            "             at /rustc/library/std/src/panicking.rs:697:5",
            "note: Some details are omitted",
            "",
            "failures:",
            "    a::breaks",
            "",
            "test result: FAILED. 1 passed; 1 failed; 0 ignored",
        ]);
        let wanted = [
            "---- a::breaks stdout ----",
            "thread 'a::breaks' (7) panicked at src/a.rs:3:5:",
            "assertion `left == right` failed",
            "  left: 1",
            "note: Some details are omitted",
        ];
        assert_eq!(lines, wanted);
    }

    #[test]
    fn of_node_each_failed_test_is_told_with_its_place_and_its_message() {
        let lines = told([
            "▶ the element",
            "  ✖ a whole call by the keyboard alone (12.3ms)",
            "ℹ fail 1",
            "",
            "✖ failing tests:",
            "",
            "test at tests/browser/element.test.mjs:48:3",
            "✖ a whole call by the keyboard alone (12.3ms)",
            "  AssertionError [ERR_ASSERTION]: whoever is asked can answer at once",
            "",
            "  'call' !== 'main'",
            "      at TestContext.<anonymous> (file:///tests/browser/element.test.mjs:54:12)",
            "      at process.processTicksAndRejections (node:internal/process/task_queues:95:5)",
            "",
            "test at tests/browser/other.test.mjs:7:3",
            "✖ another one (1.0ms)",
        ]);
        let wanted = [
            "test at tests/browser/element.test.mjs:48:3",
            "✖ a whole call by the keyboard alone (12.3ms)",
            "  AssertionError [ERR_ASSERTION]: whoever is asked can answer at once",
            "  'call' !== 'main'",
            "      at TestContext.<anonymous> (file:///tests/browser/element.test.mjs:54:12)",
            "test at tests/browser/other.test.mjs:7:3",
            "✖ another one (1.0ms)",
        ];
        assert_eq!(lines, wanted);
    }

    #[test]
    fn of_unittest_each_failed_test_is_told_with_its_traceback() {
        let lines = told([
            "======",
            "FAIL: test_voice (test_elevenlabs.Voice)",
            "------",
            "Traceback (most recent call last):",
            "AssertionError: 1 != 2",
            "",
            "------",
            "Ran 7 tests in 0.7s",
            "FAILED (failures=1)",
        ]);
        assert_eq!(lines.first().map(String::as_str), Some("FAIL: test_voice (test_elevenlabs.Voice)"));
        assert_eq!(lines.last().map(String::as_str), Some("------"));
        assert!(lines.contains(&"AssertionError: 1 != 2".to_owned()), "{lines:?}");
    }

    #[test]
    fn of_a_test_that_says_much_its_name_and_its_end_are_told() {
        let logged: Vec<String> = (0..1_000).map(|number| format!("line {number}")).collect();
        let first = ["---- a::talks stdout ----"];
        let lines = told(first.into_iter().chain(logged.iter().map(String::as_str)).chain(["failures:"]));
        assert_eq!(lines.len(), MOST_LINES);
        assert_eq!(lines[0], "---- a::talks stdout ----");
        assert_eq!(lines[MOST_LINES - 1], "line 999");
    }

    #[test]
    fn what_there_is_no_room_for_is_counted() {
        let mut failures = Failures::default();
        for number in 0..100 {
            failures.say(&format!("{number} {}", "é".repeat(1_000)));
        }
        let lines: Vec<String> = failures.told().collect();
        assert!(lines.iter().map(String::len).sum::<usize>() < MOST_BYTES + 100);
        let kept = lines.len() - 1;
        assert_eq!(lines[kept], format!("… and {} lines more: see above", 100 - kept));
    }
}

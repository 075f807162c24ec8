//! What Linux says of this process, under the names that all clients of Prometheus have for it. Other systems say nothing here.

use std::fmt::Write;
use std::fs::{read_dir, read_to_string};

use super::names::{
    Kind, METRICS, PROCESS_CPU, PROCESS_MAX_FDS, PROCESS_OPEN_FDS, PROCESS_RESIDENT, PROCESS_START,
    PROCESS_THREADS, PROCESS_VIRTUAL,
};

/// The unit of times in `/proc`: `USER_HZ`, which is 100 on every processor that a relay is built for, whatever the kernel's own clock.
const TICKS_PER_SECOND: f64 = 100.0;

/// All of it in the text format of Prometheus. The recorder could not hold it: its counters are whole numbers.
pub(super) fn text() -> String {
    let file = |name: &str| read_to_string(format!("/proc/{name}")).unwrap_or_default();
    let stat = Stat::parse(&file("self/stat"));
    let ticks = |ticks: f64| ticks / TICKS_PER_SECOND;
    let booted = number_behind(&file("stat"), "btime");
    // The listing is a file of its own while it goes on.
    let open = read_dir("/proc/self/fd").ok().map(|files| files.count().saturating_sub(1) as f64);
    let measured = [
        (PROCESS_CPU, stat.as_ref().map(|stat| ticks(stat.used))),
        (PROCESS_RESIDENT, number_behind(&file("self/status"), "VmRSS:").map(|kib| kib * 1024.0)),
        (PROCESS_VIRTUAL, stat.as_ref().map(|stat| stat.virtual_bytes)),
        (PROCESS_OPEN_FDS, open),
        (PROCESS_MAX_FDS, number_behind(&file("self/limits"), "Max open files")),
        (PROCESS_THREADS, stat.as_ref().map(|stat| stat.threads)),
        (PROCESS_START, stat.as_ref().zip(booted).map(|(stat, booted)| booted + ticks(stat.started))),
    ];
    let mut text = String::new();
    for metric in METRICS {
        let found = measured.iter().find(|(name, _)| *name == metric.name);
        let Some(value) = found.and_then(|(_, value)| *value) else { continue };
        let kind = if metric.kind == Kind::Counter { "counter" } else { "gauge" };
        let name = metric.name;
        // A text takes everything.
        let _ = write!(text, "# HELP {name} {}\n# TYPE {name} {kind}\n{name} {value}\n\n", metric.meaning);
    }
    text
}

/// Fields of `/proc/self/stat`; times are in ticks.
#[derive(Debug, PartialEq)]
struct Stat {
    used: f64,
    threads: f64,
    /// Since the machine was started.
    started: f64,
    virtual_bytes: f64,
}

impl Stat {
    /// Reads them by their places in proc_pid_stat(5). The name of the program stands before them in brackets, and may hold anything.
    fn parse(text: &str) -> Option<Stat> {
        let (_, fields) = text.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        // The first one here is the third there.
        let field = |place: usize| fields.get(place - 3)?.parse::<f64>().ok();
        Some(Stat {
            used: field(14)? + field(15)?,
            threads: field(20)?,
            started: field(22)?,
            virtual_bytes: field(23)?,
        })
    }
}

/// The first number behind this at the beginning of a line.
fn number_behind(text: &str, words: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(words))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_a_process_are_found_behind_a_name_with_brackets_and_spaces() {
        let text = "71 (a) b (c) S 1 71 71 0 -1 4194560 9 0 0 0 250 50 0 0 20 0 9 0 12345 999424 1210 184";
        let stat = Stat { used: 300.0, threads: 9.0, started: 12_345.0, virtual_bytes: 999_424.0 };
        assert_eq!(Stat::parse(text), Some(stat));
        assert_eq!(Stat::parse("71 (short) S 1"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn numbers_are_found_behind_their_words_and_a_limit_that_is_none_is_not_told() {
        assert_eq!(number_behind("VmHWM:\t 9 kB\nVmRSS:\t    1024 kB\n", "VmRSS:"), Some(1_024.0));
        let limits = "Max open files            1024                 524288               files\n";
        assert_eq!(number_behind(limits, "Max open files"), Some(1_024.0));
        assert_eq!(number_behind("Max open files   unlimited   unlimited   files\n", "Max open files"), None);
        assert_eq!(number_behind("", "btime"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_says_what_it_has_used() {
        let text = text();
        for metric in METRICS.iter().filter(|metric| metric.name.starts_with("process_")) {
            let line = text.lines().find_map(|line| line.strip_prefix(&format!("{} ", metric.name)));
            // Where the number of files has no limit there is none to tell.
            let Some(line) = line else {
                assert_eq!(metric.name, PROCESS_MAX_FDS, "{text}");
                continue;
            };
            let value: f64 = line.parse().expect("a number");
            assert!(value > 0.0 || metric.name == PROCESS_CPU, "{text}");
        }
        let started = text.lines().find_map(|line| line.strip_prefix("process_start_time_seconds "));
        let started: f64 = started.expect("told").parse().expect("a number");
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        let age = now.as_secs_f64() - started;
        assert!((-5.0..86_400.0).contains(&age), "{age}");
    }
}

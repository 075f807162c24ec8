//! `docs/benchmarks.md`: what each benchmark has printed last, under its own heading, with the command, the machine, the day and the commit.
//! `cargo xtask bench … --write` and `cargo xtask soak --write` write there, and nobody else does.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};

use crate::step::output;
use crate::workspace;

/// The page.
const PAGE: &str = "docs/benchmarks.md";
/// The days from 0000-03-01 to 1970-01-01.
const DAYS_BEFORE_1970: u64 = 719_468;
/// The days of 400 years.
const DAYS_OF_ERA: u64 = 146_097;

/// What a benchmark has printed.
pub(crate) struct Measured<'a> {
    /// The name of the benchmark, which is its heading.
    pub(crate) name: &'a str,
    /// What it measures, without a full stop.
    pub(crate) about: &'a str,
    /// What a person types to measure it again.
    pub(crate) command: &'a str,
    /// What it has printed.
    pub(crate) table: &'a str,
    /// Whether it has ended without an error.
    pub(crate) is_good: bool,
}

/// When and where something was measured.
struct Circumstances {
    day: String,
    commit: String,
    machine: String,
}

/// Writes it into the page, in place of what is there of the same benchmark.
pub(crate) fn write(measured: &Measured<'_>) -> Result<()> {
    ensure!(!measured.table.trim().is_empty(), "there is nothing to write: it has printed nothing");
    let path = workspace::path(PAGE);
    let page = fs::read_to_string(&path).with_context(|| format!("cannot read {PAGE}"))?;
    let section = section(measured, &Circumstances::now());
    fs::write(&path, with_section(&page, measured.name, &section))
        .with_context(|| format!("cannot write {PAGE}"))?;
    eprintln!("✓ written into {PAGE}");
    Ok(())
}

impl Circumstances {
    fn now() -> Circumstances {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        // Where there are no such files, the machine is told without what they say.
        let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
        let machine = machine(cores, &read("/proc/cpuinfo"), &read("/proc/meminfo"));
        Circumstances { day: day(now.as_secs()), commit: commit(), machine }
    }
}

/// The page with this section in the place of the one with this heading, or behind all others if there is none. Other sections stay as they are.
fn with_section(page: &str, name: &str, section: &str) -> String {
    let heading = format!("## {name}");
    let (mut begin, mut end, mut at) = (None, None, 0);
    for line in page.split_inclusive('\n') {
        if line.starts_with("## ") {
            match begin {
                None if line.trim_end() == heading => begin = Some(at),
                Some(_) if end.is_none() => end = Some(at),
                _ => {}
            }
        }
        at += line.len();
    }
    let Some(begin) = begin else { return format!("{}\n\n{section}", page.trim_end()) };
    match end {
        Some(end) => format!("{}{section}\n{}", &page[..begin], &page[end..]),
        None => format!("{}{section}", &page[..begin]),
    }
}

/// A section of the page. What was printed is indented, so that Markdown leaves it as it is and no line of it is a heading.
fn section(measured: &Measured<'_>, when: &Circumstances) -> String {
    let Measured { name, about, command, table, is_good } = measured;
    let Circumstances { day, commit, machine } = when;
    let mut text =
        format!("## {name}\n\n{about}. Printed by `{command}` on {day}, at {commit}, on {machine}.");
    if !is_good {
        text.push_str(" **The command ended with an error: a goal was missed, or it broke off.**");
    }
    text.push_str("\n\n");
    for line in table.trim_matches('\n').lines() {
        text.push_str(format!("    {line}").trim_end());
        text.push('\n');
    }
    text
}

/// The commit that is checked out, and whether anything but the page is changed.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let mut git = std::process::Command::new("git");
        output(git.current_dir(workspace::root()).args(arguments), "is git there?").ok()
    };
    let Some(hash) = git(&["rev-parse", "--short=9", "HEAD"]) else { return "an unknown commit".to_owned() };
    let changed = git(&["status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs/benchmarks.md"]);
    let is_changed = changed.is_none_or(|changed| !changed.trim().is_empty());
    format!("commit {}{}", hash.trim(), if is_changed { " with changes" } else { "" })
}

/// A machine in words, by what Linux tells of its processors and its memory.
fn machine(cores: usize, cpuinfo: &str, meminfo: &str) -> String {
    let of = field(cpuinfo, "model name").map(|model| format!(" ({model})")).unwrap_or_default();
    let memory = field(meminfo, "MemTotal").and_then(|total| total.split(' ').next()?.parse::<f64>().ok());
    let memory =
        memory.map(|kib| format!(" with {:.1} GiB of memory", kib / 1_048_576.0)).unwrap_or_default();
    let plural = if cores == 1 { "" } else { "s" };
    format!("{cores} core{plural}{of}{memory}, {}", std::env::consts::OS)
}

/// What stands behind a name and a colon, on the first line that has them.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

/// The day (UTC) of a time in seconds since 1970, such as 2026-12-31. (Howard Hinnant, "chrono-compatible low-level date algorithms".)
fn day(seconds: u64) -> String {
    // Years that begin in March end with the day that not every year has.
    let days = seconds / 86_400 + DAYS_BEFORE_1970;
    let (era, of_era) = (days / DAYS_OF_ERA, days % DAYS_OF_ERA);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = 400 * era + year_of_era + u64::from(month < 3);
    format!("{year:04}-{month:02}-{of_month:02}")
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;
    use crate::bench::{Bench, SOAK};

    const PAGE_BEFORE: &str = "# Title\n\nWords.\n\n## one\n\nOld.\n\n## one-more\n\nStays.\n";

    fn measured(table: &str) -> Measured<'_> {
        let (name, about, command) = ("one", "What it is", "cargo xtask bench one");
        Measured { name, about, command, table, is_good: true }
    }

    fn when() -> Circumstances {
        let [day, commit, machine] = ["2026-01-02", "commit abc", "2 cores"].map(str::to_owned);
        Circumstances { day, commit, machine }
    }

    #[test]
    fn a_table_takes_the_place_of_the_one_before_and_leaves_the_others_alone() {
        let section = section(&measured("a  b\n## c  \n\n  d\n"), &when());
        let page = with_section(PAGE_BEFORE, "one", &section);
        let written = "## one\n\nWhat it is. Printed by `cargo xtask bench one` on 2026-01-02, at commit abc, on 2 cores.\n\n    \
            a  b\n    ## c\n\n      d\n";
        assert_eq!(page, format!("# Title\n\nWords.\n\n{written}\n## one-more\n\nStays.\n"));
        assert_eq!(with_section(&page, "one", &section), page, "writing it again changes nothing");
        // The last section, and one that is not there yet.
        let last = with_section(&page, "one-more", "## one-more\n\nNew.\n");
        assert!(
            last.starts_with(&page[..page.len() - "Stays.\n".len()]) && last.ends_with("\n\nNew.\n"),
            "{last}"
        );
        let more = with_section(&page, "two", "## two\n\nNew.\n");
        assert_eq!(more, format!("{page}\n## two\n\nNew.\n"));
    }

    #[test]
    fn a_command_that_ended_with_an_error_is_said_to_have() {
        let bad = Measured { is_good: false, ..measured("a") };
        assert!(section(&bad, &when()).contains("on 2 cores. **The command ended with an error"));
    }

    #[test]
    fn a_machine_is_told_by_what_is_known_of_it() {
        let (cpuinfo, meminfo) = ("processor\t: 0\nmodel name\t: AMD EPYC 7B13\n", "MemTotal:  8141512 kB\n");
        let os = std::env::consts::OS;
        assert_eq!(
            machine(2, cpuinfo, meminfo),
            format!("2 cores (AMD EPYC 7B13) with 7.8 GiB of memory, {os}")
        );
        assert_eq!(machine(1, "", ""), format!("1 core, {os}"));
    }

    #[test]
    fn a_day_is_that_of_utc() {
        for (seconds, expected) in [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (1_772_323_199, "2026-02-28"),
            (1_772_323_200, "2026-03-01"),
            (1_798_761_599, "2026-12-31"),
            (1_798_761_600, "2027-01-01"),
        ] {
            assert_eq!(day(seconds), expected);
        }
    }

    #[test]
    fn the_page_has_a_heading_for_each_benchmark_in_their_order() {
        let page = fs::read_to_string(workspace::path(PAGE)).expect("it is there");
        let headings: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        let values = Bench::value_variants().iter().filter_map(Bench::to_possible_value);
        let names = values.map(|value| value.get_name().to_owned());
        let names: Vec<String> = names.chain([SOAK.to_owned()]).collect();
        assert_eq!(headings, names);
    }
}

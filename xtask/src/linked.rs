//! `cargo xtask bench static`: the relay linked statically, by musl, beside the one that is deployed, which is linked against glibc.

use std::env::consts::ARCH;
use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::gate;
use crate::prerequisites;
use crate::step::{run, step};
use crate::workspace;

/// The compiler for what is C in a relay, and the Debian package that it comes in.
const COMPILER: (&str, &str) = ("musl-gcc", "musl-tools");
/// A static relay that uses so many times the time of the other one is slower. What lies below that is within what two runs of one program differ by.
const SLOWER: f64 = 1.03;
/// The scene in which no relay is measured.
const ECHO: &str = "echo";

/// A row of `load --json`.
#[derive(Deserialize, Serialize)]
pub(crate) struct Row {
    scene: String,
    calls: u64,
    /// Nothing where no ping was answered.
    p99_ms: Option<f64>,
    cpu_percent: f64,
    kib_per_call: f64,
    lost: u64,
    void: Option<String>,
}

/// Builds the relay, and says where it lies.
pub(crate) fn program() -> Result<PathBuf> {
    if !cfg!(target_os = "linux") {
        bail!("a relay is linked by musl on Linux alone");
    }
    let target = format!("{ARCH}-unknown-linux-musl");
    prerequisites::target(&target)?;
    if !gate::is_there(COMPILER.0) {
        gate::install(&[COMPILER.1])?;
    }
    step("building the static relay", || {
        let mut cargo = workspace::cargo();
        cargo.args(["build", "--release", "--package", "relay", "--bin", "voxrelay", "--target", &target]);
        cargo.env(format!("CC_{}", target.replace('-', "_")), COMPILER.0);
        run(&mut cargo, "the message above says what is wrong")
    })?;
    Ok(workspace::target().join(target).join("release/voxrelay"))
}

/// The rows of what `load --json` has printed, which has other things as well.
pub(crate) fn rows(printed: &str) -> Result<Vec<Row>> {
    let all: Vec<Value> = serde_json::from_str(printed).context("load --json printed another shape")?;
    let rows = all.into_iter().filter(|value| value.get("scene").is_some());
    rows.map(|row| serde_json::from_value(row).context("load --json printed another row")).collect()
}

/// The rows beside each other, and why they say nothing, if they do not.
pub(crate) fn compared(glibc: &[Row], musl: &[Row]) -> Result<(String, Option<String>)> {
    let mut text = String::new();
    writeln!(text, "{:>6} {:<8} {:^20}  {:^20}  {:^20}", "", "", "% of core", "KiB a call", "p99 ms")?;
    write!(text, "{:>6} {:<8}", "calls", "scene")?;
    for _ in 0..3 {
        write!(text, " {:>10} {:>10}", "glibc", "musl")?;
    }
    text.push('\n');
    for (one, other) in glibc.iter().zip(musl) {
        write!(text, "{:>6} {:<8}", one.calls, one.scene)?;
        let p99 = |row: &Row| row.p99_ms.unwrap_or(f64::NAN);
        let pairs = [
            (one.cpu_percent, other.cpu_percent),
            (one.kib_per_call, other.kib_per_call),
            (p99(one), p99(other)),
        ];
        for (one, other) in pairs {
            write!(text, " {one:>10.2} {other:>10.2}")?;
        }
        text.push('\n');
    }
    let used = |rows: &[Row], is_echo: bool| {
        let rows = rows.iter().filter(|row| (row.scene == ECHO) == is_echo);
        rows.map(|row| row.cpu_percent).sum::<f64>()
    };
    let times = used(musl, false) / used(glibc, false);
    let noise = used(musl, true) / used(glibc, true);
    let verdict = if times > SLOWER { "SLOWER" } else { "not slower" };
    writeln!(text, "in all scenes but the echo, musl uses {times:.3} times the CPU of glibc: {verdict}")?;
    writeln!(text, "the echo is the same program in both runs, and used {noise:.3} times in the second one")?;
    let wrong = glibc.iter().chain(musl).find_map(|row| {
        let lost = || (row.lost > 0).then(|| "calls were lost".to_owned());
        let why = row.void.clone().or_else(lost)?;
        Some(format!("{} calls, {}: {why}", row.calls, row.scene))
    });
    Ok((text, wrong))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(idle: f64, void: Option<&str>) -> String {
        let row = |scene: &str, cpu: f64| {
            serde_json::json!({
                "scene": scene, "calls": 600, "pings": 7, "p99_ms": null, "cpu_percent": cpu,
                "kib_per_call": 9.5, "lost": 0, "void": void,
            })
        };
        Value::Array(vec![row(ECHO, 20.0), row("idle", idle), serde_json::json!({ "goals": [] })]).to_string()
    }

    #[test]
    fn a_static_relay_that_uses_more_of_its_core_is_called_slower() {
        let glibc = rows(&printed(10.0, None)).expect("rows");
        let verdict = |idle: f64| {
            let musl = rows(&printed(idle, None)).expect("rows");
            compared(&glibc, &musl).expect("a table")
        };
        assert_eq!(glibc.len(), 2, "goals are no row");
        for (idle, said) in [(10.2, "1.020 times"), (12.0, "1.200 times")] {
            let (text, wrong) = verdict(idle);
            assert!(text.contains(said) && wrong.is_none(), "{text}");
            assert_eq!(text.contains("SLOWER"), idle > 11.0, "{text}");
        }
    }

    #[test]
    fn rows_that_are_void_compare_nothing() {
        let (good, void) = (printed(10.0, None), printed(10.0, Some("too late")));
        let [good, void] = [good, void].map(|text| rows(&text).expect("rows"));
        let (_, wrong) = compared(&good, &void).expect("a table");
        assert_eq!(wrong.as_deref(), Some("600 calls, echo: too late"));
    }
}

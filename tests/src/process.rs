//! What a measurement asks of the system: which core a process has, and what it uses.

use tokio::process::Command;

/// Keeps a process and all its threads on one core. `false` where that cannot be done.
pub async fn pin(pid: u32, core: u32) -> bool {
    let pinned = Command::new("taskset").args(["-acp", &core.to_string(), &pid.to_string()]).output().await;
    pinned.is_ok_and(|output| output.status.success())
}

/// Memory of a process that is in the machine's, in KiB.
///
/// # Panics
/// Where there is no such process, or the system is not Linux.
#[must_use]
pub fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Time on a core, of the process and the kernel for it. Linux counts it in hundredths of a second (`USER_HZ`).
///
/// # Panics
/// Where there is no such process, or the system is not Linux.
#[must_use]
pub fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("Linux");
    // The name is in brackets and may hold anything.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).map(|field| field.parse::<u64>().expect("a number")).sum();
    ticks as f64 / 100.0
}

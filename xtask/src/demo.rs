//! `cargo xtask demo`: from a fresh clone to a page that talks.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};

use crate::step::{run, seconds, step};
use crate::{build, pypi, workspace};

/// Builds what is not built yet, then becomes the relay until Ctrl-C.
pub(crate) fn run_until_stopped(local: bool, listen: SocketAddr) -> Result<()> {
    let begin = Instant::now();
    eprintln!(
        "The first start compiles the SDK and the relay, which takes a few minutes; the next one takes seconds."
    );
    build::sdk()?;
    step("compiling the relay", || {
        run(
            workspace::cargo().args(["build", "--package", "relay", "--bin", "voxrelay"]),
            "the message above says where the Rust code is wrong",
        )
    })?;
    eprintln!("✓ everything is built ({})", seconds(begin.elapsed()));
    let mut relay = Command::new(workspace::program("voxrelay"));
    relay.current_dir(workspace::root()).args(["dev", "--listen", &listen.to_string()]);
    if local {
        providers()?;
        relay.args(["--config", "examples/local/voxrelay.toml"]);
    }
    // Only the relay knows when it listens, and where if its port was 0: it says so in its own words.
    eprintln!(
        "\n    The relay says which address to open once it listens. Press the button there.  Ctrl-C stops.\n"
    );
    become_program(relay).context("target/debug/voxrelay could not be started")
}

/// Starts the providers of `examples/local`, and waits until they listen. They stop when this process does.
fn providers() -> Result<()> {
    let folder = workspace::root().join("examples/local");
    let python = pypi::python(&folder.join("requirements.txt"))?;
    let mut serve = Command::new(python);
    serve.arg(folder.join("serve.py")).arg("--with-parent").stdout(Stdio::piped());
    let mut serving = serve.spawn().context("Python could not be started")?;
    let mut line = String::new();
    let stdout = serving.stdout.take().context("its output is piped")?;
    BufReader::new(stdout).read_line(&mut line)?;
    anyhow::ensure!(!line.is_empty(), "the providers did not start: the message above says why");
    eprint!("✓ {line}");
    Ok(())
}

/// Replaces this process, so that every signal reaches the program itself.
#[cfg(unix)]
fn become_program(mut program: Command) -> Result<()> {
    use std::os::unix::process::CommandExt as _;
    Err(program.exec().into())
}

#[cfg(not(unix))]
fn become_program(mut program: Command) -> Result<()> {
    let status = program.status()?;
    anyhow::ensure!(status.success(), "the relay stopped: {status}");
    Ok(())
}

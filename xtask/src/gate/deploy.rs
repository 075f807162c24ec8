//! The files of `deploy/`, as the programs read them that they are for, and as those do who know what is unwise in them. That they say of the relay
//! what is so is held by a test in any case; the proxies have a step of their own.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use super::outcome::Outcome;
use super::tools::{install, is_debian, is_there};
use crate::pypi;
use crate::step::output;
use crate::workspace;

const COMPOSE: &str = "docker-compose";
const SYSTEMD: &str = "systemd-analyze";
/// It has the schemas of Kubernetes inside.
const KUBERNETES_VALIDATE: &str = "kubernetes-validate==1.37.0";
const CHECKOV: &str = "checkov==3.3.30";

/// What checkov would have otherwise: a limit of the processor, which makes calls late, and images by digest, which nobody would renew here.
const UNWANTED: &str = "CKV_K8S_11,CKV_K8S_43";

/// A check, and what is to be said where its program is not to be had.
type Check = (fn() -> Result<bool>, &'static str);

const CHECKS: [Check; 4] = [
    (compose, "deploy/compose.yaml: NOT CHECKED, there is no docker-compose"),
    (unit, "deploy/voxrelay.service: NOT CHECKED, there is no systemd-analyze"),
    (schemas, "the schemas of deploy/kubernetes.yaml: NOT CHECKED, Python 3 or PyPI cannot be reached"),
    (checkov, "deploy/, by checkov: NOT CHECKED, Python 3 or PyPI cannot be reached"),
];

pub(super) fn check() -> Result<Outcome> {
    let mut outcome = Outcome::ok();
    for (check, not_there) in CHECKS {
        match check() {
            Ok(true) => outcome.passed += 1,
            Ok(false) => outcome = outcome.not_checked(not_there),
            Err(error) => {
                outcome.failed += 1;
                outcome.notes.push(format!("{error:#}"));
            }
        }
    }
    Ok(outcome)
}

/// `compose.yaml`, with something in place of what its `.env` has.
fn compose() -> Result<bool> {
    if !is_there(COMPOSE) && is_debian() {
        // It may be out of reach, which is no fault of the file.
        install(&[COMPOSE]).unwrap_or_else(|error| eprintln!("  {error:#}"));
    }
    if !is_there(COMPOSE) {
        return Ok(false);
    }
    let mut compose = Command::new(COMPOSE);
    compose.current_dir(workspace::root()).args(["--file", "deploy/compose.yaml", "config", "--quiet"]);
    compose.env("POSTGRES_PASSWORD", "any").env("VOXRELAY_AUTH__HS256_SECRET", "any");
    output(&mut compose, "docker-compose says what is wrong")?;
    Ok(true)
}

/// The unit, with a program that is there in place of the installed one.
fn unit() -> Result<bool> {
    if !is_there(SYSTEMD) {
        return Ok(false);
    }
    let unit =
        fs::read_to_string(workspace::path("deploy/voxrelay.service")).context("the unit is missing")?;
    let program = std::env::current_exe().context("this program does not know where it lies")?;
    let folder = workspace::cache().join("deploy");
    fs::create_dir_all(&folder)?;
    let path = folder.join("voxrelay.service");
    fs::write(&path, unit.replace("/usr/local/bin/voxrelay", &program.to_string_lossy()))?;
    output(Command::new(SYSTEMD).arg("verify").arg(&path), "systemd says what is wrong")?;
    Ok(true)
}

/// The example for Kubernetes: no field that there is not, and none of a wrong kind.
fn schemas() -> Result<bool> {
    let Some(program) = pypi::program(KUBERNETES_VALIDATE, "kubernetes-validate") else { return Ok(false) };
    let file = workspace::path("deploy/kubernetes.yaml");
    output(Command::new(program).arg("--strict").arg(file), "it says which field is wrong")?;
    Ok(true)
}

/// Dockerfile and example for Kubernetes.
fn checkov() -> Result<bool> {
    let Some(program) = pypi::program(CHECKOV, "checkov") else { return Ok(false) };
    let mut checkov = Command::new(program);
    checkov.current_dir(workspace::root()).args(["--directory", "deploy", "--skip-check", UNWANTED]);
    // What it would ask of its makers is not asked.
    checkov.args(["--framework", "dockerfile", "kubernetes", "--compact", "--quiet", "--skip-download"]);
    output(&mut checkov, "checkov says what is unwise, and why")?;
    Ok(true)
}

//! `voxrelay health`: whether the relay of this configuration runs, asked on its own machine. An image needs no other program for it.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::config::sources;
use super::{answered, failed};
use crate::config::Config;
use crate::operations::outbound;

/// How long the relay may take to answer.
const TIMEOUT: Duration = Duration::from_secs(3);
/// How much of an answer is shown, in characters.
const SHOWN: usize = 500;

/// Options of `voxrelay health`.
#[derive(Debug, Args)]
pub(super) struct HealthArgs {
    /// Ask whether calls are to be sent to it (/readyz), and not only whether it runs (/livez).
    #[arg(long)]
    ready: bool,
    /// Where it listens, if `serve` was told another place than the configuration says.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// The configuration, TOML. Variables that start with VOXRELAY_ go over it.
    #[arg(long, value_name = "FILE", env = "VOXRELAY_CONFIG")]
    config: Option<PathBuf>,
}

pub(super) async fn run(args: HealthArgs) -> ExitCode {
    let config = Config::load(args.config.as_deref(), std::env::vars());
    let scheme = match &config {
        Ok(config) if config.network.tls.is_some() => "https",
        _ => "http",
    };
    let listen = match (args.listen, config) {
        (Some(listen), _) => listen,
        (None, Ok(config)) => config.listen,
        (None, Err(error)) => return failed(2, &error),
    };
    let path = if args.ready { "readyz" } else { "livez" };
    let url = format!("{scheme}://{}/{path}", reached_at(listen));
    match ask(&url).await {
        Ok((true, said)) => answered(&said),
        Ok((false, said)) => failed(1, &format!("{url}: {said}")),
        Err(error) => failed(1, &format!("no answer of {url}: {}", sources(&error.without_url()))),
    }
}

/// Where a relay that listens there is reached from its own machine.
fn reached_at(mut listen: SocketAddr) -> SocketAddr {
    if listen.ip().is_unspecified() {
        listen.set_ip(match listen {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    listen
}

/// Whether the answer is yes, and what it says.
async fn ask(url: &str) -> Result<(bool, String), reqwest::Error> {
    // The relay is on this machine: no proxy stands before it, no certificate has to be there, and its own is for another name.
    let client = outbound::http_client().timeout(TIMEOUT).no_proxy().tls_certs_only([]);
    let client = client.tls_danger_accept_invalid_certs(true).build()?;
    let mut answer = client.get(url).send().await?;
    // Its first piece is all of it, and whatever else listens there is not read to its end.
    let said = answer.chunk().await?.unwrap_or_default();
    let said: String =
        String::from_utf8_lossy(&said).chars().filter(|char| !char.is_control()).take(SHOWN).collect();
    let status = answer.status();
    Ok((status.is_success(), if status.is_success() { said } else { format!("{status} {said}") }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_that_listens_on_all_addresses_is_asked_at_the_one_of_this_machine() {
        for (listens, asked) in [
            ("0.0.0.0:8080", "127.0.0.1:8080"),
            ("[::]:8080", "[::1]:8080"),
            ("127.0.0.1:9000", "127.0.0.1:9000"),
            ("10.1.2.3:8080", "10.1.2.3:8080"),
            ("[fd00::1]:8080", "[fd00::1]:8080"),
        ] {
            let listens: SocketAddr = listens.parse().expect("an address");
            assert_eq!(reached_at(listens).to_string(), asked);
        }
    }
}

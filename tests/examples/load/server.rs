//! What the calls are made to: the relay as it is deployed, or a bare WebSocket echo.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use axum::Router;
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::routing::any;
use tests::{Relay, alone, binary};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::{Scene, fakes};

/// A server in a process of its own.
pub(crate) enum Server {
    Relay(Relay),
    Echo(Child, String),
}

impl Server {
    /// Starts what this scene is measured against.
    pub(crate) async fn start(scene: Scene, folder: &Path) -> Server {
        if scene == Scene::Echo {
            let program = std::env::current_exe().expect("we run");
            let mut command = Command::new(program);
            let mut child = command
                .arg("--serve-echo")
                .stdout(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .expect("it starts");
            let mut line = String::new();
            let stdout = child.stdout.take().expect("piped");
            BufReader::new(stdout).read_line(&mut line).await.expect("it says where it listens");
            return Server::Echo(child, line.trim().to_owned());
        }
        Server::relay(folder, &config("error")).await
    }

    /// Starts a relay whose agent asks these providers.
    pub(crate) async fn start_conversing(folder: &Path, providers: &str) -> Server {
        std::fs::write(folder.join("prices.toml"), fakes::PRICES).expect("ours");
        let config = config("error") + &fakes::config(providers, fakes::AURA);
        Server::relay(folder, &config).await
    }

    /// The relay of `--relay=`, or the one that was built with this program.
    async fn relay(folder: &Path, config: &str) -> Server {
        let mut arguments = std::env::args();
        let named = arguments.find_map(|argument| argument.strip_prefix("--relay=").map(PathBuf::from));
        let (program, config) = (named.unwrap_or_else(binary), alone(folder, config));
        Server::Relay(Relay::start_program(&program, folder, "127.0.0.1:0", &config, &[]).await)
    }

    pub(crate) fn pid(&self) -> u32 {
        let child = match self {
            Server::Relay(relay) => &relay.child,
            Server::Echo(child, _) => child,
        };
        child.id().expect("it runs")
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Server::Relay(relay) => relay.url(),
            Server::Echo(_, url) => url.clone(),
        }
    }

    /// Ends it.
    pub(crate) async fn kill(self) {
        match self {
            Server::Relay(relay) => relay.kill().await,
            Server::Echo(mut child, _) => child.kill().await.expect("it ran"),
        }
    }
}

/// The configuration of a relay that takes any number of calls of this address, and logs what is at least of this level.
pub(crate) fn config(level: &str) -> String {
    format!(
        "[limits]\nsessions_per_user = 10\nsessions_per_minute = 10000\nsessions_per_account = 100000\n\
        [network]\nsessions_per_minute_per_address = 100000\nconnections_per_minute_per_address = 1000000\n\
        pre_login_connections_per_address = 1000\n[log]\nlevel = \"{level}\"\n"
    )
}

/// Sends back whatever comes, and nothing else.
pub(crate) async fn serve_echo() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("ws://{}/", listener.local_addr().expect("bound"));
    let upgrade = async |upgrade: WebSocketUpgrade| upgrade.read_buffer_size(4_096).on_upgrade(echo);
    axum::serve(listener, Router::new().route("/", any(upgrade))).await.expect("it serves");
}

async fn echo(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        if socket.send(message).await.is_err() {
            return;
        }
    }
}

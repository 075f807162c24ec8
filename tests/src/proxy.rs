//! The proxies that operators put before relays, with their configurations from `deploy/`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::sleep;

use crate::ports::free_address;

/// What stands in each configuration before the lines for TLS.
const TLS: &str = "# With the certificate here, in place of the line above:";

/// The certificate that proxies with TLS show. It is for localhost, and signed by itself.
#[must_use]
pub fn certificate() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../relay/tests/tls/first.pem")
}

/// A program that stands before relays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// nginx.
    Nginx,
    /// HAProxy.
    Haproxy,
    /// Caddy.
    Caddy,
}

impl Kind {
    /// Each of them.
    pub const ALL: [Kind; 3] = [Kind::Nginx, Kind::Haproxy, Kind::Caddy];

    /// Its configuration in `deploy/`.
    fn file(self) -> PathBuf {
        let name = match self {
            Kind::Nginx => "nginx.conf",
            Kind::Haproxy => "haproxy.cfg",
            Kind::Caddy => "Caddyfile",
        };
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(name)
    }

    /// The configuration as it stands there, but for addresses, and for where nginx keeps what it writes: its own folder is not ours.
    fn configuration(self, relays: [SocketAddr; 2], own: SocketAddr, folder: &Path, has_tls: bool) -> String {
        let text = std::fs::read_to_string(self.file()).expect("it is in the repository");
        let text = if has_tls { self.with_tls(&text, own, folder) } else { text };
        let text = text.replace("relay-1:8080", &relays[0].to_string());
        let text = text.replace("relay-2:8080", &relays[1].to_string());
        match self {
            Kind::Nginx => {
                let kept = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                    .map(|name| format!("    {name}_temp_path {};\n", folder.join(name).display()));
                let http = format!("\nhttp {{\n    access_log off;\n{}", kept.concat());
                text.replace("\nhttp {", &http).replace("listen 8000;", &format!("listen {own};"))
            }
            // How many files may be open is the system's to say, and few are enough here.
            Kind::Haproxy => {
                text.replace("bind :8000", &format!("bind {own}")).replace("maxconn 20000", "maxconn 1000")
            }
            Kind::Caddy => text.replace(":8000 {", &format!(":{} {{\n\tbind {}", own.port(), own.ip())),
        }
    }

    /// The configuration with its lines for TLS, but for the address, and for where certificate and key are.
    fn with_tls(self, text: &str, own: SocketAddr, folder: &Path) -> String {
        let pair = [certificate(), certificate().with_extension("key.pem")];
        let [certificate, key] = pair.each_ref().map(|path| path.display().to_string());
        let text = uncommented(text);
        match self {
            Kind::Nginx => text
                .replace("listen 443 ", &format!("listen {own} "))
                .replace("/etc/ssl/voice.example.com.pem", &certificate)
                .replace("/etc/ssl/voice.example.com.key", &key),
            Kind::Haproxy => {
                let both = folder.join("pair.pem");
                let parts = pair.map(|path| std::fs::read(path).expect("it is in the repository"));
                std::fs::write(&both, parts.concat()).expect("ours");
                text.replace("bind :443 ", &format!("bind {own} "))
                    .replace("/etc/haproxy/voice.example.com.pem", &both.display().to_string())
            }
            // It would listen on port 80 as well, to send whoever comes there to the other one.
            Kind::Caddy => text
                .replace("\tadmin off\n", "\tadmin off\n\tauto_https disable_redirects\n")
                .replace("voice.example.com {", &format!("localhost:{} {{\n\tbind {}", own.port(), own.ip()))
                .replace("/etc/ssl/voice.example.com.pem", &certificate)
                .replace("/etc/ssl/voice.example.com.key", &key),
        }
    }

    /// The program, which serves until it is ended.
    fn command(self, folder: &Path, configuration: &Path) -> Command {
        match self {
            Kind::Nginx => {
                let mut nginx = Command::new("/usr/sbin/nginx");
                nginx.arg("-p").arg(folder).arg("-c").arg(configuration).args(["-e", "stderr", "-g"]);
                // In one process, which needs no other user and leaves nobody behind.
                let pid = folder.join("nginx.pid");
                nginx.arg(format!(
                    "daemon off; master_process off; error_log stderr warn; pid {};",
                    pid.display()
                ));
                nginx
            }
            Kind::Haproxy => {
                let mut haproxy = Command::new("/usr/sbin/haproxy");
                haproxy.arg("-db").arg("-f").arg(configuration);
                haproxy
            }
            Kind::Caddy => {
                let mut caddy = Command::new("/usr/bin/caddy");
                caddy.args(["run", "--adapter", "caddyfile", "--config"]).arg(configuration);
                caddy.env("XDG_DATA_HOME", folder).env("XDG_CONFIG_HOME", folder).env("HOME", folder);
                caddy
            }
        }
    }
}

/// A configuration with the lines that it has as comments behind [`TLS`], and without the one above them.
fn uncommented(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut are_for_tls = false;
    for line in text.lines() {
        let (indent, rest) = line.split_at(line.len() - line.trim_start().len());
        match rest.strip_prefix("# ") {
            Some(_) if rest == TLS => {
                lines.pop();
                are_for_tls = true;
            }
            Some(setting) if are_for_tls => lines.push(format!("{indent}{setting}")),
            _ => {
                are_for_tls = false;
                lines.push(line.to_owned());
            }
        }
    }
    lines.join("\n") + "\n"
}

/// A proxy that serves. Dropped, it ends.
#[derive(Debug)]
pub struct Proxy {
    _child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    has_tls: bool,
    _folder: TempDir,
}

impl Proxy {
    /// Starts a proxy before these relays, one of which has to answer.
    ///
    /// # Panics
    /// When it does not serve within 10 s.
    pub async fn start(kind: Kind, relays: [SocketAddr; 2]) -> Proxy {
        Proxy::serve(kind, relays, false).await
    }

    /// Starts a proxy that speaks TLS, with [`certificate`], before these relays.
    ///
    /// # Panics
    /// When it does not listen within 10 s.
    pub async fn start_with_tls(kind: Kind, relays: [SocketAddr; 2]) -> Proxy {
        Proxy::serve(kind, relays, true).await
    }

    async fn serve(kind: Kind, relays: [SocketAddr; 2], has_tls: bool) -> Proxy {
        let folder = tempfile::tempdir().expect("a folder");
        let address = free_address();
        let configuration = folder.path().join("configuration");
        let text = kind.configuration(relays, address, folder.path(), has_tls);
        std::fs::write(&configuration, text).expect("ours");
        let mut command = kind.command(folder.path(), &configuration);
        let log = std::fs::File::create(folder.path().join("log")).expect("ours");
        command.stdout(Stdio::null()).stderr(log).kill_on_drop(true);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{kind:?} is not installed: {error}"));
        for _ in 0..200 {
            let serves = match has_tls {
                true => TcpStream::connect(address).await.is_ok(),
                false => get(address, "/livez").await == Some(200),
            };
            if serves {
                return Proxy { _child: child, address, has_tls, _folder: folder };
            }
            assert!(child.try_wait().expect("asked").is_none(), "{kind:?}: {}", said(folder.path()));
            sleep(Duration::from_millis(50)).await;
        }
        panic!("{kind:?} does not serve: {}", said(folder.path()));
    }

    /// Where to call.
    #[must_use]
    pub fn url(&self) -> String {
        match self.has_tls {
            // By the name that the certificate is for.
            true => format!("wss://localhost:{}/v1/call", self.address.port()),
            false => format!("ws://{}/v1/call", self.address),
        }
    }

    /// The status of the answer to a plain `GET` through it. One with TLS gives none.
    pub async fn status(&self, path: &str) -> Option<u16> {
        get(self.address, path).await
    }
}

fn said(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("log")).unwrap_or_default()
}

/// The status of an answer to `GET`, if there is one.
async fn get(address: SocketAddr, path: &str) -> Option<u16> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    let answer = String::from_utf8_lossy(&answer);
    answer.split(' ').nth(1)?.parse().ok()
}

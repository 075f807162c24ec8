//! How a relay listens: in the clear on its own machine, otherwise with TLS, or because somebody said that TLS is in front.

use std::fs;
use std::io;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::call::{speech, wav};
use super::reload::{hang_up, logged, until};
use super::*;

/// The certificate and the key of this name, which are for localhost.
pub(super) fn pair(name: &str) -> [String; 2] {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls");
    [format!("{folder}/{name}.pem"), format!("{folder}/{name}.key.pem")]
}

/// Puts the certificate of one name and the key of another where the relay reads them.
pub(super) fn put(folder: &Path, certificate: &str, key: &str) {
    fs::copy(&pair(certificate)[0], folder.join("certificate.pem")).expect("copied");
    fs::copy(&pair(key)[1], folder.join("key.pem")).expect("copied");
}

pub(super) fn serve(folder: &Path) -> Command {
    let toml = format!(
        "listen = \"127.0.0.1:0\"\ndata_dir = \"data\"\n[auth]\nhs256_secret = {SECRET:?}\n[network]\n\
         tls_certificate = \"certificate.pem\"\ntls_key = \"key.pem\"\n"
    );
    fs::write(folder.join("voxrelay.toml"), toml).expect("written");
    let mut command = voxrelay(folder);
    command.args(["serve", "--config", "voxrelay.toml"]);
    command
}

/// What a client is answered that trusts the certificate of this name and no other.
fn get(address: &str, trusted: &str) -> io::Result<String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(&pair(trusted)[0]).expect("readable") {
        roots.add(certificate.expect("PEM")).expect("a certificate");
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let client = ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut stream = StreamOwned::new(client, TcpStream::connect(address)?);
    write!(stream, "GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn is_served(relay: &Running, trusted: &str) -> bool {
    get(&relay.address, trusted).is_ok_and(|answer| answer.ends_with("ok\n"))
}

#[test]
fn plain_http_where_others_reach_it_is_refused_unless_somebody_says_that_tls_is_in_front() {
    let folder = tempfile::tempdir().expect("a folder");
    let secret = ("VOXRELAY_AUTH__HS256_SECRET", SECRET);
    for arguments in [&["serve"][..], &["dev"], &["config", "--check"]] {
        let mut command = voxrelay(folder.path());
        command.args(arguments).env(secret.0, secret.1).env("VOXRELAY_LISTEN", "0.0.0.0:0");
        let (output, errors) = run(&mut command);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
        for part in [
            "listen = \"0.0.0.0:0\"",
            "network.plain_http = true",
            "network.tls_certificate",
            "VOXRELAY_LISTEN",
        ] {
            assert!(errors.contains(part), "{arguments:?} gave {errors:?}, which does not say {part:?}");
        }
    }
    let mut serve = voxrelay(folder.path());
    serve.args(["serve", "--listen", "0.0.0.0:0"]).env(secret.0, secret.1);
    let (output, errors) = run(&mut serve);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    let relay = Running::start(serve.env("VOXRELAY_NETWORK__PLAIN_HTTP", "true"));
    assert!(relay.get("/livez").ends_with("ok\n"));
    drop(relay);
    // What the file says does not count where the command line says something else.
    let mut serve = voxrelay(folder.path());
    serve
        .args(["serve", "--listen", "127.0.0.1:0"])
        .env(secret.0, secret.1)
        .env("VOXRELAY_LISTEN", "0.0.0.0:0");
    assert!(Running::start(&mut serve).get("/livez").ends_with("ok\n"));
}

#[test]
fn a_relay_speaks_tls_with_the_newest_pair_that_is_good() {
    let folder = tempfile::tempdir().expect("a folder");
    put(folder.path(), "first", "first");
    let mut relay = Running::start(&mut serve(folder.path()));
    let log = logged(&mut relay);
    assert!(is_served(&relay, "first") && !is_served(&relay, "second"));
    let (output, errors) = run(voxrelay(folder.path()).args([
        "health",
        "--listen",
        &relay.address,
        "--config",
        "voxrelay.toml",
    ]));
    assert!(output.status.success(), "{errors}");
    let mut plain = TcpStream::connect(&relay.address).expect("connected");
    write!(plain, "GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").expect("sent");
    let mut answer = Vec::new();
    // It may be reset as well.
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/"), "nobody is answered in the clear");

    put(folder.path(), "second", "second");
    hang_up(&relay);
    until("the second one is shown", || is_served(&relay, "second"));
    assert!(!is_served(&relay, "first"));

    put(folder.path(), "first", "second");
    hang_up(&relay);
    let said = || log.lock().expect("no panic").clone();
    until("the fault is said", || said().contains("nothing has changed"));
    assert!(
        said().contains("network.tls_key = \\\"key.pem\\\"")
            || said().contains("network.tls_key = \"key.pem\""),
        "{}",
        said()
    );
    assert!(is_served(&relay, "second"), "the pair before it goes on");
}

#[test]
fn a_call_goes_over_tls_from_its_handshake_to_its_bill() {
    let folder = tempfile::tempdir().expect("a folder");
    put(folder.path(), "first", "first");
    let relay = Running::start(&mut serve(folder.path()));
    let port = relay.address.rsplit(':').next().expect("a port");
    let url = format!("wss://localhost:{port}/v1/call");
    fs::write(folder.path().join("in.wav"), wav(&speech())).expect("written");
    let (output, errors) =
        run(voxrelay(folder.path()).args(["token", "--sub", "ada", "--config", "voxrelay.toml"]));
    assert!(output.status.success(), "{errors}");
    let token = String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned();
    let call = |more: &[&str]| {
        let mut command = voxrelay(folder.path());
        command.args(["call", &url, "--token", &token, "--audio", "in.wav", "--json"]);
        run(command.args(more))
    };
    let [first, _] = pair("first");
    let (output, errors) = call(&["--ca", &first]);
    assert!(output.status.success(), "{errors}");
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&said["good"], &said["reconnects"]), (&true.into(), &0.into()), "{said}");
    assert!(said["turns"].as_array().is_some_and(|turns| !turns.is_empty()), "it was heard: {said}");
    assert!(said["heard_ms"].as_u64() > Some(0), "and answered: {said}");
    assert!(said["cost_nano_usd"].as_u64() > Some(0), "and metered: {said}");

    let [second, key] = pair("second");
    for more in [&["--longest", "3", "--ca", &*second][..], &["--longest", "3"][..]] {
        let (output, errors) = call(more);
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.contains("certificate"), "{more:?}: {errors}");
    }
    let (output, errors) = call(&["--ca", &key]);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("there is no certificate in it"), "{errors}");
}

#[test]
fn a_pair_that_does_not_fit_is_named_and_nothing_starts() {
    let folder = tempfile::tempdir().expect("a folder");
    put(folder.path(), "first", "second");
    let (output, errors) = run(&mut serve(folder.path()));
    assert_eq!(output.status.code(), Some(2), "{errors}");
    for part in ["network.tls_key", "key.pem", "certificate.pem", "voxrelay.toml, line"] {
        assert!(errors.contains(part), "{errors:?} does not say {part:?}");
    }
    fs::remove_file(folder.path().join("certificate.pem")).expect("removed");
    let (output, errors) = run(&mut serve(folder.path()));
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("network.tls_certificate = \"certificate.pem\""), "{errors}");
}

#[test]
fn who_says_nothing_in_the_handshake_holds_up_nobody_and_is_let_go_after_10_s() {
    let folder = tempfile::tempdir().expect("a folder");
    put(folder.path(), "first", "first");
    let relay = Running::start(&mut serve(folder.path()));
    let began = Instant::now();
    let mut silent: Vec<TcpStream> =
        (0..20).map(|_| TcpStream::connect(&relay.address).expect("connected")).collect();
    assert!(is_served(&relay, "first"));
    assert!(began.elapsed() < Duration::from_secs(8), "others are served meanwhile");
    for stream in &mut silent {
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
        assert_eq!(stream.read(&mut [0; 1]).expect("its end, and not the time-out of this test"), 0);
    }
}

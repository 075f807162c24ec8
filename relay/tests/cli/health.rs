//! `voxrelay health`.

use super::*;

#[test]
fn health_says_whether_the_relay_of_the_configuration_runs_and_takes_calls() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut relay = Running::start(voxrelay(folder.path()).args(["dev", "--listen", "127.0.0.1:0"]));
    let port = relay.address.rsplit_once(':').expect("a port").1.to_owned();
    // A container listens on all addresses, and whoever calls others through a proxy does not call itself through it.
    let listen = format!("0.0.0.0:{port}");
    let health = |more: &[&str]| {
        let mut command = voxrelay(folder.path());
        command.arg("health").args(more).env("VOXRELAY_LISTEN", &listen);
        let (output, errors) = run(command.env("http_proxy", "http://127.0.0.1:9"));
        (output.status.code(), String::from_utf8(output.stdout).expect("UTF-8"), errors)
    };
    assert_eq!(health(&[]), (Some(0), "ok\n".to_owned(), String::new()));
    let (code, said, errors) = health(&["--ready"]);
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    assert!(said.contains("\"ready\":true"), "{said}");
    let elsewhere = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let (code, _, errors) = health(&["--listen", &elsewhere.to_string()]);
    assert_eq!(code, Some(1));
    assert!(errors.contains("no answer of http://127.0.0.1:"), "{errors}");

    relay.child.kill().expect("killed");
    relay.child.wait().expect("ended");
    let (code, said, errors) = health(&[]);
    assert_eq!((code, said.as_str()), (Some(1), ""));
    assert!(errors.contains(&format!("no answer of http://127.0.0.1:{port}/livez")), "{errors}");
}

#[test]
fn a_relay_that_is_not_ready_is_not_healthy_if_that_is_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = answering(
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 37\r\n\r\n{\"ready\":false,\"reasons\":[\"no_keys\"]}",
    );
    let address = url.trim_start_matches("ws://").trim_end_matches("/v1/call");
    let (output, errors) = run(voxrelay(folder.path()).args(["health", "--ready", "--listen", address]));
    assert_eq!((output.status.code(), output.stdout), (Some(1), Vec::new()));
    assert!(errors.contains("503") && errors.contains("no_keys"), "{errors}");
}

#[test]
fn of_a_wrong_configuration_nothing_is_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let (output, errors) = run(voxrelay(folder.path()).arg("health").env("VOXRELAY_LISTEN", "nowhere"));
    assert_eq!(output.status.code(), Some(2));
    assert!(errors.contains("listen"), "{errors}");
}

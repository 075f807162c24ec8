//! `voxrelay config`, and what is wrong with a configuration.

use super::*;

#[test]
fn config_says_what_applies_and_shows_no_secret() {
    let folder = tempfile::tempdir().expect("a folder");
    let secret = "a-configured-secret-of-more-than-32-bytes";
    let toml = format!("[auth]\nhs256_secret = \"{secret}\"\n[plans.pro]\nsession_usd = 12.5\n");
    std::fs::write(folder.path().join("voxrelay.toml"), toml).expect("written");
    let (output, errors) = run(voxrelay(folder.path())
        .args(["config", "--check", "--config", "voxrelay.toml"])
        .env("VOXRELAY_LIMITS__SESSION_MINUTES", "7"));
    assert!(output.status.success(), "{errors}");
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(!said.contains(secret) && !errors.contains(secret), "{said}");
    for line in [
        "auth.hs256_secret = [secret]  # file",
        "limits.session_minutes = 7  # environment",
        "limits.idle_minutes = 10  # default",
        "plans.pro.session_usd = 12.5  # file",
    ] {
        assert!(said.lines().any(|said| said == line), "{line:?} is not in {said}");
    }
}

#[test]
fn the_configuration_of_every_example_is_good_with_the_keys_that_it_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository");
    let mut found = 0;
    for example in std::fs::read_dir(root.join("examples")).expect("there") {
        let file = example.expect("read").path().join("voxrelay.toml");
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        found += 1;
        let keys: Vec<&str> = text
            .split(|c: char| !c.is_ascii_uppercase() && c != '_')
            .filter(|word| word.ends_with("__KEY"))
            .collect();
        let mut command = voxrelay(folder.path());
        // Prices are named by their place in the repository.
        command.current_dir(root).args(["config", "--check", "--config"]).arg(&file);
        command.env("VOXRELAY_DATA_DIR", folder.path()).env("VOXRELAY_AUTH__HS256_SECRET", SECRET);
        let (output, errors) = run(command.envs(keys.iter().map(|key| (*key, "a-key"))));
        assert!(output.status.success(), "{}: {errors}", file.display());
    }
    assert!(found >= 3, "{found}");
}

#[test]
fn everything_that_keeps_a_relay_from_starting_is_said_at_once_and_by_the_check_as_well() {
    let folder = tempfile::tempdir().expect("a folder");
    let toml = "\
        data_dir = \"file/data\"\n\
        origins = [\"https://app.example.com/\", \"https://ok.example\", \"null\"]\n\
        colour = \"red\"\n\
        [limits]\n\
        session_minutes = 0\n\
        sesion_usd = 1\n\
        [plans.pro]\n\
        idle_minutes = \"soon\"\n\
        [webhook]\n\
        url = \"https://hooks.example/\"\n\
        [recording]\n\
        dir = \"file/recordings\"\n\
        [prices]\n\
        file = \"gone.toml\"\n";
    std::fs::write(folder.path().join("voxrelay.toml"), toml).expect("written");
    std::fs::write(folder.path().join("file"), "no folder").expect("written");
    for args in [&["serve"][..], &["config", "--check"]] {
        let (output, errors) = run(voxrelay(folder.path())
            .args(args)
            .args(["--config", "voxrelay.toml"])
            .env("VOXRELAY_ECHO__RATE", "8000")
            .env("VOXRELAY_METRICS__LISTEN", "here"));
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{args:?}: {errors}");
        for (part, place) in [
            ("there is no key colour", "(voxrelay.toml, line 3)"),
            ("limits.sesion_usd", "(voxrelay.toml, line 6)"),
            ("limits.session_minutes = 0", "(voxrelay.toml, line 5)"),
            ("plans.pro.idle_minutes = soon", "(voxrelay.toml, line 8)"),
            ("\"https://app.example.com/\", \"null\"", "(voxrelay.toml, line 2)"),
            ("webhook.secret is missing", "webhook.url"),
            ("echo.rate = 8000", "(VOXRELAY_ECHO__RATE)"),
            ("metrics.listen = \"here\"", "(VOXRELAY_METRICS__LISTEN)"),
            ("prices.file = \"gone.toml\"", "(voxrelay.toml, line 14)"),
            ("recording.dir = \"file/recordings\": it cannot be written", "(voxrelay.toml, line 12)"),
            ("data_dir = \"file/data\": it cannot be written", "(voxrelay.toml, line 1)"),
            ("auth.hs256_secret", "auth.jwks_url"),
        ] {
            let line = errors.lines().find(|line| line.contains(part));
            let line = line.unwrap_or_else(|| panic!("{args:?} does not say {part:?}: {errors}"));
            assert!(line.contains(place), "{line}");
        }
        assert!(!errors.contains("ok.example"), "{errors}");
    }
    assert!(!folder.path().join("voxrelay-data").exists());
}

#[test]
fn a_folder_of_recordings_beside_a_database_that_other_relays_may_have_needs_a_word_that_they_share_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("file://{}", folder.path().join("recordings").display());
    let database = ("DATABASE_URL", "postgres://voxrelay@localhost/voxrelay");
    let shared = ("VOXRELAY_RECORDING__SHARED", "true");
    for (key, variable, given) in [
        ("recording.dir", "VOXRELAY_RECORDING__DIR", "recordings"),
        ("recording.url", "VOXRELAY_RECORDING__URL", url.as_str()),
    ] {
        let command = |args: &[&str], variables: &[(&str, &str)]| {
            let mut command = voxrelay(folder.path());
            command.args(args).env("VOXRELAY_AUTH__HS256_SECRET", SECRET).env(variable, given);
            command.envs(variables.iter().copied());
            command
        };
        for args in [&["serve", "--listen", "127.0.0.1:0"][..], &["config", "--check"]] {
            let (output, errors) = run(&mut command(args, &[database]));
            assert_eq!(output.status.code(), Some(2), "{args:?}: {errors}");
            let line = errors.lines().find(|line| line.contains(&format!("configuration: {key} = ")));
            let line = line.unwrap_or_else(|| panic!("{args:?} does not name {key}: {errors}"));
            assert!(line.contains("recording.shared = true") && line.contains(variable), "{line}");
        }
        for variables in [&[database, shared][..], &[]] {
            let (output, errors) = run(&mut command(&["config", "--check"], variables));
            assert!(output.status.success(), "{key}, {variables:?}: {errors}");
        }
    }
}

#[test]
fn the_check_leaves_no_file_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let (output, errors) = run(voxrelay(folder.path())
        .args(["config", "--check"])
        .env("VOXRELAY_RECORDING__DIR", "recordings/deep")
        .env("VOXRELAY_AUTH__HS256_SECRET", "a-configured-secret-of-more-than-32-bytes"));
    assert!(output.status.success(), "{errors}");
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(said.contains("auth.issuer = [\"voxrelay\"]  # default"), "{said}");
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

#[test]
fn the_check_tries_what_the_configuration_names_if_it_is_asked_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let variables = [
        ("DATABASE_URL", format!("postgres://ada:hunter2@{closed}/db")),
        ("VOXRELAY_AUTH__JWKS_URL", format!("http://{closed}/jwks")),
        ("VOXRELAY_AUTH__ISSUER", "me".to_owned()),
        ("VOXRELAY_AUTH__AUDIENCE", "relay".to_owned()),
        ("VOXRELAY_WEBHOOK__URL", format!("http://{closed}/")),
        ("VOXRELAY_WEBHOOK__SECRET", "a-configured-secret-of-more-than-32-bytes".to_owned()),
        ("VOXRELAY_RECORDING__URL", "s3://calls".to_owned()),
        ("AWS_ENDPOINT", format!("http://{closed}")),
        ("AWS_ALLOW_HTTP", "true".to_owned()),
        ("AWS_ACCESS_KEY_ID", "id".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "key".to_owned()),
    ];
    let (output, errors) = run(voxrelay(folder.path()).args(["config", "--check"]).envs(variables.clone()));
    assert!(output.status.success(), "{errors}");
    let (output, errors) =
        run(voxrelay(folder.path()).args(["config", "--check", "--connect"]).envs(variables));
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{errors}");
    for key in ["database_url: ", "auth: the issuer's keys", "webhook.url: ", "recording: "] {
        assert!(errors.contains(key), "{errors}");
    }
    assert!(!errors.contains("hunter2"), "{errors}");
}

#[test]
fn the_check_says_what_serve_would_say_of_its_files_and_addresses_and_that_all_is_well() {
    let folder = tempfile::tempdir().expect("a folder");
    let check = |more: &[&str], variables: &[(&str, &str)]| {
        let mut command = voxrelay(folder.path());
        command.args(["config", "--check"]).args(more).env("VOXRELAY_AUTH__HS256_SECRET", SECRET);
        let (output, errors) = run(command.envs(variables.iter().copied()));
        let said = String::from_utf8(output.stdout).expect("UTF-8");
        (output.status.code(), said.lines().last().unwrap_or_default().to_owned(), errors)
    };
    let relay = Running::start(voxrelay(folder.path()).args(["dev", "--listen", "127.0.0.1:0"]));
    let (code, last, errors) = check(&["--connect"], &[("VOXRELAY_LISTEN", &relay.address)]);
    assert_eq!((code, errors.as_str()), (Some(0), ""), "a relay that runs is no fault");
    assert_eq!(last, "# All is well, also with what it names.");
    assert!(relay.get("/livez").ends_with("ok\n"));
    drop(relay);
    assert!(check(&[], &[]).1.starts_with("# All is well."));
    let url = ("DATABASE_URL", "postgres://ada:hunter2@localhost/db?sslmode=bogus");
    let (code, _, errors) = check(&[], &[url]);
    assert!(code == Some(2) && errors.contains("bogus") && !errors.contains("hunter2"), "{errors}");
    let data = folder.path().join("voxrelay-data");
    for log in ["voxrelay.db-wal", "spill.db-wal"] {
        std::fs::remove_file(data.join(log)).expect("it was killed, so they are there");
    }
    for (file, key) in [("voxrelay.db", "data_dir: "), ("spill.db", "data_dir: ")] {
        let path = data.join(file);
        let kept = std::fs::read(&path).expect("it is there");
        std::fs::write(&path, "dear somebody, this is no database but a letter. ".repeat(20))
            .expect("written");
        let (code, _, errors) = check(&["--connect"], &[]);
        assert!(code == Some(1) && errors.contains(key) && errors.contains(file), "{errors}");
        std::fs::write(&path, kept).expect("written");
    }
    let foreign = [
        ("VOXRELAY_LISTEN", "203.0.113.7:80"),
        ("VOXRELAY_METRICS__LISTEN", "203.0.113.7:9464"),
        ("VOXRELAY_NETWORK__PLAIN_HTTP", "true"),
    ];
    let (code, _, errors) = check(&["--connect"], &foreign);
    assert_eq!(code, Some(1), "{errors}");
    assert!(
        errors.contains("(VOXRELAY_LISTEN)") && errors.contains("(VOXRELAY_METRICS__LISTEN)"),
        "{errors}"
    );
}

#[test]
fn the_first_configuration_of_the_readme_is_whole_but_for_a_secret() {
    let readme = include_str!("../../../README.md");
    let (_, rest) = readme.split_once("```toml\n").expect("one");
    let (toml, _) = rest.split_once("```").expect("its end");
    let folder = tempfile::tempdir().expect("a folder");
    let check = |toml: &str| {
        std::fs::write(folder.path().join("voxrelay.toml"), toml).expect("written");
        run(voxrelay(folder.path()).args(["config", "--check"]).env("VOXRELAY_CONFIG", "voxrelay.toml"))
    };
    let (output, errors) = check(toml);
    assert_eq!((output.status.code(), errors.lines().count()), (Some(2), 1), "{errors}");
    assert!(errors.contains("auth.hs256_secret") && errors.contains("openssl rand -base64 48"), "{errors}");
    let (output, errors) = check(&toml.replacen("openssl rand -base64 48", SECRET, 1));
    assert!(output.status.success(), "{errors}");
}

/// The keys, the bucket and the webhook bring their clients with them: none of them may lean on what another one has set up.
#[test]
fn the_check_tries_a_webhook_that_is_all_there_is_to_try() {
    let folder = tempfile::tempdir().expect("a folder");
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    for (url, code) in [(format!("http://{closed}/"), 1), (answering(b"HTTP/1.1 405 No\r\n\r\n"), 0)] {
        let (output, errors) = run(voxrelay(folder.path())
            .args(["config", "--check", "--connect"])
            .env("VOXRELAY_AUTH__HS256_SECRET", SECRET)
            .env("VOXRELAY_WEBHOOK__URL", url.replace("ws:", "http:"))
            .env("VOXRELAY_WEBHOOK__SECRET", SECRET));
        assert_eq!(output.status.code(), Some(code), "{errors}");
        assert_eq!(code == 1, errors.contains("webhook.url: "), "{errors}");
    }
}

#[test]
fn config_prints_the_reference_that_is_in_the_docs() {
    let folder = tempfile::tempdir().expect("a folder");
    let (output, errors) = run(voxrelay(folder.path()).args(["config", "--reference"]));
    assert!(output.status.success(), "{errors}");
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
    let committed = std::fs::read(docs).expect("readable");
    assert!(committed == output.stdout, "run `voxrelay config --reference > docs/configuration.md`");
}

#[test]
fn what_is_wrong_with_the_configuration_is_said_and_nothing_starts() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("voxrelay.toml"), "[limits]\nsession_minutes = 0\n").expect("written");
    for (args, variable, says) in [
        (&["serve"][..], ("VOXRELAY_LOG__LEVEL", "info"), &["auth.hs256_secret", "auth.jwks_url"][..]),
        (&["serve", "--config", "voxrelay.toml"], ("A", "b"), &["limits.session_minutes = 0", "1 to 1440"]),
        (&["config", "--check", "--config", "voxrelay.toml"], ("A", "b"), &["limits.session_minutes = 0"]),
        (&["config"], ("A", "b"), &["--check", "--reference"]),
        (&["serve", "--config", "gone.toml"], ("A", "b"), &["gone.toml"]),
        (&["dev"], ("VOXRELAY_ECHO__RATE", "8000"), &["echo.rate = 8000", "16000 or 24000"]),
        (&["token", "--sub", "a"], ("VOXRELAY_SESSION_MINUTES", "1"), &["session_minutes"]),
        (&["token", "--sub", ""], ("A", "b"), &["--sub"]),
        (&["token", "--sub", "a", "--ttl", "soon"], ("A", "b"), &["--ttl", "90s or 1h"]),
    ] {
        let (output, errors) = run(voxrelay(folder.path()).args(args).env(variable.0, variable.1));
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{args:?}: {errors}");
        for part in says {
            assert!(errors.contains(part), "{args:?} gave {errors:?}, which does not say {part:?}");
        }
    }
    assert!(!folder.path().join("voxrelay-data").exists());
}

//! `voxrelay token`.

use super::*;

#[tokio::test]
async fn token_prints_a_token_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let (output, errors) = run(voxrelay(folder.path()).args(["token", "--sub", "ada", "--ttl", "90s"]));
    assert!(output.status.success(), "{errors}");
    assert_eq!(errors, "");
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    let token = printed.strip_suffix('\n').expect("one line");
    assert!(!token.contains(char::is_whitespace), "{printed:?}");

    let mut config = Config::defaults().auth;
    config.hs256_secret =
        Some(auth::development_secret(&folder.path().join("voxrelay-data")).expect("a secret"));
    let identity = Verifier::from_config(&config).expect("a verifier").check(token).await.expect("good");
    assert_eq!(identity.sub, "ada");
    let again = run(voxrelay(folder.path()).args(["token", "--sub", "ada"])).0;
    let again = String::from_utf8(again.stdout).expect("UTF-8");
    Verifier::from_config(&config).expect("a verifier").check(again.trim()).await.expect("the same secret");
}

#[tokio::test]
async fn token_signs_as_configured() {
    let folder = tempfile::tempdir().expect("a folder");
    let secret = "a-configured-secret-of-more-than-32-bytes";
    let toml =
        format!("[auth]\nhs256_secret = \"{secret}\"\nissuer = [\"me\", \"you\"]\naudience = \"them\"\n");
    std::fs::write(folder.path().join("voxrelay.toml"), toml).expect("written");
    let (output, errors) =
        run(voxrelay(folder.path()).args(["token", "--sub", "ada", "--config", "voxrelay.toml"]));
    assert!(output.status.success(), "{errors}");
    let mut config = Config::defaults().auth;
    config.hs256_secret = Some(Secret::new(secret.into()));
    config.issuers = vec!["me".into()];
    config.audiences = vec!["them".into()];
    let token = String::from_utf8(output.stdout).expect("UTF-8");
    Verifier::from_config(&config).expect("a verifier").check(token.trim()).await.expect("good");
    assert!(!folder.path().join("voxrelay-data").exists(), "no secret was needed, so none was made");
}

#[test]
fn token_cannot_sign_for_somebody_elses_keys() {
    let folder = tempfile::tempdir().expect("a folder");
    let (output, errors) = run(voxrelay(folder.path())
        .args(["token", "--sub", "ada"])
        .env("VOXRELAY_AUTH__JWKS_URL", "https://example.com/jwks.json")
        .env("VOXRELAY_AUTH__ISSUER", "https://example.com")
        .env("VOXRELAY_AUTH__AUDIENCE", "relay"));
    assert_eq!((output.status.code(), output.stdout), (Some(2), Vec::new()));
    assert!(errors.contains("auth.jwks_url"), "{errors}");
}

#[tokio::test]
async fn token_says_who_pays_which_plan_and_which_role_in_the_configured_claims() {
    let folder = tempfile::tempdir().expect("a folder");
    let says = ["token", "--sub", "ada", "--account", "acme", "--plan", "pro", "--role", "voxrelay_admin"];
    for claims in
        ["", "account_claim = \"org\"\nplan_claim = \"https://acme.example/plan\"\nrole_claim = \"a.b.c\"\n"]
    {
        let toml = format!("[auth]\nhs256_secret = \"{SECRET}\"\n{claims}");
        let file = folder.path().join("voxrelay.toml");
        std::fs::write(&file, toml).expect("written");
        let config = Config::load(Some(&file), []).expect("a good configuration").auth;
        let verifier = Verifier::from_config(&config).expect("a verifier");
        for (arguments, account, plan, is_admin) in
            [(&says[..], "acme", Some("pro"), true), (&says[..3], "default", None, false)]
        {
            let (output, errors) =
                run(voxrelay(folder.path()).args(arguments).args(["--config", "voxrelay.toml"]));
            assert!(output.status.success(), "{errors}");
            let token = String::from_utf8(output.stdout).expect("UTF-8");
            let identity = verifier.check(token.trim()).await.expect("good");
            assert_eq!(
                (&*identity.sub, &*identity.account, identity.plan.as_deref(), identity.is_admin),
                ("ada", account, plan, is_admin)
            );
        }
    }
}

#[tokio::test]
async fn token_names_the_agents_that_its_user_may_speak_with() {
    let folder = tempfile::tempdir().expect("a folder");
    for claims in ["", "agents_claim = \"https://acme.example/agents\"\n"] {
        let file = folder.path().join("voxrelay.toml");
        std::fs::write(&file, format!("[auth]\nhs256_secret = \"{SECRET}\"\n{claims}")).expect("written");
        let config = Config::load(Some(&file), []).expect("a good configuration").auth;
        let verifier = Verifier::from_config(&config).expect("a verifier");
        for (arguments, may) in [
            (&[][..], ["host", ""]),
            (&["--agent", "doctor"], ["doctor", ""]),
            (&["--agent", "doctor", "--agent", "host"], ["doctor", "host"]),
            (&["--agent", "*"], ["doctor", "clerk"]),
        ] {
            let command = ["token", "--sub", "ada", "--config", "voxrelay.toml"];
            let (output, errors) = run(voxrelay(folder.path()).args(command).args(arguments));
            assert!(output.status.success(), "{errors}");
            let token = String::from_utf8(output.stdout).expect("UTF-8");
            let identity = verifier.check(token.trim()).await.expect("good");
            for agent in ["host", "doctor", "clerk"] {
                let expected = may.contains(&agent) || arguments.contains(&"*");
                assert_eq!(identity.may_speak_with(agent, "host"), expected, "{arguments:?}: {agent}");
            }
        }
    }
}

#[tokio::test]
async fn the_command_that_dev_names_prints_a_token_for_it_wherever_it_is_typed() {
    for name in ["plain", "it's a folder"] {
        let home = tempfile::tempdir().expect("a folder");
        let folder = home.path().join(name);
        std::fs::create_dir(&folder).expect("made");
        let mut relay = Running::start(voxrelay(&folder).args(["dev", "--listen", "127.0.0.1:0"]));
        let icon = relay.get("/favicon.ico");
        assert!(icon.starts_with("HTTP/1.1 200") && icon.contains("content-type: image/svg+xml"), "{icon}");
        let log = BufReader::new(relay.child.stderr.take().expect("piped"));
        let says = "or get a token with: ";
        let line = log.lines().map_while(Result::ok).find(|line| line.contains(says)).expect("said");
        let (_, command) = line.split_once(says).expect("said");
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir("/").env_remove("VOXRELAY_AUTH__HS256_SECRET");
        let (output, errors) = run(&mut shell);
        assert!(output.status.success(), "{command}: {errors}");
        let token = String::from_utf8(output.stdout).expect("UTF-8");
        let mut config = Config::defaults().auth;
        let secret = auth::development_secret(&folder.join("voxrelay-data"));
        config.hs256_secret = Some(secret.expect("a secret"));
        Verifier::from_config(&config).expect("a verifier").check(token.trim()).await.expect("good");
    }
}

#[test]
fn token_signs_nothing_that_the_relay_would_refuse() {
    let folder = tempfile::tempdir().expect("a folder");
    let long = "a".repeat(256);
    let wrong =
        ["a\tb", "a\nb", " a", "a ", " ", "\u{200b}", "a\u{202e}b", "\u{feff}a", "a\u{7f}b", long.as_str()];
    for option in ["--sub", "--account", "--plan"] {
        for value in wrong {
            let mut command = voxrelay(folder.path());
            command.args(["token", option, value]);
            if option != "--sub" {
                command.args(["--sub", "ada"]);
            }
            let (output, errors) = run(&mut command);
            let printed = String::from_utf8_lossy(&output.stdout).into_owned();
            assert_eq!(
                (output.status.code(), printed.as_str()),
                (Some(2), ""),
                "{option} {value:?}: {errors}"
            );
            assert!(errors.contains("a text of 1 to 255 visible characters"), "{option} {value:?}: {errors}");
        }
    }
    for role in ["anon", "service_role"] {
        let (output, errors) = run(voxrelay(folder.path())
            .args(["token", "--sub", "ada", "--role", role])
            .env("VOXRELAY_AUTH__ROLE_CLAIM", "role"));
        assert_eq!(output.status.code(), Some(2), "{errors}");
    }
    for value in ["ada", "Ada Lovelace", "ä", "日本", &"a".repeat(255)] {
        let (output, errors) = run(voxrelay(folder.path()).args(["token", "--sub", value]));
        assert!(output.status.success(), "{value}: {errors}");
    }
}

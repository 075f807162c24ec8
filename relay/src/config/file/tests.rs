use super::*;

fn from_toml(toml: &str) -> Result<Config, ConfigError> {
    let file = tempfile::Builder::new().suffix(".toml").tempfile().expect("a file");
    std::fs::write(file.path(), toml).expect("written");
    Config::load(Some(file.path()), [])
}

fn from_environment(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::load(None, variables.iter().map(|(name, value)| (name.to_string(), value.to_string())))
}

#[test]
fn the_defaults_are_the_documented_ones() {
    let config = Config::defaults();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.limits.session, Duration::from_secs(1_800));
    assert_eq!(config.limits.idle, Duration::from_secs(600));
    assert_eq!((config.limits.chunk_min_bytes, config.limits.chunk_max_bytes), (100, 100_000));
    assert_eq!(config.limits.budget.to_string(), "$5.00");
    assert_eq!(config.limits.sessions_per_user, 3);
    assert_eq!(config.heartbeat, Duration::from_secs(15));
    assert_eq!(config.resume_window, Duration::from_secs(120));
    assert_eq!(config.echo.codec, Codec::PcmS16le24000);
    assert_eq!(
        (config.auth.issuers, config.auth.audiences),
        (vec!["voxrelay".into()], vec!["voxrelay".into()])
    );
    assert_eq!(config.auth.leeway, Duration::from_secs(5));
}

#[test]
fn the_environment_goes_over_the_file() {
    let file = tempfile::Builder::new().suffix(".toml").tempfile().expect("a file");
    std::fs::write(file.path(), "listen = \"0.0.0.0:1\"\n[limits]\nsession_minutes = 5\nidle_minutes = 2\n")
        .expect("written");
    let environment = [
        ("VOXRELAY_LIMITS__SESSION_MINUTES", "7"),
        ("VOXRELAY_LIMITS__BUDGET_USD", "0.25"),
        ("VOXRELAY_ORIGINS", "same-origin, https://app.example.com"),
        ("VOXRELAY_AUTH__HS256_SECRET", "00000000000000000000000000000000"),
        ("VOXRELAY_REQUIRE_ORIGIN", "true"),
        ("HOME", "/root"),
    ];
    let config =
        Config::load(Some(file.path()), environment.map(|(name, value)| (name.to_owned(), value.to_owned())))
            .expect("good");
    assert_eq!(config.listen.to_string(), "0.0.0.0:1");
    assert_eq!(config.limits.session, Duration::from_secs(420));
    assert_eq!(config.limits.idle, Duration::from_secs(120));
    assert_eq!(config.limits.budget, NanoUsd::new(250_000_000));
    assert_eq!(config.auth.hs256_secret.expect("given").expose(), "00000000000000000000000000000000");
    assert!(config.origins.allow(Some("https://app.example.com"), None));
    assert!(!config.origins.allow(None, Some("relay.example.com")));
}

#[test]
fn what_kubernetes_sets_for_a_service_named_voxrelay_is_no_configuration() {
    from_environment(&[
        ("VOXRELAY_PORT", "tcp://10.0.0.1:80"),
        ("VOXRELAY_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("VOXRELAY_SERVICE_HOST", "10.0.0.1"),
    ])
    .expect("ignored");
}

#[test]
fn money_is_exact_as_a_number_and_as_a_text() {
    for (toml, nano) in
        [("0.1", 100_000_000), ("\"0.1\"", 100_000_000), ("5", 5_000_000_000), ("0.29", 290_000_000)]
    {
        let config = from_toml(&format!("[limits]\nbudget_usd = {toml}")).expect(toml);
        assert_eq!(config.limits.budget.get(), nano, "{toml}");
    }
}

#[test]
fn every_error_names_the_key_what_was_given_and_what_is_accepted() {
    for (toml, says) in [
        ("listen = \"here\"", &["listen", "\"here\"", "127.0.0.1:8080"][..]),
        ("lisen = \"here\"", &["lisen", "listen"]),
        ("[limits]\nsesion_minutes = 3", &["limits", "sesion_minutes", "session_minutes"]),
        ("[limits]\nsession_minutes = 0", &["limits.session_minutes", "0", "1 to 1440"]),
        ("[limits]\nsession_minutes = -5", &["limits.session_minutes", "-5", "1 to 1440"]),
        ("[limits]\nsession_minutes = \"soon\"", &["limits.session_minutes", "soon", "integer"]),
        ("[limits]\nbudget_usd = -1", &["limits.budget_usd", "-1", "decimals"]),
        ("[limits]\nbudget_usd = [1]", &["limits.budget_usd", "sequence", "an amount"]),
        ("limits = 7", &["limits", "7", "a table"]),
        ("origins = [\"\"]", &["origins", "\"\"", "none of them empty"]),
        ("[limits]\nchunk_min_bytes = 300\nchunk_max_bytes = 200", &["limits.chunk_max_bytes", "200", "300"]),
        ("[echo]\nrate = 44100", &["echo.rate", "44100", "16000 or 24000"]),
        ("[log]\nformat = \"xml\"", &["log.format", "xml", "\"text\" or \"json\""]),
        ("[log]\nlevel = \"relay=loud\"", &["log.level", "relay=loud", "debug"]),
        ("[auth]\nhs256_secret = \"short\"", &["auth.hs256_secret", "5 bytes", "32"]),
        ("[auth]\njwks_url = \"http://example.com/jwks\"", &["auth.jwks_url", "example.com", "https://"]),
        ("[auth]\njwks_url = \"https://example.com/jwks\"", &["auth.issuer", "missing"]),
        ("[auth]\nissuer = 7", &["auth.issuer", "7", "a list of texts"]),
        ("origins = [\"example.com\"]", &["origins", "example.com", "https://app.example.com"]),
        ("origins = [\"https://example.com/path\"]", &["origins", "example.com/path"]),
        ("heartbeat_seconds = 100000", &["heartbeat_seconds", "100000", "1 to 120"]),
        ("require_origin = \"maybe\"", &["require_origin", "maybe", "boolean"]),
    ] {
        let error = from_toml(toml).expect_err(toml).to_string();
        for part in says {
            assert!(error.contains(part), "{toml:?} gave {error:?}, which does not say {part:?}");
        }
    }
}

#[test]
fn a_missing_file_is_named() {
    let error = Config::load(Some(Path::new("/nowhere/voxrelay.toml")), []).expect_err("no such file");
    assert!(error.to_string().contains("/nowhere/voxrelay.toml"), "{error}");
}

#[test]
fn a_variable_that_is_no_key_is_named() {
    let error = from_environment(&[("VOXRELAY_LIMITS__SESION_MINUTES", "3")]).expect_err("no such key");
    assert!(error.to_string().contains("sesion_minutes"), "{error}");
}

#[test]
fn a_secret_does_not_show_in_a_debug_print() {
    let secret = "an-example-secret-of-more-than-32-bytes";
    let config = from_toml(&format!("[auth]\nhs256_secret = \"{secret}\"")).expect("good");
    assert!(!format!("{config:?}").contains(secret));
}

use super::*;
use crate::NanoUsd;
use crate::records::store::HookEvent;

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
    assert_eq!(config.limits.session_budget.to_string(), "$5.00");
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
fn a_relay_that_is_alone_or_only_tried_is_drained_by_what_is_given_and_nothing_else() {
    let seconds = |drain: Drain| (drain.serve.as_secs(), drain.moving.as_secs());
    let database = ("DATABASE_URL", "postgres://ada:hunter2@db/vox");
    let given = ("VOXRELAY_DRAIN__MOVE_SECONDS", "7");
    assert_eq!(seconds(Config::defaults().drain), (0, 0));
    assert_eq!(seconds(from_environment(&[database]).expect("good").drain), (5, 10));
    assert_eq!(seconds(from_environment(&[given]).expect("good").drain), (0, 7));
    let mut tried = from_environment(&[database, given]).expect("good");
    tried.drain_as_given();
    assert_eq!(seconds(tried.drain), (0, 7));

    let alone = Config::explain(None, []).expect("good");
    assert!(!alone.contains("drain.") && alone.contains("is drained only by what `drain` says"), "{alone}");
}

#[test]
fn the_environment_goes_over_the_file() {
    let file = tempfile::Builder::new().suffix(".toml").tempfile().expect("a file");
    std::fs::write(file.path(), "listen = \"0.0.0.0:1\"\n[limits]\nsession_minutes = 5\nidle_minutes = 2\n")
        .expect("written");
    let environment = [
        ("VOXRELAY_PLANS__PRO__IDLE_MINUTES", "3"),
        ("VOXRELAY_LIMITS__SESSION_MINUTES", "7"),
        ("VOXRELAY_LIMITS__SESSION_USD", "0.25"),
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
    assert_eq!(config.limits.session_budget, NanoUsd::new(250_000_000));
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
        let config = from_toml(&format!("[limits]\nsession_usd = {toml}")).expect(toml);
        assert_eq!(config.limits.session_budget.get(), nano, "{toml}");
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
        ("[limits]\nsession_minutes = \"soon\"", &["limits.session_minutes", "soon", "whole number"]),
        ("[limits]\nsession_usd = -1", &["limits.session_usd", "-1", "decimals"]),
        ("[limits]\nsession_usd = [1]", &["limits.session_usd", "[1]", "an amount"]),
        ("limits = 7", &["limits", "7", "a table"]),
        ("origins = [\"\"]", &["origins", "\"\"", "none of them empty"]),
        ("[limits]\nchunk_min_bytes = 300\nchunk_max_bytes = 200", &["limits.chunk_max_bytes", "200", "300"]),
        ("[echo]\nrate = 44100", &["echo.rate", "44100", "16000 or 24000"]),
        ("[log]\nformat = \"xml\"", &["log.format", "xml", "text or json"]),
        ("[log]\nlevel = \"relay=loud\"", &["log.level", "relay=loud", "debug"]),
        ("[log]\nlevel = \"warning\"", &["log.level", "\"warning\" is no level; it is warn"]),
        (
            "[log]\nlevel = \"bogus\"",
            &["log.level", "\"bogus\" is no level", "off, error, warn, info, debug, trace"],
        ),
        ("[log]\nlevel = \"info,relay\"", &["log.level", "\"relay\" is no level"]),
        ("[log]\nlevel = \"info,\"", &["log.level", "\"\" is no level"]),
        ("[log]\nlevel = \"3\"", &["log.level", "\"3\" is no level"]),
        ("[auth]\nhs256_secret = \"short\"", &["auth.hs256_secret", "5 bytes", "32"]),
        ("[auth]\njwks_url = \"http://example.com/jwks\"", &["auth.jwks_url", "example.com", "https://"]),
        ("[auth]\njwks_url = \"https://example.com/jwks\"", &["auth.issuer", "missing"]),
        ("[auth]\nissuer = 7", &["auth.issuer", "7", "a list of texts"]),
        ("origins = [\"example.com\"]", &["origins", "example.com", "https://app.example.com"]),
        ("origins = [\"https://example.com/path\"]", &["origins", "example.com/path"]),
        ("heartbeat_seconds = 100000", &["heartbeat_seconds", "100000", "1 to 120"]),
        ("require_origin = \"maybe\"", &["require_origin", "maybe", "true or false"]),
        ("[limits]\nbudget_usd = 5", &["limits.budget_usd", "limits.session_usd"]),
        ("[plans.pro]\nbudget_usd = 5", &["plans.pro.budget_usd", "limits.session_usd"]),
        ("[limits]\nmax_connections = 5", &["limits.max_connections", "network.max_connections"]),
        ("[plans.pro]\nsession_minutes = 0", &["plans.pro.session_minutes = 0", "1 to 1440"]),
        ("[plans.pro]\nchunk_max_bytes = 50", &["plans.pro.chunk_max_bytes", "50", "100"]),
        ("[limits]\nchunk_min_bytes = 101\nchunk_max_bytes = 101", &["limits.chunk_max_bytes = 101", "even"]),
        ("[plans.pro]\nmax_connections = 50", &["plans.pro.max_connections", "network.max_connections"]),
        ("[plans.pro]\nsesion_minutes = 50", &["plans.pro.sesion_minutes", "session_minutes"]),
        ("[plans]\npro = 5", &["plans.pro", "5", "a table"]),
        ("plans = 5", &["plans", "5", "a table"]),
        (
            "[limits]\ncontrol_messages_per_second = 1001",
            &["control_messages_per_second", "1001", "1 to 1000"],
        ),
        ("database_url = \"mysql://ada:hunter2@host/db\"", &["database_url", "[27 bytes]", "postgres://"]),
        ("database_url = 7", &["database_url", "[secret]", "a text"]),
        ("[auth]\npublic_keys = \"/nowhere/key.pem\"", &["auth.public_keys", "/nowhere/key.pem", "PEM"]),
        ("[auth]\npublic_keys = \"-----BEGIN PUBLIC KEY-----\"", &["auth.public_keys", "[PEM]", "P-256"]),
        ("[auth]\nsupabase_url = \"http://x.supabase.co\"", &["auth.supabase_url", "x.supabase.co", "https"]),
        (
            "[auth]\nsupabase_url = \"https://x.supabase.co/auth/v1\"",
            &["auth.supabase_url", "the project's URL"],
        ),
        (
            "[auth]\nsupabase_url = \"https://x.supabase.co\"\njwks_url = \"https://x.supabase.co/jwks\"",
            &["auth.supabase_url", "auth.jwks_url", "cannot both"],
        ),
        (
            "[auth]\nsupabase_url = \"https://x.supabase.co\"\nissuer = \"me\"",
            &["auth.supabase_url", "auth.issuer", "cannot both"],
        ),
        (
            "[auth]\noidc_issuer = \"https://x.test\"\njwks_url = \"https://x.test/jwks\"",
            &["auth.oidc_issuer", "auth.jwks_url", "cannot both"],
        ),
        ("[auth]\noidc_issuer = \"https://x.test\"", &["auth.audience", "missing"]),
        ("[auth]\noidc_issuer = \"https://x.test/?a\"\naudience = \"a\"", &["auth.oidc_issuer", "exactly"]),
        (
            "[auth]\naccount_claim = \"user_metadata.account\"",
            &["auth.account_claim", "user_metadata", "users edit"],
        ),
        ("[auth]\nplan_claim = \"user_metadata\"", &["auth.plan_claim", "users edit"]),
        ("[auth]\nrole_claim = \"a.user_metadata.b\"", &["auth.role_claim", "users edit"]),
        ("[auth]\nlimits_claim = \"a..b\"", &["auth.limits_claim", "a..b", "dots"]),
        ("[auth]\ntoken_grace_seconds = 601", &["auth.token_grace_seconds", "601", "0 to 600"]),
        (
            "[network]\ntrusted_proxies = [\"10.0.0.0/33\"]",
            &["network.trusted_proxies", "10.0.0.0/33", "10.0.0.0/8"],
        ),
        ("[metrics]\nlisten = \"9464\"", &["metrics.listen", "9464", "127.0.0.1:9464"]),
        ("[traces]\nendpoint = \"http://x.test/v1/traces\"", &["traces.endpoint", "http://x.test", "https"]),
        ("[sentry]\ndsn = \"hunter2\"", &["sentry.dsn", "[secret]", "https://KEY@HOST/PROJECT"]),
        ("[sentry]\ndsn = \"http://hunter2@x.test/7\"", &["sentry.dsn", "[secret]", "localhost"]),
        ("[traces]\nheaders = \"a=b\"", &["traces.endpoint", "missing"]),
        (
            "[traces]\nendpoint = \"https://x.test\"\nheaders = \"a=b,hunter2\"",
            &["traces.headers", "[secret]", "NAME=VALUE"],
        ),
        (
            "[traces]\nendpoint = \"https://x.test\"\nsample_percent = 0",
            &["traces.sample_percent", "0", "1 to"],
        ),
        (
            "[webhook]\nurl = \"https://x.test\"\nsecret = \"whsec_no base64 but long enough, 32 bytes\"",
            &["webhook.secret", "[41 bytes]", "base64"],
        ),
        ("[webhook]\nurl = \"https://x.test\"", &["webhook.secret", "missing"]),
        ("[webhook]\nsecret = \"00000000000000000000000000000000\"", &["webhook.url", "missing"]),
        ("[webhook]\nurl = \"https://x.test\"\nsecret = \"short\"", &["webhook.secret", "[5 bytes]", "32"]),
        (
            "[webhook]\nurl = \"http://x.test\"\nsecret = \"00000000000000000000000000000000\"",
            &["webhook.url", "http://x.test", "https"],
        ),
        ("[recording]\ndir = \"a\"\nurl = \"s3://b/c\"", &["recording.dir", "recording.url", "one place"]),
        ("[recording]\nurl = \"ftp://b/c\"", &["recording.url", "ftp://b/c", "s3://"]),
        ("[recording]\nurl = \"s3:///c\"", &["recording.url", "s3:///c", "s3://"]),
        ("[store]\ngrace_seconds = 601", &["store.grace_seconds", "601", "0 to 600"]),
        ("[retention]\ntranscript_days = -1", &["retention.transcript_days", "-1", "0 to 36500"]),
        ("[api]\nrequests_per_minute = 0", &["api.requests_per_minute", "0", "1 to"]),
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

#[test]
fn a_secret_may_be_several_for_a_while() {
    let [new, old] = ["new", "old"].map(|name| format!("{name}, a secret of more than 32 bytes"));
    let auth = |toml: &str| from_toml(&format!("[auth]\nhs256_secret = {toml}")).map(|config| config.auth);
    let one = auth(&format!("{new:?}")).expect("good");
    assert_eq!((one.hs256_secret, one.hs256_others.len()), (Some(Secret::new(new.clone())), 0));
    let two = auth(&format!("[{new:?}, {old:?}]")).expect("good");
    assert_eq!(two.hs256_secret, Some(Secret::new(new.clone())));
    assert_eq!(two.hs256_others, [Secret::new(old.clone())]);
    let variable = format!("[{new:?}, {old:?}]");
    let of_variable = from_environment(&[("VOXRELAY_AUTH__HS256_SECRET", &variable)]).expect("good").auth;
    assert_eq!(of_variable.hs256_others, [Secret::new(old.clone())]);
    for wrong in [
        "[]".to_owned(),
        format!("[{new:?}, \"short\"]"),
        format!("[{new:?}, 7]"),
        format!("[{}]", vec![format!("{new:?}"); 5].join(", ")),
    ] {
        let error = auth(&wrong).expect_err(&wrong).to_string();
        assert!(error.contains("auth.hs256_secret") && error.contains("up to 4"), "{error}");
        assert!(!error.contains(&new), "{error}");
    }
    let hook = format!("[webhook]\nurl = \"https://x.test\"\nsecret = [{new:?}, {old:?}]");
    let webhook = from_toml(&hook).expect("good").webhook.expect("there is one");
    assert_eq!(webhook.secrets, [Secret::new(new), Secret::new(old)]);
}

#[test]
fn every_key_of_the_table_is_read() {
    for key in keys::KEYS {
        let wrong = match (key.name, key.accepts) {
            ("auth.admin_role" | "auth.reader_role" | "data_dir" | "prices.file", _) => "\"\"",
            (_, keys::Accepts::Text | keys::Accepts::List) => "\"?..\"",
            _ => "\"?\"",
        };
        let name = key.name.replace(keys::ANY, "any");
        let toml = match name.rsplit_once('.') {
            Some((section, name)) => format!("[{section}]\n{name} = {wrong}"),
            None => format!("{name} = {wrong}"),
        };
        let toml = match key.name {
            // Nothing is wrong with any text.
            "auth.issuer" | "auth.audience" | "recording.dir" => toml.replace(wrong, "7"),
            "agents.*.instructions"
            | "agents.*.greeting"
            | "agents.*.tools"
            | "agents.*.tool_filler"
            | "agents.*.quiet_question"
            | "agents.*.quiet_goodbye"
            | "agents.*.limit_goodbye" => {
                format!("{}\nkind = \"echo\"", toml.replace(wrong, "{}"))
            }
            "tools.*.description" => toml.replace(wrong, "7"),
            text if text.starts_with("reconcile.") => toml.replace(wrong, "7"),
            "tools.*.url" => {
                format!("{toml}\ndescription = \"d\"\nsecret = \"00000000000000000000000000000000\"")
            }
            text if text.starts_with("tools.") => format!("{toml}\ndescription = \"d\""),
            "agents.*.max_output_tokens"
            | "agents.*.memory_tokens"
            | "agents.*.max_tool_steps"
            | "agents.*.quiet_seconds"
            | "agents.*.longest_turn_seconds"
            | "agents.*.interruption_ms"
            | "agents.*.resume_ms"
            | "agents.*.interruptible_greeting"
            | "agents.*.uninterruptible_seconds" => format!("{toml}\nkind = \"echo\""),
            "agents.*.variables" | "agents.*.page_variables" => format!("{toml}\nkind = \"echo\""),
            "providers.*.model" | "sentry.environment" => toml.replace(wrong, "7"),
            "providers.*.key" | "providers.*.price" | "providers.*.voice" | "providers.*.key_terms" => {
                format!("{}\nmodel = \"m\"", toml.replace(wrong, "7"))
            }
            text if text.starts_with("providers.") => format!("{toml}\nmodel = \"m\""),
            "webhook.url" => format!("{toml}\nsecret = \"00000000000000000000000000000000\""),
            _ => toml,
        };
        let error = from_toml(&toml).expect_err(&toml).to_string();
        assert!(error.contains(&format!("{name} = ")), "{toml:?} gave {error:?}");
    }
}

#[test]
fn a_plan_is_the_limits_but_for_what_it_says() {
    let config = from_toml(
        "[limits]\nsession_minutes = 5\nsession_usd = 1\n[plans.Pro]\nsession_minutes = 60\nchunk_max_bytes = 130000\n[plans.free]\nsessions_per_user = 1",
    )
    .expect("good");
    assert_eq!(config.plans.keys().collect::<Vec<_>>(), ["Pro", "free"]);
    let pro = config.plans["Pro"];
    assert_eq!(pro.session, Duration::from_secs(3_600));
    assert_eq!(Limits { session: config.limits.session, chunk_max_bytes: 100_000, ..pro }, config.limits);
    assert_eq!(Limits { sessions_per_user: 3, ..config.plans["free"] }, config.limits);
    assert_eq!(config.message_max_bytes(), 260_000 + protocol::HEADER_LEN, "the largest of them");
}

#[test]
fn the_plan_of_a_token_applies_as_tight_as_the_token_wants_it() {
    let config =
        from_toml("[limits]\nsession_minutes = 5\n[plans.pro]\nsession_minutes = 60\nidle_minutes = 5")
            .expect("good");
    let minutes = |plan: Option<&str>, session_minutes: Option<u64>| {
        let limits = TokenLimits { session_minutes, ..TokenLimits::default() };
        config.limits_for(plan, &limits).session.as_secs() / 60
    };
    assert_eq!(minutes(None, None), 5);
    assert_eq!(minutes(Some("pro"), None), 60);
    assert_eq!(minutes(Some("no such plan"), None), 5);
    assert_eq!(minutes(Some("pro"), Some(10)), 10);
    assert_eq!(minutes(Some("pro"), Some(600)), 60);
    assert_eq!(minutes(None, Some(600)), 5);
}

#[test]
fn a_supabase_project_is_named_by_its_url_only() {
    let config = from_toml("[auth]\nsupabase_url = \"https://abcd.supabase.co/\"").expect("good").auth;
    assert_eq!(config.issuers, ["https://abcd.supabase.co/auth/v1"]);
    assert_eq!(config.audiences, ["authenticated"]);
    assert_eq!(
        config.jwks_url.expect("derived").as_str(),
        "https://abcd.supabase.co/auth/v1/.well-known/jwks.json"
    );
    let local = "supabase_url = \"http://127.0.0.1:54321\"\naudience = \"mine\"\nhs256_secret = \"00000000000000000000000000000000\"";
    let config = from_toml(&format!("[auth]\n{local}")).expect("good").auth;
    assert_eq!(config.issuers, ["http://127.0.0.1:54321/auth/v1"]);
    assert_eq!(config.audiences, ["mine"]);
    assert!(config.hs256_secret.is_some());
}

#[test]
fn an_openid_provider_is_named_by_its_issuer_and_its_audience() {
    let config =
        from_toml("[auth]\noidc_issuer = \"https://x.test/\"\naudience = \"relay\"").expect("good").auth;
    assert_eq!(config.oidc_issuer.as_deref(), Some("https://x.test/"));
    assert_eq!((config.issuers, config.audiences), (vec!["https://x.test/".into()], vec!["relay".into()]));
}

#[test]
fn the_database_is_named_by_the_variable_that_hosts_set() {
    let url = |variables: &[(&str, &str)]| {
        from_environment(variables).expect("good").database_url.map(|url| url.expose().to_owned())
    };
    assert_eq!(url(&[("DATABASE_URL", "")]), None);
    assert_eq!(url(&[("DATABASE_URL", "postgres://a")]).as_deref(), Some("postgres://a"));
    let both = [("VOXRELAY_DATABASE_URL", "postgresql://b"), ("DATABASE_URL", "postgres://a")];
    assert_eq!(url(&both).as_deref(), Some("postgresql://b"));
}

#[test]
fn plain_http_stays_on_the_machine_unless_somebody_says_otherwise() {
    let may_listen = |toml: &str, address: &str| {
        let network = from_toml(&format!("[network]\n{toml}")).expect("good").network;
        network.may_listen(address.parse().expect("an address"))
    };
    for own in ["127.0.0.1", "127.8.0.1", "::1", "::ffff:127.0.0.1"] {
        assert!(may_listen("", own), "{own}");
    }
    for reached in ["0.0.0.0", "::", "10.0.0.1", "fd00::1", "::ffff:0.0.0.0"] {
        assert!(!may_listen("", reached), "{reached}");
        assert!(may_listen("plain_http = true", reached), "{reached}");
        assert!(may_listen("tls_certificate = \"a.pem\"\ntls_key = \"b.pem\"", reached), "{reached}");
    }
}

#[test]
fn where_other_relays_send_tokens_is_an_address_that_is_safe_or_said_to_be() {
    let advertise =
        |toml: &str| from_toml(&format!("[network]\n{toml}")).map(|config| config.network.advertise);
    assert_eq!(advertise("").expect("good"), None);
    for (given, kept) in [
        ("advertise = \"https://relay-1.internal\"", "https://relay-1.internal"),
        ("advertise = \"https://10.0.0.7:8443/\"", "https://10.0.0.7:8443"),
        ("advertise = \"http://127.0.0.1:8080\"", "http://127.0.0.1:8080"),
        ("plain_http = true\nadvertise = \"http://10.0.0.7:8080\"", "http://10.0.0.7:8080"),
    ] {
        assert_eq!(advertise(given).expect("good").as_deref(), Some(kept), "{given}");
    }
    for wrong in [
        "http://10.0.0.7:8080",
        "10.0.0.7:8080",
        "https://a.test/relay",
        "https://u:p@a.test",
        "ftp://a.test",
    ] {
        assert!(advertise(&format!("advertise = {wrong:?}")).is_err(), "{wrong}");
    }
}

#[test]
fn what_another_relay_says_of_its_address_is_good_for_no_more_than_this_relays_own_would_be() {
    let reached = |toml: &str, address: &str| {
        from_toml(&format!("[network]\n{toml}")).expect("good").network.other_relay(address)
    };
    for good in ["https://relay-1.internal", "http://127.0.0.1:8080"] {
        assert_eq!(reached("", good).as_deref(), Some(good));
    }
    let plain = "http://10.0.0.7:8080";
    assert_eq!(reached("", plain), None);
    assert_eq!(reached("plain_http = true", plain).as_deref(), Some(plain));
    for wrong in ["", "10.0.0.7:8080", "https://a.test/relay", "https://u:p@a.test", "ftp://a.test"] {
        assert_eq!(reached("plain_http = true", wrong), None, "{wrong}");
    }
}

#[test]
fn read_again_is_what_nothing_was_made_of_and_the_rest_is_named() {
    let secret = |name: &str| format!("hs256_secret = \"{name}, a secret of more than 32 bytes\"");
    let began = from_toml(&format!("[auth]\n{}", secret("old"))).expect("good");
    let same = from_toml(&format!(
        "origins = \"*\"\n[auth]\n{}\n[limits]\nsession_usd = 9\n[plans.pro]\nsession_usd = 12\n[prices]\nfile = \"own.toml\"\n\
         [agents.a]\nkind = \"echo\"\n[api]\nrequests_per_minute = 7\n\
         [listening]\ntell_page = false\n",
        secret("new")
    ));
    let (renewed, waiting) = began.renewed(same.expect("good"));
    assert_eq!(waiting, [""; 0]);
    assert!(began.tells_of_listening && !renewed.tells_of_listening);
    assert_eq!(
        renewed.auth.hs256_secret.as_ref().expect("one").expose(),
        "new, a secret of more than 32 bytes"
    );
    assert_eq!(renewed.limits.session_budget.to_string(), "$9.00");
    assert_eq!(renewed.plans["pro"].session_budget.to_string(), "$12.00");
    assert!(renewed.agents.contains_key("a") && renewed.is_given("prices.file"));
    assert_eq!((renewed.api_requests_per_minute, renewed.prices_file), (7, Some("own.toml".into())));

    let other = from_toml(&format!(
        "listen = \"127.0.0.1:1\"\ndata_dir = \"elsewhere\"\nheartbeat_seconds = 7\n[auth]\n{}\nissuer = \"me\"\n\
         [network]\nmax_connections = 7\n[log]\nlevel = \"debug\"\n[limits]\nsession_usd = 9\n",
        secret("new")
    ));
    let (renewed, waiting) = began.renewed(other.expect("good"));
    let auth = "auth, with its secrets and public keys,";
    assert_eq!(waiting, ["listen", "data_dir", auth, "network", "heartbeat_seconds", "log"]);
    assert_eq!((renewed.listen, &renewed.data_dir), (began.listen, &began.data_dir));
    assert_eq!((renewed.auth.issuers, renewed.heartbeat), (began.auth.issuers, began.heartbeat));
    assert_eq!(renewed.limits.session_budget.to_string(), "$9.00", "what may change does");
}

#[test]
fn a_proxy_is_trusted_in_each_form_of_its_address() {
    let toml = "[network]\ntrusted_proxies = [\"10.0.0.0/8\", \"192.0.2.7\", \"2001:db8::/32\"]";
    let network = from_toml(toml).expect("good").network;
    let trusts = |address: &str| network.trusts(address.parse().expect("an address"));
    for trusted in ["10.1.2.3", "192.0.2.7", "2001:db8::1", "::ffff:10.1.2.3"] {
        assert!(trusts(trusted), "{trusted}");
    }
    for other in ["11.1.2.3", "192.0.2.8", "2001:db9::1", "127.0.0.1"] {
        assert!(!trusts(other), "{other}");
    }
    assert!(Config::defaults().network.trusted_proxies.is_empty());
}

#[test]
fn recordings_go_to_a_folder_or_to_a_bucket() {
    let place = |toml: &str| from_toml(&format!("[recording]\n{toml}")).expect("good").recording;
    assert_eq!(place(""), None);
    assert_eq!(place("dir = \"rec\""), Some(RecordingPlace::Folder("rec".into())));
    assert_eq!(place("url = \"file:///var/rec\""), Some(RecordingPlace::Folder("/var/rec".into())));
    let bucket = Url::parse("s3://calls/2026").expect("a URL");
    assert_eq!(place("url = \"s3://calls/2026\""), Some(RecordingPlace::Bucket(bucket)));
}

#[test]
fn a_claim_is_found_by_its_path() {
    let claims = serde_json::json!({
        "app_metadata": { "account": "acme", "plan": null, "deep": 7 },
        "https://example.com/roles": ["admin"],
    });
    let find = |path: &str| {
        ClaimPath::parse(path).expect("a path").find(&claims).map(Option::<&serde_json::Value>::cloned)
    };
    assert_eq!(find("app_metadata.account"), Ok(Some("acme".into())));
    assert_eq!(find("app_metadata.plan"), Ok(None));
    assert_eq!(find("app_metadata.role"), Ok(None));
    assert_eq!(find("other.role"), Ok(None));
    assert_eq!(find("app_metadata.deep.account"), Err(()));
    assert_eq!(find("https://example.com/roles"), Ok(Some(serde_json::json!(["admin"]))));
}

#[test]
fn what_applies_is_said_without_its_secrets() {
    let file = tempfile::Builder::new().suffix(".toml").tempfile().expect("a file");
    std::fs::write(file.path(), "[limits]\nsession_minutes = 5\n[plans.pro]\nidle_minutes = 7")
        .expect("written");
    let secret = "an-example-secret-of-more-than-32-bytes";
    let environment =
        [("VOXRELAY_AUTH__HS256_SECRET", secret), ("DATABASE_URL", "postgres://ada:hunter2@db/vox")];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let said = Config::explain(Some(file.path()), environment).expect("good");
    assert!(!said.contains(secret) && !said.contains("hunter2"), "{said}");
    for line in [
        "auth.hs256_secret = [secret]  # environment",
        "database_url = [secret]  # environment",
        "limits.session_minutes = 5  # file",
        "plans.pro.idle_minutes = 7  # file",
        "limits.session_usd = 5  # default",
        "drain.move_seconds = 10  # default",
        "origins = \"same-origin\"  # default",
    ] {
        assert!(said.lines().any(|said| said == line), "{line:?} is not in {said}");
    }
}

#[test]
fn the_reference_in_the_docs_is_the_one_made_from_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
    let committed = std::fs::read_to_string(path).expect("readable");
    assert!(committed == reference(), "run `voxrelay config --reference > docs/configuration.md`");
}

#[test]
fn levels_of_the_log_are_taken_in_every_form_that_logs() {
    for level in
        ["off", "error", "warn", "WARN", "info", "debug", "trace", "info,relay=debug", "warn,sqlx=off"]
    {
        let config = from_toml(&format!("[log]\nlevel = \"{level}\"")).expect(level);
        assert_eq!(config.log.level, level);
    }
}

#[test]
fn what_is_there_and_wrong_is_not_called_missing_as_well() {
    for toml in [
        "[webhook]\nurl = \"https://x.test\"\nsecret = \"short\"",
        "[webhook]\nurl = \"ftp://x.test\"\nsecret = \"a-configured-secret-of-more-than-32-bytes\"",
        "[webhook]\nurl = \"ftp://x.test\"\nsecret = \"short\"",
    ] {
        let said = from_toml(toml).expect_err(toml).to_string();
        assert!(!said.contains("missing"), "{toml}: {said}");
    }
}

#[test]
fn agents_and_providers_are_known_by_their_names() {
    let config = from_toml(
        "[agents]\ndefault = \"doctor\"\n[agents.doctor]\nllm = \"eliza\"\ninstructions = \"Listen.\"\n\
         [providers.eliza]\nurl = \"http://127.0.0.1:8000/v1\"\nmodel = \"eliza\"\nkey = \"short\"",
    )
    .expect("good");
    assert_eq!(config.default_agent, "doctor");
    let doctor = &config.agents["doctor"];
    assert_eq!(
        doctor.kind,
        AgentKind::Chat { stt: vec![], llm: vec!["eliza".to_owned()], llm_near_cap: vec![], tts: vec![] }
    );
    assert_eq!((doctor.instructions.as_str(), doctor.max_output_tokens), ("Listen.", 500));
    let eliza = &config.providers["eliza"];
    assert_eq!(eliza.base_url.as_str(), "http://127.0.0.1:8000/v1/");
    assert_eq!((eliza.price.as_str(), eliza.model.as_str()), ("eliza/eliza", "eliza"));
    assert_eq!(eliza.key.as_ref().map(Secret::expose), Some("short"));
    let by_variable = [("VOXRELAY_PROVIDERS__ELIZA__MODEL", "m"), ("VOXRELAY_PROVIDERS__ELIZA__KEY", "k")];
    let environment = by_variable.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let config = Config::load(None, environment).expect("good");
    assert_eq!(config.providers["eliza"].base_url.as_str(), "https://api.openai.com/v1/");
    assert_eq!(config.default_agent, ECHO);
}

#[test]
fn recognisers_of_two_sorts_in_one_list_are_refused_with_the_reason() {
    let with = |stt: &str| {
        from_toml(&format!(
            "[agents.host]\nstt = {stt}\nllm = \"mind\"\ntts = [\"aura\", \"mouth\"]\n\
             [providers.nova]\nkind = \"deepgram\"\nmodel = \"nova-3\"\n\
             [providers.flux]\nkind = \"deepgram-flux\"\nmodel = \"flux-general-en\"\n\
             [providers.whisper]\nkind = \"openai-transcription\"\nmodel = \"whisper-1\"\n\
             [providers.other]\nkind = \"openai-transcription\"\nmodel = \"whisper-2\"\n\
             [providers.aura]\nkind = \"deepgram-aura\"\nmodel = \"aura-2\"\n\
             [providers.mouth]\nkind = \"openai-speech\"\nmodel = \"tts-1\"\n\
             [providers.mind]\nmodel = \"m\"\n"
        ))
    };
    // Voices of two sorts stand in for each other.
    for alike in ["[]", "\"nova\"", "[\"nova\", \"flux\"]", "[\"whisper\", \"other\"]"] {
        with(alike).expect(alike);
    }
    for (mixed, named) in [
        ("[\"nova\", \"whisper\"]", "whisper"),
        ("[\"whisper\", \"other\", \"flux\"]", "flux"),
        ("[\"flux\", \"nova\", \"other\", \"whisper\"]", "other"),
    ] {
        let said = with(mixed).expect_err(mixed).to_string();
        assert!(
            said.contains("agents.host.stt") && said.contains(&format!("\"{named}\"")),
            "{mixed}: {said}"
        );
        let reason = "hears all of a call and";
        assert!(said.contains(reason) && said.contains("one utterance at a time"), "{mixed}: {said}");
    }
}

#[test]
fn a_vendors_prices_are_for_the_vendors_own_address() {
    for (kind, more, item) in [
        ("deepgram", "model = \"nova-3\"", "deepgram/nova-3"),
        ("deepgram", "model = \"nova-3\"\nlanguage = \"multi\"", "deepgram/nova-3-multilingual"),
        ("deepgram", "model = \"nova-3\"\nurl = \"http://127.0.0.1:8080\"", "p/nova-3"),
        ("deepgram-flux", "model = \"flux-general-en\"", "deepgram/flux-general-en"),
        ("deepgram-aura", "model = \"aura-2-thalia-en\"", "deepgram/aura-2"),
        ("deepgram-aura", "model = \"aura-asteria-en\"", "deepgram/aura-1"),
        ("anthropic", "model = \"claude-haiku-5-5\"", "anthropic/claude-haiku-5-5"),
        ("openai-chat", "model = \"m\"\nurl = \"https://api.openai.com/v1\"", "openai/m"),
        ("openai-speech", "model = \"tts-1\"\nprice = \"openai/tts-1-hd\"", "openai/tts-1-hd"),
        ("elevenlabs", "model = \"eleven_flash_v2_5\"\nvoice = \"v\"", "elevenlabs/eleven_flash_v2_5"),
    ] {
        let config = from_toml(&format!("[providers.p]\nkind = \"{kind}\"\n{more}")).expect(more);
        assert_eq!(config.providers["p"].price, item, "{kind}: {more}");
    }
}

#[test]
fn an_agent_declares_its_variables_and_which_of_them_are_the_pages() {
    let config = from_toml(
        "[agents.host]\nkind = \"echo\"\nvariables = [\"name=there\", \"plan\", \"_a1=b=c\"]\npage_variables = \"name\"",
    )
    .expect("good");
    let variables: Vec<_> = config.agents["host"]
        .variables
        .iter()
        .map(|variable| (&*variable.name, &*variable.default, variable.is_of_page))
        .collect();
    assert_eq!(variables, [("name", "there", true), ("plan", "", false), ("_a1", "b=c", false)]);
    for (variables, says) in [
        ("variables = \"first name\"", "agents.host.variables = \"first name\""),
        ("variables = \"1a\"", "agents.host.variables = \"1a\""),
        ("variables = [\"a\", \"a=b\"]", "agents.host.variables = \"a=b\""),
        ("page_variables = \"name\"", "agents.host.page_variables = \"name\""),
    ] {
        let error = from_toml(&format!("[agents.host]\nkind = \"echo\"\n{variables}")).expect_err(variables);
        assert!(error.to_string().contains(says), "{variables}: {error}");
    }
}

#[test]
fn what_agents_and_providers_lack_is_said_by_name() {
    for (toml, parts) in [
        ("[agents]\ndefault = \"doctor\"", &["agents.default = \"doctor\"", "\"echo\""][..]),
        ("[agents.doctor]\nllm = \"eliza\"", &["agents.doctor.llm = \"eliza\"", "there are none"]),
        ("[agents.doctor]", &["agents.doctor.llm = nothing", "[providers.NAME]"]),
        ("[agents.doctor]\nkind = \"dance\"", &["agents.doctor.kind = \"dance\"", "chat or echo"]),
        ("[agents.doctor]\nvoice = 1", &["agents.doctor.voice", "llm"]),
        ("[agents.\"a b\"]\nkind = \"echo\"", &["agents = \"a b\"", "letters"]),
        ("[providers.eliza]", &["providers.eliza.model = nothing", "the model"]),
        (
            "[providers.eliza]\nmodel = \"m\"\nurl = \"ftp://x/\"",
            &["providers.eliza.url = \"ftp://x/\"", "https://"],
        ),
        ("[providers.eliza]\nmodel = \"m\"\nurl = \"http://u:p@x/\"", &["providers.eliza.url", "password"]),
        ("[providers.eliza]\nmodel = \"m\"\nkey = 5", &["providers.eliza.key"]),
        (
            "[providers.ear]\nkind = \"deepgram\"\nmodel = \"m\"\neager = true",
            &["providers.ear.eager = true", "deepgram-flux"],
        ),
        (
            "[providers.eliza]\nmodel = \"m\"\nkind = \"elevenlabs\"",
            &["providers.eliza.voice = nothing", "the name of a voice", "elevenlabs"],
        ),
        ("providers = 5", &["providers", "a table"]),
        ("[agents]\ndoctor = 5", &["agents.doctor", "a table"]),
    ] {
        let error = from_toml(toml).expect_err(toml).to_string();
        for part in parts {
            assert!(error.contains(part), "{toml:?} gave {error:?}, without {part:?}");
        }
    }
}

#[test]
fn webhooks_are_told_what_they_name_or_all_of_it() {
    const CRM: &str =
        "[webhooks.crm]\nurl = \"https://x.test\"\nsecret = \"00000000000000000000000000000000\"\n";
    let all = from_toml(CRM).expect("it needs no more");
    assert_eq!(all.webhooks["crm"].events, HookEvent::ALL);
    assert_eq!(all.webhook, None, "alerts go elsewhere");
    let some = format!("{CRM}events = [\"call.ended\"]\n{}", CRM.replace("crm", "ops"));
    let some = from_toml(&some).expect("two of them").webhooks;
    assert_eq!(some.keys().collect::<Vec<_>>(), ["crm", "ops"]);
    assert_eq!(some["crm"].events, [HookEvent::CallEnded]);
    for (toml, said) in [
        ("[webhooks.crm]".to_owned(), "webhooks.crm.url = nothing"),
        (CRM.replace("secret", "# "), "webhooks.crm.secret = nothing"),
        (CRM.replace("url", "# "), "there is nothing to sign"),
        (CRM.replace("https", "http"), "https://"),
        (CRM.replace("crm", "\"c.r.m\""), "letters, digits, hyphens and underscores"),
        (format!("{CRM}events = [\"call.lost\"]"), "recording.ready"),
    ] {
        let error = from_toml(&toml).expect_err(&toml).to_string();
        assert!(error.contains(said), "{toml}: {error}");
    }
}

#[test]
fn a_tool_is_run_by_the_page_or_by_a_webhook_that_is_signed() {
    const TOOL: &str = "[tools.look]\ndescription = \"d\"\n";
    const SECRET: &str = "secret = \"00000000000000000000000000000000\"\n";
    let page = from_toml(TOOL).expect("it needs no more");
    assert_eq!(page.tools["look"].webhook, None);
    let hook = format!("{TOOL}{SECRET}url = \"https://shop.example.com/look\"");
    assert!(from_toml(&hook).expect("signed").tools["look"].webhook.is_some());
    for (toml, said) in [
        ("[tools.look]".to_owned(), "tools.look.description = nothing"),
        (format!("{TOOL}{SECRET}"), "there is nothing to sign"),
        (format!("{TOOL}url = \"https://shop.example.com/look\""), "tools.look.secret = nothing"),
        (format!("{TOOL}{SECRET}url = \"http://shop.example.com/look\""), "https://"),
        (format!("{TOOL}parameters = '{{\"type\":\"string\"}}'"), "it describes no object"),
        (TOOL.replace("look", "\"look.at\""), "letters, digits, hyphens and underscores"),
        (format!("{TOOL}[agents.a]\nkind = \"echo\"\ntools = [\"fly\"]"), "\"look\""),
    ] {
        let error = from_toml(&toml).expect_err(&toml).to_string();
        assert!(error.contains(said), "{toml}: {error}");
    }
}

mod errors;
mod named;

use super::*;
use crate::NanoUsd;

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

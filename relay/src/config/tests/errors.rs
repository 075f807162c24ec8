//! What is said of a value that is wrong: its key, what was given and what is accepted.

use super::*;

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

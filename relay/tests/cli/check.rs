//! `voxrelay check`, and `voxrelay prices`.

use super::*;

/// A model's answer of one word, and what it used.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n\
    data: {\"choices\":[{\"delta\":{\"content\":\"Yes\"},\"finish_reason\":\"stop\"}]}\n\n\
    data: {\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n";

/// A relay with these providers, each a name, a kind, a model and an address, and a price of a dollar for 1,000 of each.
fn folder(providers: &[(&str, &str, &str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let mut toml = format!("[auth]\nhs256_secret = \"{SECRET}\"\n[prices]\nfile = \"prices.toml\"\n");
    let mut prices = "version = \"mine\"\n".to_owned();
    for (name, kind, model, url) in providers {
        toml.push_str(&format!(
            "[providers.{name}]\nkind = \"{kind}\"\nmodel = \"{model}\"\nurl = \"{url}\"\n"
        ));
        for unit in ["input_token", "output_token", "second", "character"] {
            prices.push_str(&format!(
                "[[item]]\nname = \"{name}/{model}\"\nunit = \"{unit}\"\nusd = \"1\"\nper = 1000\n"
            ));
        }
    }
    std::fs::write(folder.path().join("voxrelay.toml"), toml).expect("written");
    std::fs::write(folder.path().join("prices.toml"), prices).expect("written");
    folder
}

fn check(folder: &Path, more: &[&str]) -> (Option<i32>, String, String) {
    let mut command = voxrelay(folder);
    command.args(["check", "--config", "voxrelay.toml"]).args(more);
    let (output, errors) = run(&mut command);
    (output.status.code(), String::from_utf8(output.stdout).expect("UTF-8"), errors)
}

fn http(answer: &'static [u8]) -> String {
    answering(answer).replace("ws://", "http://").replace("/v1/call", "/v1")
}

#[test]
fn each_provider_is_asked_once_it_was_said_what_that_costs() {
    let url = http(ANSWER);
    let folder = folder(&[("mine", "openai-chat", "small", &url)]);
    let (code, said, errors) = check(folder.path(), &["--providers"]);
    assert_eq!(code, Some(0), "{errors}");
    assert!(
        errors.starts_with("Each provider is asked the smallest question there is, for at most $0."),
        "{errors}"
    );
    assert!(
        errors.contains(&format!("mine (openai-chat, small) at {url}/: one word, at most $0.")),
        "{errors}"
    );
    let line =
        said.lines().find(|line| line.starts_with("# providers.mine: answered in ")).unwrap_or_default();
    assert!(line.ends_with(" s, for $0.014"), "{said}");
    let (code, said, errors) = check(folder.path(), &[]);
    assert_eq!((code, errors.as_str()), (Some(0), ""), "nobody is asked who was not to be");
    assert!(said.contains("# All is well.") && !said.contains("answered in"), "{said}");
}

#[test]
fn what_is_wrong_with_a_provider_is_said_in_words_with_what_to_do() {
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let refuses = |answer| http(answer);
    let rows = [
        (
            "a",
            "openai-chat",
            refuses(b"HTTP/1.1 401 No\r\ncontent-length: 31\r\n\r\n{\"error\":{\"message\":\"who are u\"}}"),
            "it wants a key: give providers.a.key, best as the variable VOXRELAY_PROVIDERS__A__KEY (key: HTTP 401",
        ),
        (
            "b",
            "anthropic",
            refuses(b"HTTP/1.1 404 No\r\ncontent-length: 2\r\n\r\n{}"),
            "it does not know what it is asked: check model = \"small\", kind = \"anthropic\" and url = ",
        ),
        (
            "c",
            "openai-speech",
            refuses(b"HTTP/1.1 402 No\r\ncontent-length: 2\r\n\r\n{}"),
            "it wants to be paid",
        ),
        (
            "d",
            "openai-transcription",
            refuses(b"HTTP/1.1 429 No\r\ncontent-length: 2\r\n\r\n{}"),
            "it takes no more of this account",
        ),
        ("e", "deepgram", format!("http://{closed}"), "it cannot be reached: check url = "),
        ("f", "deepgram-aura", format!("http://{closed}"), "it cannot be reached: check url = "),
    ];
    let providers: Vec<_> =
        rows.iter().map(|(name, kind, url, _)| (*name, *kind, "small", url.as_str())).collect();
    let folder = folder(&providers);
    let (code, said, errors) = check(folder.path(), &["--providers"]);
    assert_eq!((code, said.as_str()), (Some(1), ""), "{errors}");
    for (name, _, _, says) in &rows {
        let line = errors.lines().find(|line| line.contains(&format!("providers.{name}: ")));
        let line = line.unwrap_or_else(|| panic!("{name} is not in {errors}"));
        assert!(line.contains(says), "{line}");
    }
}

#[test]
fn a_provider_without_a_price_is_told_the_line_that_the_table_lacks() {
    let folder = folder(&[]);
    let toml = format!(
        "[auth]\nhs256_secret = \"{SECRET}\"\n[providers.openai]\nmodel = \"gpt-5-mini\"\n[providers.ears]\n\
         kind = \"openai-transcription\"\nmodel = \"gpt-4o-transcribe\"\nprice = \"openai/gpt-4o-transcribe\"\n\
         [providers.deepgram]\nkind = \"deepgram-flux\"\nmodel = \"flux-general-en\"\n"
    );
    std::fs::write(folder.path().join("voxrelay.toml"), toml).expect("written");
    let (code, _, errors) = check(folder.path(), &[]);
    assert_eq!(code, Some(2), "{errors}");
    assert!(!errors.contains("flux"), "its price is shipped: {errors}");
    for line in [
        r#"write into the file that prices.file names `item = [{ name = "openai/gpt-5-mini", unit = "input_token", usd = "…", per = 1_000_000 }, { name = "openai/gpt-5-mini", unit = "output_token", usd = "…", per = 1_000_000 }]`"#,
        r#"`item = [{ name = "openai/gpt-4o-transcribe", unit = "second", usd = "…", per = 60 }]`"#,
    ] {
        assert!(errors.contains(line), "{line} is not in {errors}");
    }
    // With those lines it is good.
    let prices = "version = \"mine\"\nitem = [{ name = \"openai/gpt-5-mini\", unit = \"input_token\", usd = \"0.25\", per = 1_000_000 }, \
        { name = \"openai/gpt-5-mini\", unit = \"output_token\", usd = \"2\", per = 1_000_000 }, \
        { name = \"openai/gpt-4o-transcribe\", unit = \"second\", usd = \"0.006\", per = 60 }]\n";
    std::fs::write(folder.path().join("prices.toml"), prices).expect("written");
    let mut command = voxrelay(folder.path());
    command.args(["check", "--config", "voxrelay.toml"]).env("VOXRELAY_PRICES__FILE", "prices.toml");
    let (output, errors) = run(&mut command);
    assert!(output.status.success(), "{errors}");
}

#[test]
fn a_price_that_is_old_is_said_when_a_relay_starts_and_by_the_check_and_marked_among_the_prices() {
    let folder = folder(&[("mine", "openai-chat", "small", "http://127.0.0.1:9")]);
    let prices = std::fs::read_to_string(folder.path().join("prices.toml")).expect("there");
    let aged = prices.replace("per = 1000", "per = 1000\nseen = 2026-01-31");
    std::fs::write(folder.path().join("prices.toml"), aged).expect("written");
    let says = "the price of mine/small was last read in the provider's list on 2026-01-31, ";
    let (code, said, errors) = check(folder.path(), &[]);
    assert_eq!(code, Some(0), "{errors}");
    assert!(said.lines().any(|line| line.starts_with(&format!("# {says}"))), "{said}");

    let arguments = ["serve", "--config", "voxrelay.toml", "--listen", "127.0.0.1:0"];
    let mut relay = Running::start(voxrelay(folder.path()).args(arguments));
    let mut log = BufReader::new(relay.child.stderr.take().expect("piped")).lines().map_while(Result::ok);
    let told = log.find(|line| line.contains(says) || line.contains("voxrelay listens")).unwrap_or_default();
    assert!(told.contains(says), "it is in the log before the relay listens: {told}");
    drop(relay);

    let (output, errors) = run(voxrelay(folder.path()).args(["prices", "--config", "voxrelay.toml"]));
    let table = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "{errors}");
    let line =
        |start: &str| table.lines().find(|line| line.starts_with(start)).unwrap_or_default().to_owned();
    let old = line("mine/small");
    assert!(
        old.contains("$1.00 / 1000") && old.contains("2026-01-31") && old.ends_with(" days: old"),
        "{table}"
    );
    assert!(line("openai/tts-1 ").ends_with("not known: old"), "{table}");
    assert!(line("relay/audio").ends_with(" -"), "what costs nothing needs no age: {table}");
    assert!(line("price table ").contains("+mine"), "{table}");
    assert!(
        table.contains("of them are old: last read in the provider's list more than 90 days ago"),
        "{table}"
    );
}

#[test]
#[cfg(unix)]
fn a_certificate_that_is_good_at_another_time_is_told_as_a_clock_to_be_set() {
    // The model's client trusts who has signed it, as this machine would; the recogniser's only those that the world trusts.
    let rows = [
        ("past", "set the clock", "set the clock"),
        ("future", "set the clock", "set the clock"),
        ("first", "it does not know what it is asked", "it cannot be reached"),
    ];
    for (certificate, of_model, of_recogniser) in rows {
        let theirs = tempfile::tempdir().expect("a folder");
        listening::put(theirs.path(), certificate, certificate);
        let server = Running::start(&mut listening::serve(theirs.path()));
        let url = format!("https://{}", server.address);
        let folder = folder(&[("mine", "openai-chat", "small", &url), ("ears", "deepgram", "nova-3", &url)]);
        let mut command = voxrelay(folder.path());
        command.args(["check", "--config", "voxrelay.toml", "--providers"]);
        let (output, errors) = run(command.env("SSL_CERT_FILE", &listening::pair(certificate)[0]));
        assert_eq!(output.status.code(), Some(1), "{errors}");
        for (name, says) in [("mine", of_model), ("ears", of_recogniser)] {
            let line = errors.lines().find(|line| line.contains(&format!("providers.{name}: ")));
            let line = line.unwrap_or_else(|| panic!("{name} is not in {errors}"));
            assert!(line.contains(says), "{certificate}: {line}");
        }
    }
}

//! Tables whose entries have names: agents, providers, webhooks and tools.

use super::*;
use crate::money::price::PriceTable;
use crate::records::store::HookEvent;

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
    assert_eq!((eliza.price.as_deref(), eliza.model.as_str()), (None, "eliza"));
    assert_eq!(eliza.key.as_ref().map(Secret::expose), Some("short"));
    let by_variable = [("VOXRELAY_PROVIDERS__ELIZA__MODEL", "m"), ("VOXRELAY_PROVIDERS__ELIZA__KEY", "k")];
    let environment = by_variable.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let config = Config::load(None, environment).expect("good");
    assert_eq!(config.providers["eliza"].base_url.as_str(), "https://api.openai.com/v1/");
    assert_eq!(config.default_agent, ECHO);
}

#[test]
fn a_variable_is_of_the_table_of_the_file_whose_name_it_spells() {
    let load = |toml: &str, name: &str, value: &str| {
        let file = tempfile::Builder::new().suffix(".toml").tempfile().expect("a file");
        std::fs::write(file.path(), toml).expect("written");
        Config::load(Some(file.path()), [(name.to_owned(), value.to_owned())])
    };
    for (table, variable) in [
        ("gpt", "GPT"),
        ("GPT", "GPT"),
        ("my-gpt", "MY_GPT"),
        ("My-Gpt", "MY_GPT"),
        ("\"gpt-4.1\"", "GPT_4_1"),
        ("my_gpt", "MY_GPT"),
    ] {
        let toml = format!("[providers.{table}]\nmodel = \"m\"\nkey = \"of the file\"");
        let config = load(&toml, &format!("VOXRELAY_PROVIDERS__{variable}__KEY"), "k").expect(table);
        let keys: Vec<_> = config
            .providers
            .iter()
            .map(|(name, provider)| (name.as_str(), provider.key.as_ref().map(Secret::expose)))
            .collect();
        assert_eq!(keys, [(table.trim_matches('"'), Some("k"))]);
    }
    // One that is spelled exactly so goes before, and of two that are spelled alike it is none.
    let several = |names: [&str; 2]| {
        let tables = names.map(|name| format!("[providers.{name}]\nmodel = \"m\"\n"));
        load(&tables.concat(), "VOXRELAY_PROVIDERS__GPT__KEY", "k")
    };
    let config = several(["gpt", "GPT"]).expect("the first one");
    assert!(config.providers["gpt"].key.is_some() && config.providers["GPT"].key.is_none());
    let error = several(["Gpt", "GPT"]).expect_err("nobody knows").to_string();
    assert!(error.contains("providers.gpt.model = nothing"), "{error}");
    // A table of the file stays one of its own, even where variables give all of its values.
    let both = "[providers.gpt]\nmodel = \"a\"\n[providers.GPT]\nmodel = \"b\"\n";
    let config = load(both, "VOXRELAY_PROVIDERS__GPT__MODEL", "c").expect("two");
    let models = ["gpt", "GPT"].map(|name| config.providers[name].model.as_str());
    assert_eq!(models, ["c", "b"]);
    // What is wrong with it is said by the variable's name.
    let points = "[providers.\"gpt-4.1\"]\nmodel = \"m\"\n";
    let said = load(points, "VOXRELAY_PROVIDERS__GPT_4_1__TIMEOUT_SECONDS", "soon").expect_err("no number");
    assert!(said.to_string().contains("VOXRELAY_PROVIDERS__GPT_4_1__TIMEOUT_SECONDS"), "{said}");
    let tool = "[tools.book-Table]\ndescription = \"d\"\n";
    let error = load(tool, "VOXRELAY_TOOLS__BOOK_TABLE__TIMEOUT_SECONDS", "soon").expect_err("no number");
    let said = error.to_string();
    assert!(
        said.contains("tools.book-Table") && said.contains("VOXRELAY_TOOLS__BOOK_TABLE__TIMEOUT"),
        "{said}"
    );
    // An agent without any key has a name of its own.
    let config =
        load("[agents.Host]\n[agents.host]\nkind = \"echo\"", "VOXRELAY_AGENTS__HOST__GREETING", "Hi");
    assert!(config.expect_err("it has no model").to_string().contains("agents.Host.llm"));
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
fn a_vendors_prices_are_for_its_models_wherever_they_are_unless_a_line_is_named_or_written_for_them() {
    const ELSEWHERE: &str = "url = \"http://127.0.0.1:9\"";
    let nova = "kind = \"deepgram\"\nmodel = \"nova-3\"";
    let chat = "kind = \"openai-chat\"\nmodel = \"gpt-4o\"";
    let chat_there: &str = &format!("{chat}\n{ELSEWHERE}");
    let nova_there: &str = &format!("{nova}\n{ELSEWHERE}");
    let several: &str = &format!("{nova}\nlanguage = \"multi\"");
    let several_there: &str = &format!("{several}\n{ELSEWHERE}");
    let voice = "kind = \"elevenlabs\"\nmodel = \"eleven_flash_v2_5\"\nvoice = \"v\"";
    // The name of a provider, its table, the lines of an operator's own table, and the line that counts.
    for (name, table, own, item) in [
        ("p", nova, &[][..], "deepgram/nova-3"),
        ("p", several, &[], "deepgram/nova-3-multilingual"),
        ("p", "kind = \"deepgram-flux\"\nmodel = \"flux-general-en\"", &[], "deepgram/flux-general-en"),
        ("p", "kind = \"deepgram-aura\"\nmodel = \"aura-2-thalia-en\"", &[], "deepgram/aura-2"),
        ("p", "kind = \"deepgram-aura\"\nmodel = \"aura-asteria-en\"", &[], "deepgram/aura-1"),
        ("p", "kind = \"anthropic\"\nmodel = \"claude-haiku-5-5\"", &[], "anthropic/claude-haiku-5-5"),
        ("p", voice, &[], "elevenlabs/eleven_flash_v2_5"),
        ("p", "kind = \"openai-speech\"\nmodel = \"tts-1\"\nprice = \"a/b\"", &["p/tts-1"], "a/b"),
        // At the vendor's.
        ("p", chat, &[], "openai/gpt-4o"),
        ("p", chat, &["openai-chat/gpt-4o"], "openai-chat/gpt-4o"),
        ("p", chat, &["openai-chat/gpt-4o", "openai/gpt-4o"], "openai/gpt-4o"),
        ("p", chat, &["openai-chat/gpt-4o", "openai/gpt-4o", "p/gpt-4o"], "p/gpt-4o"),
        ("p", nova, &["p/nova-3"], "p/nova-3"),
        // Elsewhere.
        ("p", nova_there, &[], "deepgram/nova-3"),
        ("p", several_there, &[], "deepgram/nova-3-multilingual"),
        ("p", nova_there, &["p/nova-3"], "p/nova-3"),
        ("p", chat_there, &[], "p/gpt-4o"),
        ("p", chat_there, &["openai/gpt-4o"], "openai/gpt-4o"),
        ("p", chat_there, &["openai/gpt-4o", "openai-chat/gpt-4o"], "openai-chat/gpt-4o"),
        ("p", chat_there, &["openai-chat/gpt-4o", "p/gpt-4o"], "p/gpt-4o"),
        // By the name of a vendor.
        ("deepgram", several, &["deepgram/nova-3"], "deepgram/nova-3-multilingual"),
        ("deepgram", several_there, &["deepgram/nova-3"], "deepgram/nova-3-multilingual"),
        (
            "elevenlabs",
            "kind = \"openai-speech\"\nmodel = \"eleven_flash_v2_5\"\nurl = \"http://127.0.0.1:9\"",
            &[],
            "elevenlabs/eleven_flash_v2_5",
        ),
    ] {
        let config = from_toml(&format!("[providers.{name}]\n{table}")).expect(table);
        let mut toml = "version = \"mine\"\n".to_owned();
        for own in own {
            toml += &format!("[[item]]\nname = \"{own}\"\nunit = \"second\"\nusd = \"1\"\nper = 60\n");
        }
        let prices = PriceTable::shipped().with_overrides(&toml).expect("a table");
        assert_eq!(config.providers[name].item(&prices), item, "{name}: {table} with {own:?}");
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
            "[providers.eliza]\nkind = \"anthropic\"\nmodel = \"m\"\nthinks_first = true",
            &["providers.eliza.thinks_first = true", "openai-chat"],
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

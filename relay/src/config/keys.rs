//! Every key there is, with its default, what it accepts and what it means: the one table that reading, checking and the
//! reference are made from.

use crate::provider::KIND_NAMES;

/// A key of the configuration.
#[derive(Debug)]
pub(super) struct Key {
    /// With dots: `limits.session_minutes`.
    pub(super) name: &'static str,
    /// As a variable would hold it; empty if there is none.
    pub(super) default: &'static str,
    pub(super) accepts: Accepts,
    /// One line for the reference.
    pub(super) meaning: &'static str,
}

/// What a key accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accepts {
    /// `true` or `false`.
    Flag,
    /// A whole number of this range.
    Whole(u32, u32),
    /// One of these.
    OneOf(&'static [&'static str]),
    /// US dollars with up to 9 decimals.
    Dollars,
    /// A text.
    Text,
    /// A text that is never shown.
    Secret,
    /// One text that is never shown, or a list of a few of them.
    Secrets,
    /// A list of texts, or one text with commas.
    List,
}

macro_rules! keys {
    ($($name:literal = $default:literal, $accepts:expr, $meaning:literal;)*) => {
        /// All of them, in the order of the reference.
        pub(super) const KEYS: &[Key] = {
            use Accepts::*;
            &[$(Key { name: $name, default: $default, accepts: $accepts, meaning: $meaning }),*]
        };
    };
}

keys! {
    "listen" = "127.0.0.1:8080", Text, "address and port";
    "data_dir" = "voxrelay-data", Text, "folder of the SQLite database and of the development secret; made for its owner only";
    "database_url" = "", Secret, "`postgres://user:password@host/database`; also read from the variable `DATABASE_URL`; without it, SQLite in `data_dir`";
    "origins" = "same-origin", List, "pages that may call, and use the HTTP API: `same-origin`, `*`, or origins such as `https://app.example.com`, `https://*.example.com` (one label of the host), `capacitor://localhost` (an app or an extension)";
    "require_origin" = "false", Flag, "whether to refuse clients that send no Origin, that is, everything but browsers";
    "heartbeat_seconds" = "15", Whole(1, 120), "how often a client is to send a `ping`";
    "resume_window_seconds" = "120", Whole(0, 3_600), "how long a session without a connection is kept";
    "shutdown_grace_seconds" = "4", Whole(0, 600), "how long a stopping relay waits for its connections, after the times of `[drain]`";

    "auth.hs256_secret" = "", Secrets, "a secret shared with whoever signs tokens, at least 32 bytes; of several, each is good, and the relay signs with the first, see [rotating secrets](runbook.md#rotating-secrets)";
    "auth.public_keys" = "", List, "public keys, each a PEM text or the path of a PEM file: RSA of 2,048 to 4,096 bits (RS256) or P-256 (ES256)";
    "auth.jwks_url" = "", Text, "where the issuer publishes its keys; https only, but for localhost";
    "auth.supabase_url" = "", Text, "a Supabase project, `https://<ref>.supabase.co`: its keys, its issuer and its audience `authenticated`; together with `auth.hs256_secret` for a project that still signs with its JWT secret";
    "auth.oidc_issuer" = "", Text, "an OpenID provider by its issuer: keys are found by `<issuer>/.well-known/openid-configuration`; needs `auth.audience`";
    "auth.issuer" = "", List, "what `iss` must be, one of them; `voxrelay` if only `auth.hs256_secret` is given, else needed, unless `auth.supabase_url` or `auth.oidc_issuer` says it";
    "auth.audience" = "", List, "what the audience's claim must contain, one of them; `voxrelay` if only `auth.hs256_secret` is given, else needed, unless `auth.supabase_url` says it";
    "auth.audience_claim" = "aud", Text, "the claim that says whom the token is for: `client_id` for access tokens of Cognito, `azp` for Clerk's, see [identity providers](identity-providers.md)";
    "auth.account_claim" = "app_metadata.account", Text, "the claim with the account (tenant) that shares limits and budgets; `default` if the token has none";
    "auth.plan_claim" = "app_metadata.plan", Text, "the claim with the name of a plan";
    "auth.role_claim" = "app_metadata.role", Text, "the claim with the role, a text or a list";
    "auth.admin_role" = "voxrelay_admin", Text, "the role that may use `/v1/admin`";
    "auth.reader_role" = "voxrelay_reader", Text, "the role that may read what any user said: `/v1/admin/sessions/{id}/transcript` and `…/recording`. Administrators need it beside theirs; each reading is in the audit";
    "auth.agents_claim" = "app_metadata.agents", Text, "the claim with the names of the agents that its user may speak with, a text or a list, `*` for all of them; without it, that is `agents.default` alone";
    "auth.variables_claim" = "app_metadata.variables", Text, "the claim with an object of values for the variables of agents (`agents.*.variables`)";
    "auth.limits_claim" = "app_metadata.limits", Text, "the claim with an object of limits, named as in `[limits]`: they tighten what applies and never loosen it";
    "auth.leeway_seconds" = "5", Whole(0, 300), "tolerated difference of clocks";
    "auth.token_grace_seconds" = "60", Whole(0, 600), "how long a call goes on after its token expired; a fresh one is asked for 60 s before that";

    "limits.session_minutes" = "30", Whole(1, 1_440), "longest session";
    "limits.idle_minutes" = "10", Whole(1, 1_440), "longest time without audio";
    "limits.chunk_min_bytes" = "100", Whole(2, 1_000_000), "smallest audio chunk";
    "limits.chunk_max_bytes" = "100000", Whole(2, 131_070), "largest audio chunk";
    "limits.burst_seconds" = "65", Whole(1, 600), "audio that may come faster than real time; a client's replay buffer holds at most 60 s";
    "limits.control_messages_per_second" = "20", Whole(1, 1_000), "messages of a session other than audio and `ack`";
    "limits.sessions_per_user" = "3", Whole(1, 10_000), "sessions of one user at the same time; one that lost its connection makes room";
    "limits.sessions_per_account" = "10", Whole(1, 1_000_000), "sessions of one account at the same time";
    "limits.sessions_per_minute" = "10", Whole(1, 10_000), "new sessions of one user in a minute, on all relays of a database";
    "limits.session_usd" = "5", Dollars, "what one session may cost";
    "limits.user_day_usd" = "20", Dollars, "what one user may cost in a day (UTC)";
    "limits.account_month_usd" = "500", Dollars, "what one account may cost in a calendar month (UTC)";

    "network.max_connections" = "10000", Whole(1, 1_000_000), "WebSocket connections at the same time";
    "network.pre_login_connections_per_address" = "20", Whole(1, 100_000), "connections of one address that have not shown a token yet";
    "network.sessions_per_minute_per_address" = "30", Whole(1, 100_000), "new sessions from one address in a minute, on all relays of a database";
    "network.connections_per_minute_per_address" = "3000", Whole(1, 1_000_000), "connections for calls from one address in a minute, resumed ones too; who opens more is refused with 429 before the upgrade";
    "network.http_connections" = "1024", Whole(4, 100_000), "connections without a call at the same time: questions to the HTTP API, files, and those that have not asked for anything yet; with all places taken, the one that has moved nothing for longest goes. Three quarters of them may get files and other long answers";
    "network.http_connections_per_address" = "128", Whole(1, 100_000), "those of one address; those of a trusted proxy are not counted";
    "network.keep_alive_seconds" = "75", Whole(1, 3_600), "how long such a connection may stay idle between two requests: longer than the load balancer in front keeps it, mostly 60 s";
    "network.trusted_proxies" = "", List, "addresses or networks (`10.0.0.0/8`) whose `X-Forwarded-For` is believed";
    "network.tls_certificate" = "", Text, "the path of a PEM file with the certificate that the relay shows, and those that it was signed with; with `network.tls_key`, `listen` speaks TLS";
    "network.tls_key" = "", Text, "the path of a PEM file with the private key of that certificate";
    "network.plain_http" = "false", Flag, "whether `listen` may be without TLS at an address that others reach: give `true` where a proxy in front speaks TLS and nobody else reaches the relay";
    "network.advertise" = "", Text, "where other relays that share the database reach this one, such as `http://10.0.0.7:8080`: an administrator may then listen in at any of them to a call that is here; `http://` only for localhost, and with `network.plain_http`";

    "drain.serve_seconds" = "5", Whole(0, 600), "how long a relay that is told to stop still takes new calls while `/readyz` says no, so that load balancers notice; 0 unless it is given for a relay without `database_url`, and for `voxrelay dev`";
    "drain.move_seconds" = "10", Whole(0, 600), "over how long it then sends its calls elsewhere, each between two turns if there is a pause; 0 in the same cases";

    "store.grace_seconds" = "60", Whole(0, 600), "how long running calls go on while the database is away";
    "retention.transcript_days" = "0", Whole(0, 36_500), "transcripts, and comments of users on their calls, are deleted after so many days; 0 keeps them";
    "retention.recording_days" = "0", Whole(0, 36_500), "recordings are deleted after so many days; 0 keeps them";

    "webhook.url" = "", Text, "where alerts are sent; https only, but for localhost";
    "webhook.secret" = "", Secrets, "what they are signed with, at least 32 bytes; `whsec_` and a key in base64, or any text. With several, each message has a signature of each";
    "webhooks.*.url" = "", Text, "where it is told that something has happened; https only, but for localhost";
    "webhooks.*.secret" = "", Secrets, "what that is signed with, as `webhook.secret`";
    "webhooks.*.events" = "", List, "what is told: `call.started`, `call.ended`, `recording.ready`, `user.erased`; all of it if nothing is given, see [webhooks](webhooks.md#what-happens)";

    "alerts.failed_calls_percent" = "5", Whole(0, 100), "an alert is sent when of the calls that began in this hour (UTC) or the one before and have ended, and of longer ones that have ended at the relay within an hour, more than so many of a hundred were ended by a fault of a relay or of what it needs (`internal`, `try_later`); 0 sends none, see [webhooks](webhooks.md#when-something-is-wrong)";
    "alerts.answer_p95_ms" = "3000", Whole(0, 9_999), "an alert is sent when of the answers in ended calls of these hours five in a hundred took longer than this, from the end of the user's last word until the first sound was sent; 0 sends none";
    "alerts.least_calls" = "20", Whole(1, 1_000_000), "fewer calls, or fewer answers, than so many say nothing";
    "alerts.store_down_seconds" = "30", Whole(0, 3_600), "a relay sends an alert when its database has taken no writes for so long; 0 sends none";

    "recording.dir" = "", Text, "folder of the recordings; off by default, and announced to the page";
    "recording.url" = "", Text, "the same in a bucket or a folder: `s3://bucket/prefix`, with the usual variables `AWS_*` (`AWS_ALLOW_HTTP=true` for an endpoint without TLS), or `file:///folder`";
    "recording.shared" = "false", Flag, "whether all relays of `database_url` have the same folder of recordings: give `true` where it is a file system that they share, or where there is one relay alone. Without it such a folder is refused, since any relay plays and deletes what another one recorded; a bucket needs no word of it. See [recordings](recordings.md#several-relays)";
    "recording.min_free_mb" = "1024", Whole(0, 100_000_000), "nothing is recorded while the disk of `data_dir` has less room than this: calls and their bills need it more";

    "listening.tell_page" = "true", Flag, "whether the page of a call is told while an administrator [listens in](service.md#listening-in)";

    "metrics.listen" = "", Text, "address and port of `GET /metrics` for Prometheus, such as `127.0.0.1:9464`; for the operator's eyes only";

    "traces.endpoint" = "", Text, "where a trace of each turn is posted in the OpenTelemetry protocol (OTLP over HTTP, protobuf), the whole address, such as `http://127.0.0.1:6006/v1/traces`; https only, but for localhost. See [observability](observability.md)";
    "traces.headers" = "", Secret, "what is sent with it, such as `authorization=Basic …`: names and values with `=` between them, and commas between several";
    "traces.content" = "false", Flag, "whether words of users and agents, and what tools are given and give, are in traces";
    "traces.sample_percent" = "100", Whole(1, 100), "of how many sessions in a hundred the turns are traced";

    "sentry.dsn" = "", Secret, "a project of Sentry, `https://KEY@HOST/PROJECT`: panics, alerts of budgets, and providers that are not asked any more are told there as well. See [observability](observability.md#sentry)";
    "sentry.environment" = "production", Text, "what it calls the relays that are run for the same";

    "prices.file" = "", Text, "a price table in TOML that goes over the one in the binary";
    "api.requests_per_minute" = "120", Whole(1, 1_000_000), "requests of one user to the HTTP API in a minute";
    "api.preflights_per_minute" = "10", Whole(1, 100_000), "preflights of one user in a minute; all users of an address may make ten times as many";
    "agents.default" = "echo", Text, "the agent of a call that names none; `echo` needs no key and is always there";
    "agents.*.kind" = "chat", OneOf(&["chat", "echo"]), "what it does: `chat` holds a conversation with the help of providers, `echo` says back what it hears";
    "agents.*.stt" = "", List, "the names of its recognisers (speech to text) among `[providers.NAME]`, in the order in which they are asked: each hears all of a call, or each one utterance at a time; without one the agent reads what is typed";
    "agents.*.llm" = "", List, "the names of its language models among `[providers.NAME]`, in the order in which they are asked; `chat` needs one";
    "agents.*.llm_near_cap" = "", List, "the names of cheaper language models that are asked before those when little money is left, see [near a cap](agents.md#near-a-cap)";
    "agents.*.tts" = "", List, "the names of its voices (text to speech) among `[providers.NAME]`, in the order in which they are asked; without one the agent answers in text";
    "agents.*.greeting" = "", Text, "what it says when a conversation begins; nothing if nothing is given";
    "agents.*.instructions" = "", Text, "what the model is told before everything else";
    "agents.*.variables" = "", List, "names that stand in braces in greeting and instructions, each with a default if it has one: `name=there`, `plan`. Their values are in the token, see `auth.variables_claim`";
    "agents.*.page_variables" = "", List, "those of the variables that a page may set, for users whose token has no value for them";
    "agents.*.quiet_seconds" = "0", Whole(0, 3_600), "after so long without a word of anybody the agent asks whether somebody is there, and after as long again it says goodbye and ends the call; 0 waits for ever";
    "agents.*.quiet_question" = "Are you still there?", Text, "what it asks then";
    "agents.*.quiet_goodbye" = "I will hang up now. Goodbye.", Text, "what it says before it ends the call";
    "agents.*.longest_turn_seconds" = "120", Whole(0, 3_600), "a user who talks for so long without an end is answered as if there had been one; 0 lets everybody talk on";
    "agents.*.limit_goodbye" = "I am sorry, but this call has to end here. Goodbye.", Text, "what it says when a call ends because its money or its time is used up; an empty text says nothing";
    "agents.*.max_output_tokens" = "500", Whole(1, 32_000), "the longest answer; so much is set aside for each";
    "agents.*.interruption_ms" = "500", Whole(100, 10_000), "while no recogniser hears, an answer waits for words when a voice over the agent goes on for so long, and goes on if none come; see [how a turn goes](agents.md#interruption)";
    "agents.*.resume_ms" = "1000", Whole(200, 4_000), "an answer that was held because of a sound goes on after so much silence, if no words are to come";
    "agents.*.interruptible_greeting" = "true", Flag, "whether the user may interrupt the greeting";
    "agents.*.uninterruptible_seconds" = "0", Whole(0, 60), "how long from its beginning a conversation may not be interrupted: echo cancellers take 2 to 5 s to settle";
    "agents.*.memory_tokens" = "8000", Whole(500, 200_000), "how much of the conversation the model is told, in tokens of four bytes: when it is more, the older half is left out";
    "agents.*.tools" = "", List, "the names of the tools that its model may call, among `[tools.NAME]`";
    "agents.*.max_tool_steps" = "5", Whole(1, 20), "how often in one turn the model may call tools until it has to answer in words";
    "agents.*.tool_filler" = "One moment, please.", Text, "what it says when nothing was heard for a second while a tool runs, and whenever nothing was heard for 5 s since; only with a voice";
    "tools.*.description" = "", Text, "what the tool does and when to call it, for the model";
    "tools.*.parameters" = "", Text, "the JSON Schema of its arguments, as JSON text: of an object; any object if nothing is given";
    "tools.*.url" = "", Text, "the address of the webhook that runs it, https only, but for localhost; without one the page runs it";
    "tools.*.secret" = "", Secrets, "what calls of the webhook are signed with, at least 32 bytes; `whsec_` and a key in base64, or any text. With several, each call has a signature of each";
    "tools.*.timeout_seconds" = "20", Whole(1, 300), "how long the model waits for what comes of a call";
    "tools.*.max_result_bytes" = "4096", Whole(64, 16_000), "the longest output of a call; a longer one is an error";
    "providers.*.kind" = "openai-chat", OneOf(&KIND_NAMES), "what it speaks. A language model: `openai-chat` is OpenAI's chat completions, and whatever is compatible with it; `anthropic` is Anthropic's messages. Recognisers: `deepgram`, `deepgram-flux`, and `openai-transcription` with whatever is compatible with it. Voices: `deepgram-aura`, `elevenlabs`, and `openai-speech` with whatever is compatible with it. See [providers](providers.md)";
    "providers.*.url" = "", Text, "where it is, such as `http://127.0.0.1:11434/v1`; the address that its kind has in [providers](providers.md) if nothing is given";
    "providers.*.key" = "", Secret, "its key, which never leaves the relay; best given as a variable";
    "providers.*.model" = "", Text, "which of its models";
    "providers.*.voice" = "", Text, "which of its voices, as the provider names it; only what speaks has one, and `elevenlabs` needs it";
    "providers.*.language" = "", Text, "the language that is spoken, such as `en` or `de-CH`, or `multi` for a recogniser that knows several; the provider's own default if nothing is given";
    "providers.*.key_terms" = "", List, "names and words that a recogniser is to expect";
    "providers.*.eager" = "false", Flag, "whether answers are prepared when a turn may be over, before it is; only `deepgram-flux` says so. It is quicker, and what is prepared for nothing is paid for, see [eager turns](agents.md#eager-turns)";
    "providers.*.thinks_first" = "false", Flag, "whether the text of each answer begins with what the model thinks, of which only the end is marked, with `</think>`; only `openai-chat`. What comes before that is neither shown nor spoken, and an answer without it is none, see [thoughts](providers.md#thoughts)";
    "providers.*.price" = "", Text, "the item of the price table that it is billed by; if nothing is given, the first that there is of `NAME/MODEL` in your own table, `KIND/MODEL`, and the vendor's own for the model, whatever the address ([more](providers.md#prices))";
    "providers.*.connect_timeout_seconds" = "5", Whole(1, 60), "how long the connection to it may take, TLS and the opening of a WebSocket included";
    "providers.*.timeout_seconds" = "10", Whole(1, 120), "how long its first word may take, from the beginning of the request";
    "providers.*.silence_timeout_seconds" = "15", Whole(1, 120), "how long it may be silent in the middle of an answer, or a recogniser that hears somebody speak";
    "providers.*.whole_timeout_seconds" = "120", Whole(1, 600), "how long an answer may take in all";
    "providers.*.max_concurrent" = "0", Whole(0, 100_000), "how many requests and open sockets it may have at a time, over all calls of this relay; above that the next provider in line is asked. 0 sets no limit";
    "reconcile.*.provider" = "", Text, "whose rows of the ledger the export is compared with, by the word before the `/` of its items; NAME if nothing is given";
    "reconcile.*.date" = "", Text, "the column with the day (UTC), such as `2026-12-31`, or with a time that begins with it";
    "reconcile.*.model" = "", Text, "the column with the model; without one, all that a provider is paid for is one item";
    "reconcile.*.models" = "", List, "what models are called in the export, each as `THEIRS=ITEM` with an item of the price table; `provider/THEIRS` for others";
    "reconcile.*.quantity" = "", List, "the columns that count, each as `COLUMN=UNIT` with a unit of the price table, or `COLUMN=UNIT*FACTOR`, such as `hours=second*3600`; `COLUMN` alone where `unit` says what it counts";
    "reconcile.*.unit" = "", Text, "the column that says what is counted";
    "reconcile.*.units" = "", List, "what its words stand for, each as `THEIRS=UNIT` or `THEIRS=UNIT*FACTOR`";
    "reconcile.*.request_id" = "", Text, "the column with the provider's own id of the request: with it, requests are compared instead of days";
    "reconcile.*.cost" = "", Text, "the column with the cost in US dollars; without one, only quantities are compared";
    "echo.rate" = "24000", OneOf(&["16000", "24000"]), "samples a second of what any agent says";
    "log.format" = "text", OneOf(&["text", "json"]), "for people, or one JSON object a line";
    "log.level" = "info", Text, "`off`, `error`, `warn`, `info`, `debug`, `trace`, or such as `info,relay=debug`";
}

/// What a name is called that people try.
pub(super) const MOVED: &[(&str, &str)] =
    &[("limits.budget_usd", "limits.session_usd"), ("limits.max_connections", "network.max_connections")];

/// The section whose keys a plan may have.
pub(super) const LIMITS: &str = "limits";
/// The sections that have a table for each name, and the section whose keys such a table has.
pub(super) const NAMED: &[(&str, &str)] = &[
    (PLANS, LIMITS),
    ("agents", "agents.*"),
    ("tools", "tools.*"),
    ("webhooks", "webhooks.*"),
    ("providers", "providers.*"),
    ("reconcile", "reconcile.*"),
];
/// The section of the plans.
pub(super) const PLANS: &str = "plans";
/// What stands for a name in the key of such a table.
pub(super) const ANY: char = '*';

/// The key of this name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The keys of a section, without its name; those of no section for the empty one.
pub(super) fn of_section(section: &str) -> impl Iterator<Item = &'static str> {
    KEYS.iter().filter_map(move |key| match key.name.rsplit_once('.') {
        Some((of, name)) if of == section => Some(name),
        None if section.is_empty() => Some(key.name),
        _ => None,
    })
}

/// The sections, in their order.
pub(super) fn sections() -> Vec<&'static str> {
    let mut sections: Vec<&str> =
        KEYS.iter().filter_map(|key| key.name.rsplit_once('.')).map(|(of, _)| of).collect();
    sections.dedup();
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_there_once_and_what_moved_is_found() {
        for (at, key) in KEYS.iter().enumerate() {
            assert!(KEYS[..at].iter().all(|other| other.name != key.name), "{}", key.name);
        }
        for (from, to) in MOVED {
            assert!(find(from).is_none() && find(to).is_some(), "{from}");
        }
    }

    #[test]
    fn a_section_stands_together() {
        let sections = sections();
        for (at, section) in sections.iter().enumerate() {
            assert!(!sections[..at].contains(section), "{section}");
        }
    }
}

//! `voxrelay keys`: makes, lists and revokes API keys, at a relay that runs.

use std::process::ExitCode;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use reqwest::{Method, StatusCode, Url};
use serde_json::{Value, json};

use super::asking::{ask, refused, relay_url};
use super::reading::{plain, table};
use super::token::duration;
use super::{answered, failed, tell};

/// The address of keys.
const PATH: &str = "/v1/admin/keys";

/// Options of `voxrelay keys`.
#[derive(Debug, Args)]
pub(super) struct KeysArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a key, and print it and nothing else, this once.
    Create(CreateArgs),
    /// List keys, also those that are revoked or expired, without what they are.
    List(ListArgs),
    /// Revoke a key: no relay takes it from then on.
    Revoke(RevokeArgs),
}

/// Which relay, and who asks.
#[derive(Debug, Args)]
struct Administrator {
    /// The relay, such as http://127.0.0.1:8080
    #[arg(value_parser = relay_url)]
    url: Url,
    /// The access token of an administrator, such as `voxrelay token --role voxrelay_admin` prints.
    #[arg(long, env = "VOXRELAY_TOKEN", hide_env_values = true)]
    token: String,
}

#[derive(Debug, Args)]
struct CreateArgs {
    #[command(flatten)]
    administrator: Administrator,
    /// What people know the key by, such as `billing`. No key has had it before.
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// What it may do; once for each. No more than whoever makes it.
    #[arg(long, value_name = "ROLE", required = true)]
    role: Vec<Role>,
    /// After how long it expires: a number and s, m, h or d. Never by default.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    expires: Option<Duration>,
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    administrator: Administrator,
}

#[derive(Debug, Args)]
struct RevokeArgs {
    #[command(flatten)]
    administrator: Administrator,
    /// The key's id, as `create` and `list` say it.
    #[arg(value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    id: String,
}

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Role {
    /// What administrators may, but for making and revoking keys.
    Admin,
    /// Reading what others said.
    Reader,
}

pub(super) async fn run(args: KeysArgs) -> ExitCode {
    match args.what {
        What::Create(args) => create(&args).await,
        What::List(args) => list(&args.administrator).await,
        What::Revoke(args) => revoke(&args).await,
    }
}

async fn create(args: &CreateArgs) -> ExitCode {
    let Administrator { url, token } = &args.administrator;
    let word = |role: &Role| if *role == Role::Admin { "admin" } else { "reader" };
    let roles: Vec<&str> = args.role.iter().map(word).collect();
    let expires_at = args.expires.map(|after| (Timestamp::now() + after).to_string());
    let body = json!({ "name": args.name, "roles": roles, "expires_at": expires_at });
    let (status, answer) = match ask(url, token, Method::POST, PATH, Some(&body)).await {
        Ok(answer) => answer,
        Err(error) => {
            let why = format!(
                "no answer of {url}: {error}; whether the key is made is not known: `voxrelay keys list` says, and then revoke it"
            );
            return failed(1, &why);
        }
    };
    match (status, answer["key"].as_str(), answer["id"].as_str()) {
        (StatusCode::CREATED, Some(key), Some(id)) => {
            tell(&format!("the key {} has the id {id}; nothing shows it again", plain(&args.name)));
            answered(&key)
        }
        _ => failed(1, &refused(url, status, &answer)),
    }
}

async fn list(administrator: &Administrator) -> ExitCode {
    let Administrator { url, token } = administrator;
    let head = ["id", "name", "roles", "made", "by", "expires", "last used", "revoked"];
    let mut rows = vec![head.map(str::to_owned)];
    let mut path = format!("{PATH}?limit=100");
    loop {
        let (status, answer) = match ask(url, token, Method::GET, &path, None).await {
            Ok(answer) => answer,
            Err(error) => return failed(1, &format!("no answer of {url}: {error}")),
        };
        let (StatusCode::OK, Some(keys)) = (status, answer["keys"].as_array()) else {
            return failed(1, &refused(url, status, &answer));
        };
        rows.extend(keys.iter().map(row));
        match answer["next"].as_str() {
            // A cursor is made of letters, digits, `-` and `_`.
            Some(next) => path = format!("{PATH}?limit=100&cursor={next}"),
            None => break,
        }
    }
    answered(&table(&rows, head.len()).join("\n"))
}

async fn revoke(args: &RevokeArgs) -> ExitCode {
    let Administrator { url, token } = &args.administrator;
    let is_id = args.id.chars().all(|char| char.is_ascii_alphanumeric() || char == '-');
    if !is_id {
        return failed(2, &"the id of a key has letters, digits and `-` only: `voxrelay keys list` says it");
    }
    let path = format!("{PATH}/{}", args.id);
    match ask(url, token, Method::DELETE, &path, None).await {
        Ok((StatusCode::NO_CONTENT, _)) => answered(&format!("{} is revoked", args.id)),
        Ok((status, answer)) => failed(1, &refused(url, status, &answer)),
        Err(error) => failed(1, &format!("no answer of {url}: {error}; try again")),
    }
}

/// A key as a row of the table.
fn row(key: &Value) -> [String; 8] {
    let text = |field: &str| key[field].as_str().map_or_else(|| "-".to_owned(), plain);
    let roles = key["roles"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let roles = plain(&roles.collect::<Vec<_>>().join(","));
    let times = ["expires_at", "last_used_at", "revoked_at"].map(text);
    let [expires, used, revoked] = times;
    [text("id"), text("name"), roles, text("created_at"), text("created_by"), expires, used, revoked]
}

//! What the commands share that ask a relay which runs, as an administrator.

use std::time::Duration;

use reqwest::{Method, StatusCode, Url};
use serde_json::Value;

use crate::operations::outbound;

/// How long the relay may take to answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The address of a relay, as a browser opens it; of what is none, what to write instead.
pub(super) fn relay_url(given: &str) -> Result<Url, String> {
    let url: Url = given.parse().map_err(|_| "write an address such as http://127.0.0.1:8080".to_owned())?;
    match url.scheme() {
        "http" | "https" if url.has_host() => {}
        _ => return Err("begin with http:// or https://, such as http://127.0.0.1:8080".to_owned()),
    }
    match outbound::is_safe_url(&url) {
        true => Ok(url),
        false => Err("an administrator's token is sent over https:// only, or within the machine".to_owned()),
    }
}

/// What the relay answers at this path.
pub(super) async fn ask(
    relay: &Url,
    token: &str,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<(StatusCode, Value), String> {
    let url = relay.join(path).map_err(|error| error.to_string())?;
    let client = outbound::http_client().timeout(TIMEOUT).build().map_err(|error| error.to_string())?;
    let mut request = client.request(method, url).bearer_auth(token);
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    let answer = request.send().await.map_err(|error| super::config::sources(&error.without_url()))?;
    let status = answer.status();
    let text = answer.text().await.map_err(|error| super::config::sources(&error.without_url()))?;
    // What is no JSON is not of a relay.
    Ok((status, serde_json::from_str(&text).unwrap_or_default()))
}

/// What the relay has refused, in words.
pub(super) fn refused(relay: &Url, status: StatusCode, answer: &Value) -> String {
    let detail = answer["detail"].as_str().unwrap_or("it is no relay");
    let code = answer["code"].as_str().unwrap_or("no_relay");
    format!("{relay} answered {}: {code}: {}", status.as_u16(), detail.escape_debug())
}

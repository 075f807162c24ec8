//! What only `voxrelay dev` serves: tokens for its own demo page.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::{Problem, Source};
use crate::App;
use crate::admission::auth;

/// The user as whom the demo page calls.
const SUB: &str = "demo";
/// How long a token for the demo page is good.
const TTL: Duration = Duration::from_secs(3_600);

/// A fresh token for a page on this machine, as plain text.
pub(super) async fn token(
    State(app): State<Arc<App>>,
    Extension(source): Extension<Source>,
    headers: HeaderMap,
) -> Response {
    if !source.peer.ip().to_canonical().is_loopback() || !is_for_this_machine(&headers) {
        let detail = "Tokens are given to pages on this machine only. Get one with: voxrelay token --sub me";
        return Problem::new(StatusCode::FORBIDDEN, detail).into_response();
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    match auth::mint(&app.config.auth, SUB, now, TTL) {
        Ok(token) => {
            let headers = [
                (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
                (header::CACHE_CONTROL, "no-store"),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            ];
            (headers, token).into_response()
        }
        Err(error) => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Whether a request comes from a page of this machine. It does not if a browser says that the page is foreign, if the host's name is not
/// this machine's (DNS rebinding makes other names point here), or if it came through a proxy, whose visitors may be anybody.
fn is_for_this_machine(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let proxied = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via"];
    text("host").is_some_and(is_loopback_host)
        && text("sec-fetch-site").is_none_or(|site| matches!(site, "same-origin" | "none"))
        && !proxied.iter().any(|name| headers.contains_key(*name))
}

fn is_loopback_host(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_names_of_this_machine_are_loopback() {
        for host in [
            "localhost",
            "localhost:8080",
            "LOCALHOST:1",
            "127.0.0.1:8080",
            "127.9.9.9",
            "[::1]:8080",
            "[::1]",
        ] {
            assert!(is_loopback_host(host), "{host}");
        }
        for host in [
            "",
            "example.com",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "[::2]",
            "::1",
        ] {
            assert!(!is_loopback_host(host), "{host}");
        }
    }
}

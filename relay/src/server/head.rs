//! The check of every request's head, before anything else is done with the request.

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{StatusCode, Version, header};
use protocol::HttpCode;

use super::Problem;

/// The longest head of a request, in bytes. It may have cookies of the relay's domain.
pub(super) const MAX_BYTES: usize = 32 * 1024;
/// How many bytes a header line has besides its name and its value: `: ` and CR LF.
const BETWEEN: usize = 4;

/// Refuses a head that is too long, or that does not name its host exactly once (RFC 9112, 3.2).
///
/// The HTTP library bounds only what it keeps of a head that is not whole yet, and would take a longer head that comes at once.
pub(super) fn check<B>(request: &Request<B>) -> Result<(), Problem> {
    let uri = request.uri();
    let line = request.method().as_str().len()
        + uri.path_and_query().map_or(0, |target| target.as_str().len())
        + uri.authority().map_or(0, |authority| authority.as_str().len());
    let fields = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + BETWEEN);
    if line + fields.sum::<usize>() > MAX_BYTES {
        let detail = format!("The head of a request may have {MAX_BYTES} bytes.");
        return Err(Problem::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, detail));
    }
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let is_good = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().is_ok_and(is_host),
        (None, _) => request.version() < Version::HTTP_11,
        (Some(_), Some(_)) => false,
    };
    if is_good {
        return Ok(());
    }
    let detail = "Say once which host the request is for: `Host`, with a port if it is not the usual one.";
    Err(Problem::new(StatusCode::BAD_REQUEST, detail).code(HttpCode::BadHost))
}

/// Whether a text is a name or an address with or without a port. It may be empty, for a target without a host.
fn is_host(host: &str) -> bool {
    let has_port = host.rsplit_once(':').is_some_and(|(_, after)| !after.contains(']'));
    host.is_empty()
        || (!host.contains('@')
            && host.parse::<Authority>().is_ok_and(|host| host.port_u16().is_some() == has_port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(version: Version, fields: &[(&str, &str)]) -> Option<u16> {
        let request = Request::builder().uri("/livez").version(version);
        let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        check(&request.body(()).expect("a request")).err().map(|problem| problem.status().as_u16())
    }

    #[test]
    fn a_request_of_http_1_1_says_once_which_host_it_is_for() {
        for host in ["relay", "relay:8080", "[::1]:8080", "192.0.2.7", ""] {
            assert_eq!(code(Version::HTTP_11, &[("host", host)]), None, "{host}");
        }
        for host in ["a b", "a/b", "user@relay", "relay:port", "[::1"] {
            assert_eq!(code(Version::HTTP_11, &[("host", host)]), Some(400), "{host}");
        }
        assert_eq!(code(Version::HTTP_11, &[]), Some(400));
        assert_eq!(code(Version::HTTP_10, &[]), None);
        for version in [Version::HTTP_10, Version::HTTP_11] {
            assert_eq!(code(version, &[("host", "a"), ("host", "b")]), Some(400));
            assert_eq!(code(version, &[("host", "a"), ("host", "a")]), Some(400));
        }
    }

    #[test]
    fn a_head_has_32_kib_in_all_its_fields_together() {
        let half = "a".repeat(MAX_BYTES / 2);
        let host = ("host", "relay");
        assert_eq!(code(Version::HTTP_11, &[host, ("x", &half)]), None);
        assert_eq!(code(Version::HTTP_11, &[host, ("x", &half), ("y", &half)]), Some(431));
    }
}

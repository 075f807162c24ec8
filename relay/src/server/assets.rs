//! Files in the binary: the SDK for all pages, the dashboard for administrators, and the demo page for `voxrelay dev`.

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use rust_embed::{EmbeddedFile, RustEmbed};
use sha2::{Digest as _, Sha256, Sha384};

use super::Problem;
use super::etag::is_known;

#[derive(RustEmbed)]
#[folder = "../npm/dist"]
#[allow_missing = true]
struct Sdk;

#[derive(RustEmbed)]
#[folder = "../dashboard"]
#[allow_missing = true]
struct Dashboard;

#[derive(RustEmbed)]
#[folder = "../examples/demo"]
#[allow_missing = true]
struct Demo;

/// The examples that are one page each, with their scripts in them.
#[derive(RustEmbed)]
#[folder = "../examples/pages"]
#[allow_missing = true]
struct Pages;

/// The content security policy of the demo page. The page loads from this relay only, may connect to any relay, and may compile wasm. Its
/// Worker and worklets are files beside the script.
const PAGE_POLICY: &str = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self' http: https: ws: wss:; \
     img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The content security policy of the dashboard. It loads from this relay only, asks this relay only, and plays recordings out of its own memory.
const DASHBOARD_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
     media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The encodings in which `cargo xtask build` may have put a compressed file beside the plain one, each with its file extension, the best
/// first.
const ENCODINGS: [(&str, &str); 2] = [("br", "br"), ("gzip", "gz")];

/// `GET /sdk/…`: a file of the SDK, for pages of any origin.
pub(super) async fn sdk(Path(path): Path<String>, headers: HeaderMap) -> Response {
    let Some(mut response) = file::<Sdk>(&path, &headers) else {
        let detail = if Sdk::iter().next().is_none() {
            "The SDK was not built into this binary: run `cargo xtask build`, then build the relay again."
        } else {
            "The SDK has no such file."
        };
        return Problem::new(StatusCode::NOT_FOUND, detail).for_every_page();
    };
    response.headers_mut().insert(
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("cross-origin"),
    );
    with_cors(response)
}

/// The files of the SDK that a browser fetches, by name, each with its hash as the attribute `integrity` of a script tag takes it.
pub(crate) fn sdk_files() -> Vec<(String, String)> {
    let mut files: Vec<_> = Sdk::iter()
        .filter(|name| name.ends_with(".js") || name.ends_with(".wasm"))
        .filter_map(|name| Some((name.clone().into_owned(), integrity(&Sdk::get(&name)?.data))))
        .collect();
    files.sort();
    files
}

/// Subresource Integrity's strongest hash but one, which is the one that its specification uses.
fn integrity(content: &[u8]) -> String {
    format!("sha384-{}", base64::engine::general_purpose::STANDARD.encode(Sha384::digest(content)))
}

/// `GET /dashboard`: the page for administrators. It holds nothing that is secret: what it shows it asks for with a token.
pub(super) async fn dashboard(headers: HeaderMap) -> Response {
    of_dashboard("index.html", &headers)
}

/// `GET /dashboard/…`: a file of that page.
pub(super) async fn dashboard_file(Path(path): Path<String>, headers: HeaderMap) -> Response {
    of_dashboard(&path, &headers)
}

fn of_dashboard(path: &str, headers: &HeaderMap) -> Response {
    let Some(response) = file::<Dashboard>(path, headers) else {
        return Problem::new(StatusCode::NOT_FOUND, "The dashboard has no such file.").into_response();
    };
    let mut response = as_page(response, HeaderValue::from_static(DASHBOARD_POLICY));
    response.headers_mut().insert(
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("microphone=(), camera=(), geolocation=()"),
    );
    response
}

/// A file of the demo page or one of the small examples, at every other address of `voxrelay dev`.
pub(super) async fn demo(uri: Uri, headers: HeaderMap) -> Response {
    let path = match uri.path() {
        "/" => "index.html",
        // Browsers ask for this if a page names no icon.
        "/favicon.ico" => "icon.svg",
        path => path.trim_start_matches('/'),
    };
    if let Some(response) = file::<Demo>(path, &headers) {
        return as_page(response, HeaderValue::from_static(PAGE_POLICY));
    }
    let (Some(page), Some(response)) = (Pages::get(path), file::<Pages>(path, &headers)) else {
        return super::not_found().await;
    };
    let policy = policy_of(&String::from_utf8_lossy(&page.data));
    as_page(response, HeaderValue::from_str(&policy).expect("a hash in base64 is visible ASCII"))
}

/// The policy of a page that has its script in itself. It lets that script run, and no other script in the page.
fn policy_of(page: &str) -> String {
    let script =
        page.split_once("<script type=\"module\">").and_then(|(_, rest)| rest.split_once("</script>"));
    let hash = Sha256::digest(script.map_or("", |(script, _)| script));
    let hash = base64::engine::general_purpose::STANDARD.encode(hash);
    PAGE_POLICY.replace("script-src 'self'", &format!("script-src 'self' 'sha256-{hash}'"))
}

fn as_page(mut response: Response, policy: HeaderValue) -> Response {
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    for (name, value) in [
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("permissions-policy"), "microphone=(self), camera=(), geolocation=()"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn with_cors(mut response: Response) -> Response {
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

/// A file in the best encoding that the client accepts, or 304 if the client has it already.
///
/// Files keep their names from release to release, so browsers are told to ask each time whether their copy is still good. Files of an old
/// SDK and a new one do not work together.
fn file<Files: RustEmbed>(path: &str, headers: &HeaderMap) -> Option<Response> {
    let plain = Files::get(path)?;
    let (file, encoding) = match encoded::<Files>(path, headers) {
        Some((file, encoding)) => (file, Some(encoding)),
        None => (plain, None),
    };
    let etag = etag(&file);
    let is_known = is_known(headers, &etag);
    let mut response = match is_known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => ([(header::CONTENT_TYPE, content_type(path))], file.data.into_owned()).into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::ETAG, HeaderValue::from_str(&etag).expect("hexadecimal digits in quotes"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(encoding) = encoding.filter(|_| !is_known) {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    Some(response)
}

/// The compressed file in the best encoding that the client accepts, if there is one.
fn encoded<Files: RustEmbed>(path: &str, headers: &HeaderMap) -> Option<(EmbeddedFile, &'static str)> {
    let accepted = headers.get(header::ACCEPT_ENCODING)?.to_str().ok()?;
    ENCODINGS.into_iter().filter(|(encoding, _)| accepts(accepted, encoding)).find_map(
        |(encoding, extension)| Files::get(&format!("{path}.{extension}")).map(|file| (file, encoding)),
    )
}

/// Whether `Accept-Encoding` names the encoding, other than to refuse it (`q=0`).
fn accepts(accepted: &str, encoding: &str) -> bool {
    accepted.split(',').any(|part| {
        let mut parameters = part.split(';').map(str::trim);
        let named = parameters.next().is_some_and(|name| name.eq_ignore_ascii_case(encoding));
        let refused = parameters
            .filter_map(|parameter| parameter.strip_prefix("q="))
            .any(|weight| weight.parse() == Ok(0.0));
        named && !refused
    })
}

fn etag(file: &EmbeddedFile) -> String {
    let mut tag = String::from("\"");
    for byte in &file.metadata.sha256_hash()[..16] {
        tag.push_str(&format!("{byte:02x}"));
    }
    tag + "\""
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" | "cjs" => "text/javascript; charset=utf-8",
        "wasm" => "application/wasm",
        "json" | "map" => "application/json",
        "ts" | "md" | "txt" => "text/plain; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoding_is_taken_when_it_is_named_and_not_refused() {
        assert!(accepts("gzip, deflate, br", "br"));
        assert!(accepts("gzip;q=0.5, BR;q=1", "br"));
        assert!(!accepts("gzip, br;q=0", "br"));
        assert!(!accepts("gzip, br; q=0.000", "br"));
        assert!(!accepts("gzip, brx", "br"));
    }

    #[test]
    fn the_policy_of_a_page_names_the_script_that_stands_in_it() {
        // By `printf 'alert(1)' | openssl dgst -sha256 -binary | base64`.
        let policy = policy_of("<script src=\"/a.js\"></script><script type=\"module\">alert(1)</script>");
        let hash = "'sha256-bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI='";
        assert_eq!(policy, PAGE_POLICY.replace("script-src 'self'", &format!("script-src 'self' {hash}")));
        for name in Pages::iter() {
            let page = String::from_utf8_lossy(&Pages::get(&name).expect("it was listed").data).into_owned();
            assert_eq!(policy_of(&page).matches("sha256-").count(), 1, "{name}");
            assert_ne!(policy_of(&page), policy_of(""), "{name}: the script was found");
        }
    }

    #[test]
    fn the_integrity_of_a_file_is_what_other_tools_print() {
        // By `printf 'alert(1)' | openssl dgst -sha384 -binary | base64`.
        assert_eq!(
            integrity(b"alert(1)"),
            "sha384-HT2E9NfWiuQ/w1PRai+hTyqW16NIoCGA/m8VQDUopfAtcz6YQjtsMmQd5uRbVDpW"
        );
    }

    #[derive(RustEmbed)]
    #[folder = "tests/files"]
    struct Fixture;

    async fn fetch(
        path: &str,
        headers: &[(HeaderName, &'static str)],
    ) -> Option<(StatusCode, HeaderMap, String)> {
        let headers =
            headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
        let (parts, body) = file::<Fixture>(path, &headers)?.into_parts();
        let body = axum::body::to_bytes(body, 1_000).await.expect("a body");
        Some((parts.status, parts.headers, String::from_utf8_lossy(&body).into_owned()))
    }

    #[tokio::test]
    async fn a_file_comes_in_the_best_form_that_is_taken() {
        for (accepted, body, encoding) in [
            ("identity", "plain", None),
            ("gzip, deflate", "as gzip", Some("gzip")),
            ("gzip, deflate, br", "as brotli", Some("br")),
            ("br;q=0, gzip", "as gzip", Some("gzip")),
        ] {
            let accept = [(header::ACCEPT_ENCODING, accepted)];
            let (status, headers, found) = fetch("a.js", &accept).await.expect("there");
            assert_eq!((status, found.as_str()), (StatusCode::OK, body), "{accepted}");
            assert_eq!(
                headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes),
                encoding.map(str::as_bytes)
            );
            assert_eq!(headers[header::CONTENT_TYPE], "text/javascript; charset=utf-8");
            assert_eq!(headers[header::VARY], "accept-encoding");
        }
        assert!(fetch("b.js", &[]).await.is_none());
    }

    #[tokio::test]
    async fn a_file_that_is_known_is_not_sent_again() {
        let (_, headers, _) = fetch("a.js", &[]).await.expect("there");
        let etag: &'static str = headers[header::ETAG].to_str().expect("text").to_owned().leak();
        let (status, headers, body) = fetch("a.js", &[(header::IF_NONE_MATCH, etag)]).await.expect("there");
        assert_eq!((status, body.as_str()), (StatusCode::NOT_MODIFIED, ""));
        assert_eq!(headers[header::ETAG], etag);
        let encoded = [(header::IF_NONE_MATCH, etag), (header::ACCEPT_ENCODING, "br")];
        assert_eq!(
            fetch("a.js", &encoded).await.expect("there").0,
            StatusCode::OK,
            "another form, another tag"
        );
    }
}

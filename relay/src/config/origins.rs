use reqwest::Url;

use super::ConfigError;
use super::values::{Values, quote};

/// Which pages may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origins {
    /// `*`: every page.
    any: bool,
    /// `same-origin`: pages from the host that the request was sent to.
    same: bool,
    /// Those that are named.
    listed: Vec<Listed>,
    /// Whether a request without an Origin is refused: only browsers send one.
    required: bool,
}

/// An origin that is named.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Listed {
    /// As browsers write it: scheme, host, and a port unless it is the scheme's own.
    Page(String),
    /// An app's or an extension's, by a scheme of its own. How such a host is written is not the same everywhere.
    App(String),
    /// What comes before and after one label of the host.
    Pattern(String, String),
}

/// What is to be done about an entry that no page could ever match.
const GENERAL: &str = "give \"same-origin\", \"*\", or origins such as https://app.example.com";
const PATTERN: &str = "`*` stands for one whole label at the beginning of the host of an http or https origin, such as https://*.example.com";

impl Origins {
    pub(super) fn check(values: &Values) -> Result<Origins, ConfigError> {
        let required = values.flag("require_origin")?;
        let given = values.list("origins")?;
        Origins::parse(&given, required).map_err(|first| {
            let wrong =
                given.iter().filter_map(|one| Origins::parse(std::slice::from_ref(one), required).err());
            let (mut wrong, mut accepted): (Vec<_>, Vec<_>) = wrong.unzip();
            if wrong.is_empty() {
                (wrong, accepted) = (vec![first.0], vec![first.1]);
            }
            accepted.dedup();
            let wrong: Vec<String> = wrong.into_iter().map(quote).collect();
            values.wrong("origins", wrong.join(", "), accepted.join("; "))
        })
    }

    /// Fails with the one that no page could match, and with what to do about it.
    fn parse(given: &[String], required: bool) -> Result<Origins, (String, &'static str)> {
        let mut origins = Origins { any: false, same: false, listed: Vec::new(), required };
        for origin in given {
            match origin.as_str() {
                "*" => origins.any = true,
                "same-origin" => origins.same = true,
                other => origins.listed.push(Listed::parse(other).map_err(|why| (other.to_owned(), why))?),
            }
        }
        Ok(origins)
    }

    /// Whether a request with these headers may call. The scheme is not compared for `same-origin`: behind a proxy that ends
    /// TLS the relay does not know its own.
    #[must_use]
    pub fn allow(&self, origin: Option<&str>, host: Option<&str>) -> bool {
        let Some(origin) = origin else { return !self.required };
        if self.any || self.listed.iter().any(|listed| listed.is(origin)) {
            return true;
        }
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        self.same && host.is_some() && authority.zip(host).is_some_and(|(a, b)| a.eq_ignore_ascii_case(b))
    }
}

impl Listed {
    fn parse(given: &str) -> Result<Listed, &'static str> {
        if given == "null" {
            return Err("every page without an origin of its own says null, so only \"*\" lets them in");
        }
        let Some((scheme, rest)) = given.split_once("://") else {
            return Err(
                "begin with the page's scheme, such as https://app.example.com or http://localhost:3000",
            );
        };
        if scheme.contains('*') {
            return Err(PATTERN);
        }
        match scheme.to_ascii_lowercase().as_str() {
            "http" | "https" => Listed::page(given, scheme, rest),
            "ws" | "wss" => {
                Err("an origin has the scheme of the page, https, not that of the connection, wss")
            }
            // What some web views say of pages that are files.
            "file" if rest.is_empty() => Ok(Listed::App("file://".to_owned())),
            "file" | "ftp" | "data" | "blob" | "about" | "javascript" => {
                Err("pages of this scheme have no origin of their own, so only \"*\" lets them in")
            }
            own => Listed::app(own, rest),
        }
    }

    fn page(given: &str, scheme: &str, rest: &str) -> Result<Listed, &'static str> {
        let Some(host) = rest.strip_prefix("*.") else {
            return if rest.contains('*') { Err(PATTERN) } else { Ok(Listed::Page(normal(given)?)) };
        };
        if host.contains('*') {
            return Err(PATTERN);
        }
        // Read with a label in its place, since a `*` is no part of a host.
        let origin = normal(&format!("{scheme}://x.{host}"))?;
        let (before, after) = origin.split_once("://x.").ok_or(PATTERN)?;
        let domain = after.split(':').next().unwrap_or_default();
        if !domain.contains('.') && domain != "localhost" {
            return Err(
                "a whole top-level domain is everybody: give one below it, such as https://*.example.com",
            );
        }
        Ok(Listed::Pattern(format!("{before}://"), format!(".{after}")))
    }

    /// The origin of an app or an extension: a scheme, and the host under which it knows itself.
    fn app(scheme: &str, rest: &str) -> Result<Listed, &'static str> {
        if rest.contains('*') {
            return Err(PATTERN);
        }
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_lowercase())
            && scheme.chars().all(|char| char.is_ascii_alphanumeric() || "+-.".contains(char));
        let (host, port) = rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port)));
        let is_host =
            !host.is_empty() && host.chars().all(|char| char.is_ascii_alphanumeric() || "-._".contains(char));
        let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
        match is_scheme && is_host && is_port {
            true => Ok(Listed::App(format!("{scheme}://{rest}"))),
            false => {
                Err("an app's origin is a scheme and a host and nothing more, such as capacitor://localhost")
            }
        }
    }

    fn is(&self, origin: &str) -> bool {
        match self {
            Listed::Page(page) => page == origin,
            Listed::App(app) => app.eq_ignore_ascii_case(origin),
            Listed::Pattern(before, after) => {
                let label =
                    origin.strip_prefix(before.as_str()).and_then(|rest| rest.strip_suffix(after.as_str()));
                label.is_some_and(is_label)
            }
        }
    }
}

/// One label of a host as browsers write it.
fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte))
}

/// The origin as a browser writes it.
fn normal(given: &str) -> Result<String, &'static str> {
    let url = Url::parse(given).map_err(|_| GENERAL)?;
    if !url.username().is_empty() || url.password().is_some() || given.contains('@') {
        return Err("an origin has no user and no password: leave out what stands before the `@`");
    }
    if url.query().is_some() || url.fragment().is_some() || url.path() != "/" {
        return Err("an origin has no path: give the scheme, the host and the port alone");
    }
    if given.ends_with(['/', '\\']) {
        return Err("an origin has no path: leave out the slash at its end");
    }
    if url.port() == Some(0) {
        return Err("no page comes from port 0");
    }
    Ok(url.origin().ascii_serialization())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(given: &[&str], required: bool) -> Origins {
        let given: Vec<String> = given.iter().map(ToString::to_string).collect();
        Origins::parse(&given, required).expect("good")
    }

    #[test]
    fn same_origin_compares_host_and_port() {
        let same = origins(&["same-origin"], false);
        assert!(same.allow(Some("http://localhost:8080"), Some("localhost:8080")));
        assert!(same.allow(Some("https://relay.example.com"), Some("relay.example.com")));
        assert!(!same.allow(Some("http://localhost:8081"), Some("localhost:8080")));
        assert!(!same.allow(Some("https://evil.example"), Some("relay.example.com")));
        assert!(!same.allow(Some("https://relay.example.com.evil.example"), Some("relay.example.com")));
        assert!(!same.allow(Some("null"), Some("null")));
        assert!(!same.allow(Some("https://relay.example.com"), None));
    }

    #[test]
    fn a_listed_origin_is_compared_whole() {
        let listed = origins(&["https://App.Example.com:443", "http://localhost:3000"], true);
        assert!(listed.allow(Some("https://app.example.com"), Some("relay.example.com")));
        assert!(listed.allow(Some("http://localhost:3000"), None));
        assert!(!listed.allow(Some("http://app.example.com"), None));
        assert!(!listed.allow(Some("https://relay.example.com"), Some("relay.example.com")));
    }

    #[test]
    fn a_star_is_one_label_of_the_host() {
        let pattern = origins(
            &["https://*.Example.com", "http://*.localhost:3000", "https://*.bücher.example:8443"],
            false,
        );
        for origin in [
            "https://app.example.com",
            "https://a-1_b.example.com",
            "https://xn--bcher-kva.example.com",
            "http://tenant.localhost:3000",
            "https://a.xn--bcher-kva.example:8443",
        ] {
            assert!(pattern.allow(Some(origin), None), "{origin}");
        }
        for origin in [
            "https://example.com",
            "https://.example.com",
            "https://a.b.example.com",
            "http://app.example.com",
            "https://app.example.com:8443",
            "https://app.example.com.evil.example",
            "https://evil.example/.example.com",
            "https://evil.example#.example.com",
            "https://evil@.example.com",
            "https://evil:1.example.com",
            "https://appexample.com",
            "https://APP.example.com",
            "http://tenant.localhost",
            "null",
            "",
        ] {
            assert!(!pattern.allow(Some(origin), None), "{origin}");
        }
    }

    #[test]
    fn apps_and_extensions_have_schemes_of_their_own() {
        let given = [
            "capacitor://localhost",
            "ionic://localhost",
            "tauri://localhost",
            "app://bundle",
            "app://localhost:8080",
            "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
            "moz-extension://0d5b3c9e-6f0a-4a55-9c8b-0d8d6f6f8a11",
            "safari-web-extension://0D5B3C9E-6F0A-4A55-9C8B-0D8D6F6F8A11",
            "file://",
        ];
        let apps = origins(&given, true);
        for origin in given {
            assert!(apps.allow(Some(origin), None), "{origin}");
        }
        for origin in
            ["capacitor://localhost:1", "capacitor://other", "https://localhost", "tauri://", "file:///x"]
        {
            assert!(!apps.allow(Some(origin), None), "{origin}");
        }
    }

    #[test]
    fn what_no_page_could_match_is_refused_with_what_to_do() {
        for (given, hint) in [
            ("https://app.example.com/", "slash"),
            ("https://app.example.com/login", "path"),
            ("https://app.example.com?x", "path"),
            ("https://app.example.com#x", "path"),
            ("https://*.example.com/", "slash"),
            ("https://*.example.com/x", "path"),
            ("https://user@app.example.com", "user"),
            ("https://user:word@app.example.com", "user"),
            ("https://@app.example.com", "user"),
            ("https://*", "one whole label"),
            ("https://*:443", "one whole label"),
            ("https://app.example.com:*", "one whole label"),
            ("https://app-*.example.com", "one whole label"),
            ("https://*app.example.com", "one whole label"),
            ("https://app.*.com", "one whole label"),
            ("https://*.*.example.com", "one whole label"),
            ("https://**.example.com", "one whole label"),
            ("*://app.example.com", "one whole label"),
            ("chrome-extension://*", "one whole label"),
            ("*.example.com", "scheme"),
            ("https://*.com", "top-level"),
            ("https://*.", "top-level"),
            ("https://*.192.0.2.7", "origins such as"),
            ("app.example.com", "scheme"),
            ("localhost:3000", "scheme"),
            ("wss://app.example.com", "wss"),
            ("null", "null"),
            ("https://", "origins such as"),
            ("https://app example.com", "origins such as"),
            ("https://app.example.com:99999", "origins such as"),
            ("https://app.example.com:0", "port 0"),
            ("file:///index.html", "scheme"),
            ("data://x", "scheme"),
            ("capacitor://", "scheme and a host"),
            ("capacitor://localhost/", "scheme and a host"),
            ("capacitor://localhost/index.html", "scheme and a host"),
            ("tauri://user@localhost", "scheme and a host"),
            ("1app://localhost", "scheme and a host"),
            ("self", "scheme"),
            ("Same-Origin", "scheme"),
        ] {
            let refused = Origins::parse(&[given.to_owned()], false).expect_err(given);
            assert!(refused.0 == given && refused.1.contains(hint), "{given}: {}", refused.1);
        }
    }

    #[test]
    fn without_an_origin_it_is_no_browser_and_the_operator_says() {
        assert!(origins(&["same-origin"], false).allow(None, Some("relay.example.com")));
        assert!(!origins(&["*"], true).allow(None, Some("relay.example.com")));
        assert!(origins(&["*"], true).allow(Some("null"), None));
    }
}

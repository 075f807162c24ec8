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
    /// As browsers write them: scheme, host, and a port unless it is the scheme's own.
    listed: Vec<String>,
    /// Whether a request without an Origin is refused: only browsers send one.
    required: bool,
}

impl Origins {
    pub(super) fn check(values: &Values) -> Result<Origins, ConfigError> {
        let required = values.flag("require_origin")?;
        Origins::parse(&values.list("origins")?, required).map_err(|wrong| {
            let accepted = "give \"same-origin\", \"*\", or origins such as https://app.example.com";
            values.wrong("origins", quote(wrong), accepted)
        })
    }

    /// Fails with the one that is no origin.
    fn parse(given: &[String], required: bool) -> Result<Origins, String> {
        let mut origins = Origins { any: false, same: false, listed: Vec::new(), required };
        for origin in given {
            match origin.as_str() {
                "*" => origins.any = true,
                "same-origin" => origins.same = true,
                other => origins.listed.push(normal(other).ok_or_else(|| other.to_owned())?),
            }
        }
        Ok(origins)
    }

    /// Whether a request with these headers may call. The scheme is not compared for `same-origin`: behind a proxy that ends
    /// TLS the relay does not know its own.
    #[must_use]
    pub fn allow(&self, origin: Option<&str>, host: Option<&str>) -> bool {
        let Some(origin) = origin else { return !self.required };
        if self.any || self.listed.iter().any(|listed| listed == origin) {
            return true;
        }
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        self.same && host.is_some() && authority.zip(host).is_some_and(|(a, b)| a.eq_ignore_ascii_case(b))
    }
}

/// The origin as a browser writes it; `None` if it is more or less than an origin.
fn normal(given: &str) -> Option<String> {
    let url = Url::parse(given).ok()?;
    let bare = matches!(url.scheme(), "http" | "https")
        && url.path() == "/"
        && !given.ends_with('/')
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    bare.then(|| url.origin().ascii_serialization())
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
    fn without_an_origin_it_is_no_browser_and_the_operator_says() {
        assert!(origins(&["same-origin"], false).allow(None, Some("relay.example.com")));
        assert!(!origins(&["*"], true).allow(None, Some("relay.example.com")));
        assert!(origins(&["*"], true).allow(Some("null"), None));
    }
}

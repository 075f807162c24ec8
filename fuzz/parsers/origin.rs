//! The headers by which a page is let in: `Origin` in the first line, `Host` in the second.

use std::sync::LazyLock;

use relay::Config;
use relay::config::Origins;

static ORIGINS: LazyLock<Vec<Origins>> = LazyLock::new(|| {
    let of = |origins: &str| {
        let named = ("VOXRELAY_ORIGINS".to_owned(), origins.to_owned());
        Config::load(None, [named]).expect("a configuration").origins
    };
    vec![of("same-origin"), of("https://app.example.com,https://*.example.com,capacitor://localhost")]
});

/// Does with the input what is done with bytes of strangers. It panics if a promise is broken.
pub(crate) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (origin, host) = text.split_once('\n').unwrap_or((text, ""));
    let [same, named] = ORIGINS.as_slice() else { unreachable!("two") };
    if same.allow(Some(origin), Some(host)) {
        let authority = origin.split_once("://").expect("it has a scheme").1;
        assert!(authority.eq_ignore_ascii_case(host), "the page is of this host");
    }
    if named.allow(Some(origin), Some(host)) {
        // Schemes and hosts are the same in capital letters.
        let lower = origin.to_ascii_lowercase();
        let is_of_example = lower.starts_with("https://")
            && (lower.ends_with(".example.com") || lower.ends_with(".example.com:443"));
        assert!(is_of_example || lower == "capacitor://localhost", "{origin} is none of those");
    }
}

//! Where traces go.

use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};

use super::values::{Values, quote};
use super::{ConfigError, Secret};
use crate::operations::outbound::is_safe_url;

/// Where traces go, and what is in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traces {
    /// The address: https, or on this machine.
    pub endpoint: Url,
    /// Names and values of headers that are sent with them.
    pub headers: Vec<(String, Secret)>,
    /// Whether words are in them.
    pub has_content: bool,
    /// Of how many sessions in a hundred the turns are traced.
    pub sample_percent: u32,
}

impl Traces {
    pub(super) fn check(values: &Values) -> Result<Option<Traces>, ConfigError> {
        const ENDPOINT: &str = "traces.endpoint";
        const HEADERS: &str = "traces.headers";
        let headers = values.hidden(HEADERS)?;
        let has_content = values.flag("traces.content")?;
        let sample_percent = values.whole("traces.sample_percent")?;
        let Some(given) = values.text(ENDPOINT)? else {
            return match headers {
                None => Ok(None),
                Some(_) => Err(ConfigError::Missing {
                    key: ENDPOINT,
                    why: "nobody is sent what traces.headers says",
                }),
            };
        };
        let endpoint = Url::parse(&given).ok().filter(is_safe_url).ok_or_else(|| {
            let accepted = "give an https:// URL (http:// only for localhost)";
            values.wrong(ENDPOINT, quote(&given), accepted)
        })?;
        let headers = headers.map_or(Some(Vec::new()), |text| named(&text)).ok_or_else(|| {
            let accepted = "give NAME=VALUE, with commas between several";
            values.wrong(HEADERS, "[secret]", accepted)
        })?;
        Ok(Some(Traces { endpoint, headers, has_content, sample_percent }))
    }
}

/// The headers in a text, or nothing if one of them is none.
fn named(text: &Secret) -> Option<Vec<(String, Secret)>> {
    let header = |part: &str| {
        let (name, value) = part.split_once('=')?;
        let (name, value) = (name.trim(), value.trim());
        let is_one = HeaderName::from_bytes(name.as_bytes()).is_ok() && HeaderValue::from_str(value).is_ok();
        is_one.then(|| (name.to_owned(), Secret::new(value.to_owned())))
    };
    text.expose().split(',').map(header).collect()
}

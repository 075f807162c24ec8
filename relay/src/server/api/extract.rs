//! Extractors that read the parameters and the body of a request strictly. Whatever does not fit is answered with a [`Problem`] that says
//! what is wrong.
//!
//! What a parameter or a field has to be is taken from the same description that the API's document is made from.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::path::ErrorKind;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use protocol::HttpCode;
use reqwest::Url;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::time::timeout;
use utoipa::openapi::path::ParameterIn;
use utoipa::{IntoParams, ToSchema};

use super::Problem;
use crate::records::store::SUMMED_AGENT_MAX_CHARS;

/// The longest name of a user, an account or a login, in characters, as in tokens.
const NAME_MAX_CHARS: usize = 255;
/// The longest reason for what an administrator does, in characters.
const REASON_MAX_CHARS: usize = 500;
/// How long the whole body of a request may take: 16 KiB at the speed of the slowest mobile networks.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest part of a request that an answer repeats, in characters.
const SHOWN_MAX_CHARS: usize = 64;

/// The parameters of the query.
pub(super) struct Query<T>(pub(super) T);

/// The parameters of the path.
pub(super) struct Path<T>(pub(super) T);

/// The JSON of the body.
pub(super) struct Json<T>(pub(super) T);

impl<S: Sync, T: DeserializeOwned + IntoParams> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Query<T>, Problem> {
        let query = axum::extract::Query::try_from_uri(&parts.uri);
        query.map(|query| Query(query.0)).map_err(|_| {
            bad_request(explain_query::<T>(parts.uri.query().unwrap_or_default())).code(HttpCode::BadQuery)
        })
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Path<T>, Problem> {
        let path = axum::extract::Path::from_request_parts(parts, state).await;
        path.map(|path| Path(path.0)).map_err(|error| {
            let detail = match &error {
                PathRejection::FailedToDeserializePathParams(error) => match error.kind() {
                    ErrorKind::InvalidUtf8InPathParam { key } => {
                        format!("`{key}` in the address is not UTF-8.")
                    }
                    _ => "A part of the address is not as the API's document says.".to_owned(),
                },
                _ => "The address is not as the API's document says.".to_owned(),
            };
            bad_request(detail).code(HttpCode::BadPath)
        })
    }
}

impl<S: Send + Sync, T: DeserializeOwned + ToSchema> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Json<T>, Problem> {
        if !is_json(request.headers()) {
            let detail = "Send JSON as `application/json`.";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
        }
        let body = body_of(request).await?;
        serde_json::from_slice(&body)
            .map(Json)
            .map_err(|error| bad_request(explain_body::<T>(&body, &error)).code(HttpCode::BadBody))
    }
}

/// The whole body of a request, if it is no longer than it may be and comes in time.
pub(super) async fn body_of(request: Request) -> Result<Bytes, Problem> {
    match timeout(BODY_TIMEOUT, Bytes::from_request(request, &())).await {
        Ok(body) => body.map_err(|error| refused(&error)),
        Err(_) => {
            let detail = format!("A body has to come within {} s.", BODY_TIMEOUT.as_secs());
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, detail))
        }
    }
}

fn refused(error: &BytesRejection) -> Problem {
    match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let detail = format!("A body may have {} bytes.", super::BODY_MAX_BYTES);
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
        }
        _ => bad_request("The body broke off.").code(HttpCode::BadBody),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

/// What is wrong with a query, in words.
fn explain_query<T: DeserializeOwned + IntoParams>(query: &str) -> String {
    let known: Vec<Value> = T::into_params(|| Some(ParameterIn::Query))
        .into_iter()
        .filter_map(|parameter| serde_json::to_value(parameter).ok())
        .collect();
    let name = |parameter: &Value| parameter["name"].as_str().unwrap_or_default().to_owned();
    let url = Url::parse(&format!("http://relay/?{query}"));
    let given: Vec<(String, String)> =
        url.iter().flat_map(Url::query_pairs).map(|(name, value)| (name.into(), value.into())).collect();
    for (at, (key, value)) in given.iter().enumerate() {
        let Some(parameter) = known.iter().find(|parameter| name(parameter) == *key) else {
            let names: Vec<String> = known.iter().map(name).collect();
            return format!("There is no parameter {}; there are {}.", shown(key), listed(&names));
        };
        if given[..at].iter().any(|(other, _)| other == key) {
            return format!("`{key}` is given twice.");
        }
        if !is_parameter::<T>(key, value) {
            return format!("`{key}` has to be {}.", words(&parameter["schema"]));
        }
    }
    "The query is not as the API's document says.".to_owned()
}

/// Whether a parameter is good by itself.
fn is_parameter<T: DeserializeOwned>(name: &str, value: &str) -> bool {
    let mut url = Url::parse("http://relay/").expect("a URL");
    url.query_pairs_mut().append_pair(name, value);
    let uri: Result<Uri, _> = url.as_str().parse();
    uri.is_ok_and(|uri| axum::extract::Query::<T>::try_from_uri(&uri).is_ok())
}

/// What is wrong with a body, in words.
fn explain_body<T: ToSchema>(body: &[u8], error: &serde_json::Error) -> String {
    let Ok(given) = serde_json::from_slice::<Value>(body) else {
        return format!("The body is not JSON: see line {}, column {}.", error.line(), error.column());
    };
    let Value::Object(given) = given else { return "The body has to be a JSON object.".to_owned() };
    let mut all = Vec::new();
    T::schemas(&mut all);
    let all: Map<String, Value> = all
        .into_iter()
        .filter_map(|(name, schema)| Some((name, serde_json::to_value(schema).ok()?)))
        .collect();
    let schema = serde_json::to_value(T::schema()).unwrap_or_default();
    let fields = schema["properties"].as_object().cloned().unwrap_or_default();
    for (name, value) in &given {
        let Some(field) = fields.get(name) else {
            let names: Vec<String> = fields.keys().cloned().collect();
            return format!("There is no field {}; there are {}.", shown(name), listed(&names));
        };
        let field = resolved(field, &all);
        if !fits(value, field) {
            return format!("`{name}` has to be {}.", words(field));
        }
    }
    let needed = schema["required"].as_array().cloned().unwrap_or_default();
    let missing = needed.iter().filter_map(Value::as_str).find(|name| !given.contains_key(*name));
    match missing {
        Some(name) => format!("`{name}` is missing."),
        None => "A field of the body is given twice, or is not as the API's document says.".to_owned(),
    }
}

/// The schema that a reference refers to, or the schema itself if it is no reference.
fn resolved<'a>(schema: &'a Value, all: &'a Map<String, Value>) -> &'a Value {
    let name = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next());
    name.and_then(|name| all.get(name)).unwrap_or(schema)
}

/// Whether a value has the type of a schema, is not below its least number, and is one of its words if it lists any.
fn fits(value: &Value, schema: &Value) -> bool {
    let is = |kind: &Value| match kind.as_str() {
        Some("string") => value.is_string(),
        Some("integer") => value.is_u64() || value.is_i64(),
        Some("boolean") => value.is_boolean(),
        Some("null") => value.is_null(),
        _ => true,
    };
    let of_kind = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().any(is),
        kind => is(kind),
    };
    let is_below = value.as_i64().zip(schema["minimum"].as_i64()).is_some_and(|(value, least)| value < least);
    of_kind && !is_below && schema["enum"].as_array().is_none_or(|words| words.contains(value))
}

/// What a value has to be to fit a schema, in words.
fn words(schema: &Value) -> String {
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<String> = words.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        return format!("one of {}", listed(&words));
    }
    let is_number = schema["type"].to_string().contains("integer");
    match (is_number, &schema["minimum"], &schema["maximum"]) {
        (true, least, most) if least.is_number() && most.is_number() => {
            format!("a whole number, {least} to {most}")
        }
        (true, least, _) if least.is_number() => format!("a whole number, {least} or more"),
        (true, _, _) => "a whole number".to_owned(),
        (false, _, _) => "a text".to_owned(),
    }
}

fn listed(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// A part of the request as an answer may repeat it: shortened and escaped.
fn shown(given: &str) -> String {
    let mut chars = given.chars();
    let start: String = chars.by_ref().take(SHOWN_MAX_CHARS).flat_map(char::escape_debug).collect();
    format!("`{start}{}`", if chars.next().is_some() { "…" } else { "" })
}

/// The problem of a request that is not as it has to be.
pub(super) fn bad_request(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail)
}

/// Checks a name of a user, an account or a login: it has to be one that a token may have.
pub(super) fn name(what: &str, given: String) -> Result<String, Problem> {
    name_within(NAME_MAX_CHARS, what, given)
}

/// The same for a name that may have `most` characters.
pub(super) fn name_within(most: usize, what: &str, given: String) -> Result<String, Problem> {
    let good = !given.is_empty() && given.chars().count() <= most && !given.chars().any(char::is_control);
    if good {
        Ok(given)
    } else {
        Err(bad_request(format!("`{what}` has to be 1 to {most} characters, without control characters.")))
    }
}

/// Checks a name in the query, if it is given. See [`name`].
pub(super) fn maybe_name(what: &str, given: Option<String>) -> Result<Option<String>, Problem> {
    given.map(|given| name(what, given).map_err(|problem| problem.code(HttpCode::BadQuery))).transpose()
}

/// Checks the name of an agent in the query, if it is given: it has to be one that the sums may have.
pub(super) fn maybe_agent(given: Option<String>) -> Result<Option<String>, Problem> {
    let agent = |given| name_within(SUMMED_AGENT_MAX_CHARS, "agent", given);
    given.map(|given| agent(given).map_err(|problem| problem.code(HttpCode::BadQuery))).transpose()
}

/// Checks the reason for what an administrator does.
pub(super) fn reason(given: String) -> Result<String, Problem> {
    if given.chars().count() > REASON_MAX_CHARS || given.contains('\0') {
        return Err(bad_request(format!(
            "`reason` may have {REASON_MAX_CHARS} characters, none of them a zero."
        )));
    }
    Ok(given)
}

/// Whether a text has the form of a session's id.
pub(super) fn is_id(given: &str) -> bool {
    (1..=64).contains(&given.len()) && given.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

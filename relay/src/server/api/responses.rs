//! Which problems a request may be answered with, for the API's document.

use std::collections::BTreeMap;

use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::{ContentBuilder, Ref, RefOr};
use utoipa::{IntoResponses, openapi};

/// The problems of every request with a token.
pub(super) struct Usual;

/// The problems of a request for something that may not be there.
pub(super) struct OrNone;

/// The problems of a request with a body.
pub(super) struct WithBody;

/// The problems of a request with a body and a key of its own.
pub(super) struct WithKey;

/// The problems of a request with a body and a name that nobody else may have.
pub(super) struct WithName;

/// The problems of a request with a body for a live session.
pub(super) struct ForLive;

const USUAL: [(&str, &str); 6] = [
    ("400", "The request is not as it has to be"),
    ("401", "No token, or not a good one"),
    ("403", "The user may not do this"),
    ("429", "Too many requests of this user in a minute"),
    ("500", "The relay failed; its log says why"),
    (
        "503",
        "The relay's database, or the issuer of its tokens, is away, or a list takes too long to read; `code` says which",
    ),
];

const NONE: (&str, &str) = ("404", "There is none, or it is somebody else's");

const CONFLICT: (&str, &str) =
    ("409", "The key is another's, or it is more than there is to give; `code` says which");

const NAMED: (&str, &str) =
    ("409", "The name is another's, or there are as many as may be; `code` says which");

const NOT_LIVE: (&str, &str) =
    ("409", "The session has ended, or as much waits for it as may; `code` says which");

const BODY: [(&str, &str); 2] =
    [("413", "The body is longer than 16 KiB"), ("415", "The body is not `application/json`")];

const KEYED: [(&str, &str); 2] = [
    ("409", "The request with this `idempotency-key` is being answered"),
    ("422", "The `idempotency-key` came with another request"),
];

/// The problems of a write with a key in its head: of each the status, what it is, and the whole response.
pub(super) fn keyed() -> impl Iterator<Item = (String, &'static str, RefOr<Response>)> {
    KEYED.into_iter().map(|(status, what)| (status.to_owned(), what, problem(what)))
}

impl IntoResponses for Usual {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&USUAL)
    }
}

impl IntoResponses for OrNone {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[&USUAL[..], &[NONE]].concat())
    }
}

impl IntoResponses for WithBody {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[&USUAL[..], &BODY].concat())
    }
}

impl IntoResponses for WithKey {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[&USUAL[..], &BODY, &[CONFLICT]].concat())
    }
}

impl IntoResponses for WithName {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[&USUAL[..], &BODY, &[NAMED]].concat())
    }
}

impl IntoResponses for ForLive {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[&USUAL[..], &[NONE], &BODY, &[NOT_LIVE]].concat())
    }
}

fn problems(known: &[(&str, &str)]) -> BTreeMap<String, RefOr<Response>> {
    known.iter().map(|(status, description)| ((*status).to_owned(), problem(description))).collect()
}

fn problem(description: &str) -> RefOr<Response> {
    let schema = openapi::RefOr::Ref(Ref::from_schema_name("Problem"));
    let content = ContentBuilder::new().schema(Some(schema)).build();
    let response =
        ResponseBuilder::new().description(description).content("application/problem+json", content);
    RefOr::T(response.build())
}

//! Whose wire it is: how its key is sent, and how it says that something is wrong.

use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use serde_json::{Value, json};

use crate::script::{Refusal, Wire};

/// Whether the request brought the right key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Key {
    /// The key of the fakes.
    Right,
    /// Another one.
    Wrong,
    /// None where this provider looks for it.
    Missing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Provider {
    Deepgram,
    Anthropic,
    OpenAi,
    ElevenLabs,
}

impl Provider {
    pub(crate) fn of(wire: Wire) -> Self {
        match wire {
            Wire::DeepgramListen | Wire::DeepgramFlux | Wire::DeepgramSpeak | Wire::DeepgramSpeakOnce => {
                Provider::Deepgram
            }
            Wire::AnthropicMessages => Provider::Anthropic,
            Wire::OpenAiChat | Wire::OpenAiTranscriptions | Wire::OpenAiSpeech => Provider::OpenAi,
            Wire::ElevenLabsStreamInput => Provider::ElevenLabs,
        }
    }

    pub(crate) fn judge(self, headers: &HeaderMap, right: &str) -> Key {
        let header = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let bearer = || header("authorization")?.strip_prefix("Bearer ");
        let sent = match self {
            Provider::Deepgram => bearer().or_else(|| token(header("authorization")?)),
            Provider::Anthropic => header("x-api-key").or_else(bearer),
            Provider::OpenAi => bearer(),
            Provider::ElevenLabs => header("xi-api-key"),
        };
        match sent {
            Some(sent) if sent == right => Key::Right,
            Some(_) => Key::Wrong,
            None => Key::Missing,
        }
    }

    /// A refusal with the provider's own body for the status.
    pub(crate) fn refuse(self, status: u16, message: &str) -> Response {
        self.refusal(&Refusal { status, body: None, headers: [].into() }, Some(message))
    }

    /// A refusal as a script has it.
    pub(crate) fn refusal(self, refusal: &Refusal, message: Option<&str>) -> Response {
        let Refusal { status, body, headers } = refusal;
        let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let message = message.unwrap_or(match status.as_u16() {
            401 => "Invalid credentials.",
            402 => "The account has insufficient credits.",
            429 => "Too many requests. Please try again later.",
            503 | 529 => "Overloaded.",
            _ => "Something went wrong.",
        });
        let mut response = match body {
            Some(Value::String(text)) => (status, text.clone()).into_response(),
            Some(body) => (status, Json(body)).into_response(),
            None => (status, Json(self.error_body(status.as_u16(), message))).into_response(),
        };
        let mut add = |name: &str, value: &str| {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                response.headers_mut().insert(name, value);
            }
        };
        if self == Provider::Deepgram {
            add("dg-error", message);
            add("dg-request-id", REQUEST_ID);
        }
        headers.iter().for_each(|(name, value)| add(name, value));
        response
    }

    /// The provider's JSON for an error of this status.
    fn error_body(self, status: u16, message: &str) -> Value {
        match self {
            Provider::Deepgram => {
                let code = match status {
                    400 => "Bad Request",
                    401 => "INVALID_AUTH",
                    402 => "ASR_PAYMENT_REQUIRED",
                    403 => "INSUFFICIENT_PERMISSIONS",
                    408 | 504 => "SLOW_UPLOAD",
                    429 => "TOO_MANY_REQUESTS",
                    _ => "INTERNAL_SERVER_ERROR",
                };
                json!({ "err_code": code, "err_msg": message, "request_id": REQUEST_ID })
            }
            Provider::Anthropic => {
                let kind = match status {
                    400 => "invalid_request_error",
                    401 => "authentication_error",
                    402 => "billing_error",
                    403 => "permission_error",
                    404 => "not_found_error",
                    413 => "request_too_large",
                    429 => "rate_limit_error",
                    504 => "timeout_error",
                    529 => "overloaded_error",
                    _ => "api_error",
                };
                anthropic_error(kind, message)
            }
            Provider::OpenAi => {
                let (kind, code) = match status {
                    400 => ("invalid_request_error", None),
                    401 => ("invalid_request_error", Some("invalid_api_key")),
                    402 => ("insufficient_quota", Some("insufficient_quota")),
                    429 => ("requests", Some("rate_limit_exceeded")),
                    404 => ("invalid_request_error", Some("model_not_found")),
                    _ => ("server_error", None),
                };
                json!({ "error": { "message": message, "type": kind, "param": null, "code": code } })
            }
            Provider::ElevenLabs => {
                let name = match status {
                    400 | 422 => "invalid_request",
                    401 => "invalid_api_key",
                    402 => "quota_exceeded",
                    429 => "too_many_concurrent_requests",
                    503 => "system_busy",
                    _ => "internal_error",
                };
                json!({ "detail": { "status": name, "message": message } })
            }
        }
    }
}

/// An error of Anthropic's, as a body or as the data of an event.
pub(crate) fn anthropic_error(kind: &str, message: &str) -> Value {
    json!({ "type": "error", "error": { "type": kind, "message": message }, "request_id": "req_fake" })
}

/// The id that every request of Deepgram's has.
pub(crate) const REQUEST_ID: &str = "0c2e2a3e-5f6f-4b2a-9a51-7c6f0b8f0001";

/// The key of Deepgram's scheme of its own.
fn token(authorization: &str) -> Option<&str> {
    authorization.strip_prefix("Token ").or_else(|| authorization.strip_prefix("token "))
}

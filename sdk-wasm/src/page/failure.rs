//! What went wrong on the page, as the words of `docs/errors.md`.

use protocol::{ErrorCode, ErrorInfo};
use wasm_bindgen::JsValue;

use super::Host;

// Constants, so that of all the errors' texts only these are downloaded.
pub(super) const DENIED: ErrorInfo = ErrorCode::MicrophoneDenied.info();
pub(super) const MISSING: ErrorInfo = ErrorCode::MicrophoneMissing.info();
pub(super) const AUDIO: ErrorInfo = ErrorCode::AudioUnavailable.info();

/// Makes an error object of an error and the browser's own words.
pub(super) fn make(host: &Host, error: &ErrorInfo, cause: &str) -> JsValue {
    let mut message = String::from(error.message);
    message.push_str(" Cause: ");
    message.push_str(cause);
    host.failure(error.name, &message, error.retryable)
}

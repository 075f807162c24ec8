//! What went wrong on the page, as the words of `docs/errors.md`.

use protocol::ErrorCode;
use protocol::client::ErrorInfo;
use wasm_bindgen::JsValue;

use super::Host;

/// Makes an error object of a code and the browser's own words.
pub(super) fn make(host: &Host, code: ErrorCode, cause: &str) -> JsValue {
    let ErrorInfo { code, mut message, retryable } = code.into();
    for part in [" Cause: ", cause] {
        message.push_str(part);
    }
    host.failure(&code, &message, retryable)
}

//! The keys that an identity provider publishes.

/// Does with the input what is done with bytes of strangers. It panics if a promise is broken.
pub(crate) fn run(json: &[u8]) {
    let _ = relay::admission::auth::keys_in(json);
}

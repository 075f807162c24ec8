//! An access token: the input as it is, and as the claims of one that is signed.

use std::sync::LazyLock;

use relay::Config;
use relay::admission::auth::Verifier;
use tokio::runtime::{Builder, Runtime};

static VERIFIER: LazyLock<(Runtime, Verifier)> = LazyLock::new(|| {
    let secret =
        ("VOXRELAY_AUTH__HS256_SECRET".to_owned(), "a secret of thirty-two bytes or more".to_owned());
    let config = Config::load(None, [secret]).expect("a configuration");
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    (runtime, Verifier::from_config(&config.auth).expect("a verifier"))
});

/// Does with the input what is done with bytes of strangers. It panics if a promise is broken.
pub(crate) fn run(input: &[u8]) {
    let Ok(token) = std::str::from_utf8(input) else { return };
    let (runtime, verifier) = &*VERIFIER;
    assert!(runtime.block_on(verifier.check(token)).is_err(), "nobody has the secret");
}

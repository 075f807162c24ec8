//! An access token: the input as it is, and as the claims of one that is signed.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
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

fuzz_target!(|token: &str| {
    let (runtime, verifier) = &*VERIFIER;
    assert!(runtime.block_on(verifier.check(token)).is_err(), "nobody has the secret");
});

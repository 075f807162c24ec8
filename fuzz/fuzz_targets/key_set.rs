//! The keys that an identity provider publishes.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|json: &[u8]| {
    let _ = relay::admission::auth::keys_in(json);
});

//! Many spoken conversations at once, behind each proxy of `deploy/`, while a relay of two is killed or both are replaced: nobody loses a word, nobody
//! says one twice, and the ledger says what was said.
#![cfg(target_os = "linux")]

mod conversation;
mod killed;
mod replaced;

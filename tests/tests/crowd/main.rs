//! Many spoken conversations at once, behind each proxy of `deploy/`, while a relay of two is killed or both are replaced: nobody loses a word, nobody
//! says one twice, neither does an agent, and the ledger says what was said, heard, answered and spoken.
#![cfg(target_os = "linux")]

mod conversation;
mod delivered;
mod killed;
mod replaced;

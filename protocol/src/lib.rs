//! protocol crate
pub mod client;
mod codes;
mod frame;
mod message;
mod replay;
mod time;
pub use codes::*;
pub use frame::*;
pub use message::*;
pub use time::Time;

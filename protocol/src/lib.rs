//! protocol crate
pub mod client;
mod codes;
mod frame;
mod message;
pub mod relay;
mod replay;
mod time;
pub use codes::*;
pub use frame::*;
pub use message::*;
pub use time::Time;

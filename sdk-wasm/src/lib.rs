//! The browser half of Voxrelay: one WebAssembly module, two roles.
//!
//! - [`Engine`] lives in a Worker, or on the page where no Worker can start. It does the signal work and owns the link: the
//!   client machine, its socket and its one timer. The worklets' ports lead straight into it.
//! - [`Page`] owns what only a page may own: microphone, loudspeaker, devices, and the page's own coming and going.
//!
//! Neither takes a decision about the link: they translate between the browser and `protocol::client::Client`.
//!
//! # Run loop of the engine
//! Whatever happens (a block of microphone samples, a message, a timer) becomes one input of the machine; its outputs are
//! drained; the one timer is armed; only then is the application told, by messages to the page.

mod engine;
mod listener;
mod page;

pub use engine::{Engine, Outlet};
pub use page::{Host, Page};

use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = "import type { Host, LinkState, Outlet } from \"../roles.js\";
import type { CloseName } from \"../codes.js\";
import type { AgentEvent, BudgetEvent, DegradedEvent, PageMessage, TranscriptEvent } from \"../events.js\";";

// The default one is three times its size, and a page downloads it.
#[global_allocator]
static ALLOCATOR: rlsf::SmallGlobalTlsf = rlsf::SmallGlobalTlsf::new();

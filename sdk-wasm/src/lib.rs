//! The browser's engine: one WebAssembly module.
//!
//! [`Engine`] lives in a Worker, or on the page where no Worker can start. It does the signal work and owns the link: the client
//! machine, its socket and its one timer. The worklets' ports lead straight into it. It takes no decision about the link: it translates
//! between the browser and `protocol::client::Client`.
//!
//! What only a page may own (microphone, loudspeaker, devices, and the page's own coming and going) is the TypeScript's around it, in
//! `npm/src/page.ts`: all of it is calls of the browser, which a page would download twice as wasm and its glue.
//!
//! # Run loop of the engine
//! Whatever happens (a block of microphone samples, a message, a timer) becomes one input of the machine; its outputs are
//! drained; the one timer is armed; only then is the application told, by messages to the page.

mod arrays;
mod engine;
mod listener;
mod timer;

pub use engine::{Engine, Outlet};

use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = "import type { CloseName } from \"../codes.js\";
export type Variables = Record<string, string>;";

// The default one is three times its size, and a page downloads it.
#[global_allocator]
static ALLOCATOR: rlsf::SmallGlobalTlsf = rlsf::SmallGlobalTlsf::new();

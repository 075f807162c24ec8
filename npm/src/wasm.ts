// What is used of the glue: of what is imported while it runs a bundler keeps everything, and the glue has another way to load itself.

export { Engine, initSync } from "./wasm/voxrelay_wasm.js";

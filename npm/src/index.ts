/**
 * A spoken conversation in any web page.
 *
 * @packageDocumentation
 */

export { VoiceClient } from "./client.js";
export { VoxrelayError } from "./error.js";
export type { CloseName, ErrorCode } from "./codes.js";
export type * from "./events.js";
export type { AssetOptions, ConnectOptions, EventOptions, Feedback } from "./options.js";
export type { ToolContext, ToolHandler } from "./tools.js";

/**
 * A spoken conversation in any web page.
 *
 * @packageDocumentation
 */

export { Call } from "./call.js";
export { VoiceClient } from "./client.js";
export { listDevices } from "./devices.js";
export type { Device, DeviceList } from "./devices.js";
export { VoxrelayError } from "./error.js";
export type { CloseName, ErrorCode } from "./codes.js";
export type { ErrorDetails } from "./error.js";
export type * from "./events.js";
export type { AssetOptions, ConnectOptions, EventOptions, Feedback, Logger, MicrophoneConstraints } from "./options.js";
export type { CallSnapshot, Caption, Devices, Levels } from "./snapshot.js";
export type { ToolContext, ToolHandler } from "./tools.js";

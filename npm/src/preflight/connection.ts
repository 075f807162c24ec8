// What becomes of a connection to the relay.

import { unlessAborted } from "../abort.js";
import { tokenOf } from "../check.js";
import { ERROR_CODES } from "../codes.js";
import type { PreflightCall, PreflightChecks } from "../preflight.js";
import { TOKEN_MS, askWhy, plainOf, socketOf } from "../requests.js";
import { type PreflightCheck, good, measured, skipped, trouble } from "./grade.js";
import { Line } from "./line.js";

/** What the build puts in: the package's version. */
declare const VERSION: string;

/** So long may a socket take to open. */
const OPEN_MS = 6_000;
/** So long may the relay take to look. */
const LOOK_MS = 10_000;
/** So many round trips are measured, in so much time. */
const PINGS = 5;
const PINGS_MS = 3_000;
/** Two seconds of a call: 20 chunks of 100 ms, each answered by half as much again, and how long they may take. */
const CHUNKS = 20;
const CHUNK_BYTES = 3_200;
const ECHO_BYTES = 4_800;
const CARRY_MS = 4_000;

/** 150 and 400 ms each way are what ITU-T G.114 calls good, and no longer acceptable. */
const ROUND_TRIP_GOOD_MS = 300;
const ROUND_TRIP_FAIR_MS = 800;
/** Two seconds of a call in one second are twice what it needs, and in two just enough. */
const CARRY_GOOD_MS = 1_000;
const CARRY_FAIR_MS = 2_000;

/** A refusal of the token. */
const OF_THE_TOKEN = /^(unauthorized|denied|keys_unavailable|agent_forbidden)$/;

const REACHED = good("There is a relay that pages of this origin may use.");
const ACCEPTED = good("The relay accepts the token.");

/** What there is to say of the relay and the way to it. */
type RelayChecks = Omit<PreflightChecks, "permission" | "microphone">;

/** Looks at the relay by one connection. */
export async function gradeRelay(call: PreflightCall, signal: AbortSignal): Promise<RelayChecks> {
  const nothing = skipped("There is no connection to measure.");
  const checks = { token: skipped("The relay could not be asked."), throughput: nothing, roundTrip: nothing };
  if (location.protocol === "https:" && socketOf(call).startsWith("ws:") && !isLocal(socketOf(call))) {
    const address = trouble("unreachable", "A page on HTTPS opens only encrypted sockets.", { cure: "Give a `wss:` address as `url`." });
    return { ...checks, address, connection: nothing };
  }
  // The token first: a relay waits for it for 5 s.
  const token = await tokenFor(call, signal);
  signal.throwIfAborted();
  const line = await Line.open(new URL("preflight", socketOf(call)).href, OPEN_MS, signal);
  if (!line) {
    signal.throwIfAborted();
    // What the token function says is of use however the relay is.
    return { ...checks, ...(typeof token !== "string" && { token }), ...(await whyNot(call)) };
  }
  try {
    const found = await greeted(line, token, call, signal);
    signal.throwIfAborted();
    // What a call over HTTP alone needs is asked for: that a WebSocket opens says nothing about it.
    const isAsked = call.transport === "http" && found.connection.grade === "good";
    const connection = isAsked ? await orOverHttp(call, "gave_up", "No plain requests reach the relay's calls", "A proxy before it has to pass on `/http/` below their path.") : undefined;
    return { address: REACHED, ...found, ...(connection?.grade === "failed" && { connection }) };
  } finally {
    line.close();
  }
}

async function greeted(line: Line, token: string | PreflightCheck, call: PreflightCall, signal: AbortSignal): Promise<Omit<RelayChecks, "address">> {
  const nothing = skipped("There is no call to measure.");
  const opened = good("A WebSocket opens. A good token says the rest.");
  const checks = { connection: opened, throughput: nothing, roundTrip: nothing };
  if (typeof token !== "string") return { ...checks, token };
  const hello = { token, client: `voxrelay-js/${VERSION}`, codec: "pcm_s16le_16000", start: { seq: 0, position: 0 } };
  const begun = performance.now();
  line.say({ type: "hello", ...hello, conversation: call.conversation || null, agent: call.agent || null });
  line.ping(0);
  const answer = await line.next(LOOK_MS);
  signal.throwIfAborted();
  if (!answer || typeof answer === "string" || answer instanceof ArrayBuffer || answer.type !== "pong") {
    const { type, code, message, retry_after_ms } = Object(answer);
    const refusal = type === "error"
      ? trouble(code, message, { retryAfterMs: retry_after_ms ?? undefined })
      : await orOverHttp(call, "link_lost", "The connection opened and brought no answer", "Look for what ends or holds back WebSockets on the way.");
    if (OF_THE_TOKEN.test(refusal.code ?? "")) return { ...checks, token: refusal };
    const accepted = type === "error" ? ACCEPTED : skipped("The relay did not answer.");
    return { ...checks, token: accepted, connection: refusal };
  }
  const connection = good("The relay would take the call.", Math.round(performance.now() - begun));
  const roundTrip = await gradeRoundTrip(line);
  const throughput = await gradeThroughput(line, roundTrip.value ?? PINGS_MS);
  return { token: ACCEPTED, connection, roundTrip, throughput };
}

async function gradeRoundTrip(line: Line): Promise<PreflightCheck> {
  const cure = "Use a faster network, or a relay that is closer.";
  const took: number[] = [];
  const deadline = performance.now() + PINGS_MS;
  for (let id = 1; id <= PINGS; id++) {
    const sent = performance.now();
    if (sent >= deadline) break;
    line.ping(id);
    if (!(await line.next(deadline - sent))) break;
    took.push(performance.now() - sent);
  }
  const ms = Math.round(took.sort((a, b) => a - b)[took.length >> 1] ?? PINGS_MS);
  const grade = ms <= ROUND_TRIP_GOOD_MS ? "good" : ms <= ROUND_TRIP_FAIR_MS ? "fair" : "poor";
  return measured(grade, `The relay is ${ms} ms away, there and back.`, ms, cure);
}

/** Sends two seconds of audio at once, and counts what comes back. */
async function gradeThroughput(line: Line, roundTripMs: number): Promise<PreflightCheck> {
  const cure = "Use a faster network, or end what else uses it.";
  // What cannot be compressed on the way.
  const chunk = crypto.getRandomValues(new Uint8Array(CHUNK_BYTES));
  const begun = performance.now();
  for (let sent = 0; sent < CHUNKS; sent++) line.send(chunk);
  let back = 0;
  let last = begun;
  while (back < CHUNKS * ECHO_BYTES) {
    const answer = await line.next(begun + CARRY_MS - performance.now());
    if (!(answer instanceof ArrayBuffer)) break;
    back += answer.byteLength;
    last = performance.now();
  }
  const share = back / (CHUNKS * ECHO_BYTES);
  const tookMs = Math.max((share < 1 ? performance.now() : last) - begun - roundTripMs, 1);
  const value = Math.round((share * CHUNKS * CHUNK_BYTES * 1_000) / tookMs);
  if (!back) return measured("failed", "The connection carries no audio.", value, cure);
  const grade = share < 1 || tookMs > CARRY_FAIR_MS ? "poor" : tookMs > CARRY_GOOD_MS ? "fair" : "good";
  const message = { good: "The connection carries a call.", fair: "The connection just carries a call.", poor: "The connection is too slow: sound will break up." };
  return measured(grade, message[grade], value, cure);
}

/** A token, or what is wrong with the function that gives it. */
async function tokenFor({ token }: PreflightCall, signal: AbortSignal): Promise<string | PreflightCheck> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(reject, TOKEN_MS, new Error(`it took longer than ${TOKEN_MS / 1_000} s`));
  });
  try {
    return tokenOf(await unlessAborted(signal, Promise.race([Promise.resolve().then(token), late])));
  } catch (thrown) {
    return trouble("token_unavailable", `The \`token\` function gave no token: ${String(thrown)}`, { cure: "Check it and its endpoint." });
  } finally {
    clearTimeout(timer);
  }
}

/** Why no socket could be opened, as far as plain requests say. */
async function whyNot(call: PreflightCall): Promise<Pick<RelayChecks, "address" | "connection">> {
  const nothing = skipped("There is no relay to connect to.");
  const plain = plainOf(call);
  const [status, body] = await askWhy(new URL("preflight", plain).href);
  const problem = problemOf(status, body);
  const { code, detail, retry_after_ms } = problem ?? {};
  const refusal = (): PreflightCheck => trouble(String(code), String(detail), { retryAfterMs: retry_after_ms });
  if (code === "upgrade_required") {
    const words = "The relay is there, but WebSockets do not get through to it";
    const cure = "Something between refuses them: a proxy, firewall, extension, or the policy's `connect-src`. A proxy before it has to pass on upgrades.";
    return { address: REACHED, connection: await orOverHttp(call, "not_a_websocket", words, cure) };
  }
  if (code === "not_found" && problemOf(...(await askWhy(plain)))?.code === "upgrade_required") {
    const words = "The relay has no preflights, or a proxy before it does not pass them on.";
    return { address: REACHED, connection: trouble("not_supported", words, { cure: "Update the relay; pass on `preflight` beside the path of calls." }) };
  }
  if (code === "origin_refused") return { address: refusal(), connection: nothing };
  if (status && (status < 400 || [404, 405, 410].includes(status))) {
    return { address: trouble("no_relay", `${ERROR_CODES.no_relay.message} The address answered with status ${status}.`), connection: nothing };
  }
  if (problem) return { address: REACHED, connection: refusal() };
  const words = status ? `Something else than a relay answered, with status ${status}.` : "Nothing answered at the relay's address.";
  const online = "Check the network, `url`, and that the policy's `connect-src` lists the relay's `https:` and `wss:`.";
  const cure = navigator.onLine ? online : "The browser has no network: connect it.";
  return { address: trouble("unreachable", words, { cure }), connection: nothing };
}

/** What there is to say where no WebSocket carries a call: it goes over HTTP, if that gets through and the call may. */
async function orOverHttp(call: PreflightCall, code: string, words: string, cure: string): Promise<PreflightCheck> {
  // The relay knows no such wire, and says so: that takes no place.
  const wire = plainOf(call).replace(/\?|$/, `/http/${crypto.getRandomValues(new Uint8Array(16)).join("-")}$&`);
  const isThere = call.transport !== "websocket" && problemOf(...(await askWhy(wire, "POST")))?.code === "wire_unknown";
  return trouble(code, words + (isThere ? ": a call goes over HTTP." : "."), { cure, grade: isThere ? "fair" : "failed" });
}

/** A relay's own problem document. */
function problemOf(status: number, body: string): { code: string; detail: string; retry_after_ms?: number } | undefined {
  try {
    const problem = JSON.parse(body);
    return problem.status === status && typeof problem.code === "string" ? problem : undefined;
  } catch {
    return undefined;
  }
}

/** Browsers take a socket of this machine for encrypted. */
function isLocal(url: string): boolean {
  return /^(localhost|127\.[\d.]+|\[::1\])$|\.localhost$/.test(new URL(url).hostname);
}

// @ts-check
// Calls over HTTP as a browser makes them through a proxy that speaks HTTP/2: all of them over one connection, and at the same time.
//
// Arguments: the proxy's port at localhost, the file with the certificate to trust, and for each call its `hello`. What was spoken, and how many
// calls were welcomed, is printed.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect } from "node:http2";

const [port, certificate, ...hellos] = process.argv.slice(2);
// It listens at this address alone, and is called by the name that its certificate is for.
const browser = connect(`https://127.0.0.1:${port}`, { ca: readFileSync(certificate), servername: "localhost" });
const authority = `localhost:${port}`;

/**
 * Asks, and waits for the status of the answer.
 * @param {string} method
 * @param {string} path
 * @param {Buffer} [body]
 */
async function ask(method, path, body) {
  const length = body ? { "content-length": body.length } : {};
  const asked = { ":method": method, ":path": path, ":authority": authority, accept: "text/event-stream" };
  const answer = browser.request({ ...asked, ...length });
  if (body) answer.end(body);
  const [headers] = await once(answer, "response");
  return { answer, status: headers[":status"] };
}

/**
 * The body of the first request of a wire, which brings one text message.
 * @param {string} text
 */
function firstBody(text) {
  const payload = Buffer.from(text);
  const head = Buffer.alloc(9);
  head.writeUInt8(1, 4);
  head.writeUInt32LE(payload.length, 5);
  return Buffer.concat([head, payload]);
}

/**
 * Begins a call, which goes on for as long as the connection does.
 * @param {string} hello
 */
async function call(hello) {
  const path = `/v1/call/http/${randomUUID().replaceAll("-", "")}`;
  const events = await ask("GET", path);
  assert.equal(events.status, 200);
  let heard = "";
  const welcomed = new Promise((resolve, reject) => {
    events.answer.setEncoding("utf8").on("data", (piece) => {
      heard += piece;
      if (heard.includes('"type":"welcome"')) resolve(undefined);
    });
    events.answer.on("close", () => reject(new Error(`it ended: ${heard}`)));
  });
  const [sent] = await Promise.all([ask("POST", path, firstBody(hello)), welcomed]);
  assert.equal(sent.status, 204);
  return events.answer;
}

assert.equal((await ask("GET", "/livez")).status, 200);
const calls = await Promise.all(hellos.map(call));
assert.ok(calls.every((events) => !events.closed), "all of them go on");
// The calls would go on for ever.
process.stdout.write(`${browser.alpnProtocol} ${calls.length}\n`, () => process.exit(0));

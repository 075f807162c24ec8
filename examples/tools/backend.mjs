// A backend that runs a tool by webhook, and serves the page that runs the other. Run it: `node examples/tools/backend.mjs`, beside the relay
// (`voxrelay dev --config examples/tools/voxrelay.toml`), then open http://127.0.0.1:3000. Node 20.19 or later; nothing to install.

import { createHmac, timingSafeEqual } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";

const PORT = Number(process.env.PORT ?? 3000);
const RELAY = process.env.RELAY ?? "http://127.0.0.1:8080";
/** The same as `tools.book_table.secret` of the relay. */
const SECRET = process.env.TOOL_SECRET ?? "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const TOLERANCE_SECONDS = 300;

/** The tables, and who has booked them. */
const booked = new Map();
/** The answers by `webhook-id`. A real backend keeps them in its database, in the transaction that books the table. */
const answers = new Map();

/** Whether the message is from the relay and of now, as https://www.standardwebhooks.com says it. */
function isSigned(headers, body) {
  const { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signatures = "" } = headers;
  if (!(Math.abs(Date.now() / 1_000 - Number(timestamp)) < TOLERANCE_SECONDS)) return false;
  const key = Buffer.from(SECRET.replace(/^whsec_/, ""), "base64");
  const expected = createHmac("sha256", key).update(`${id}.${timestamp}.${body}`).digest();
  return signatures.split(" ").some((signature) => {
    const given = Buffer.from(signature.replace(/^v1,/, ""), "base64");
    return given.length === expected.length && timingSafeEqual(given, expected);
  });
}

/** Books a table: status and body of the answer. What a 4xx says, the model is told. */
function book({ arguments: { table, at }, user }) {
  const place = `${table} at ${at}`;
  if (booked.has(place)) return [409, `Table ${place} is booked already.`];
  booked.set(place, user);
  return [200, JSON.stringify({ booked: true, table, at })];
}

async function tool(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks).toString();
  if (!isSigned(request.headers, body)) return [401, "not signed"];
  // After a crash the same call may come again, under the same id: it is answered as before, and books nothing.
  const id = request.headers["webhook-id"];
  if (!answers.has(id)) answers.set(id, book(JSON.parse(body).data));
  return answers.get(id);
}

async function page() {
  const html = await readFile(new URL("index.html", import.meta.url), "utf8");
  return [200, html.replaceAll("RELAY", RELAY), "text/html; charset=utf-8"];
}

/** The SDK's files and, for this machine only, tokens: your own server makes them for whoever is signed in. */
async function ofRelay(path) {
  const response = await fetch(RELAY + path);
  return [response.status, Buffer.from(await response.arrayBuffer()), response.headers.get("content-type")];
}

async function answer(request) {
  const { method, url } = request;
  return (
    method === "POST" && url === "/tools/book" ? await tool(request)
    : method === "GET" && url === "/" ? await page()
    : method === "GET" && url === "/token" ? await ofRelay("/dev/token")
    : method === "GET" && /^\/sdk\/[\w.]+$/.test(url) ? await ofRelay(url)
    : method === "GET" && url === "/booked" ? [200, JSON.stringify(Object.fromEntries(booked)), "application/json"]
    : [404, "not found"]
  );
}

const server = createServer(async (request, response) => {
  // The relay may be away for a moment, and a client may break off what it sends: neither ends this server.
  const failed = (error) => [502, `not now: ${error.message}`];
  const [status, body, type = "text/plain; charset=utf-8"] = await answer(request).catch(failed);
  response.writeHead(status, { "content-type": type }).end(body);
});
server.listen(PORT, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));

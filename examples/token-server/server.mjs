// A server that gives its signed-in users a token for a call. Run it: `npm install && npm start` in examples/token-server, beside the relay
// (`voxrelay serve --config examples/token-server/voxrelay.toml`), then open http://127.0.0.1:3000. Node 20.19 or later.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { SignJWT } from "jose";

const PORT = Number(process.env.PORT ?? 3000);
const RELAY = process.env.RELAY ?? "http://127.0.0.1:8080";
/** The same as `auth.hs256_secret` of the relay. No page ever sees it. */
const SECRET = new TextEncoder().encode(process.env.VOXRELAY_AUTH__HS256_SECRET ?? "an example's secret, which everybody knows");

/** Who is asking: this example takes the cookie's word for it, your server has a session. */
function userOf({ headers }) {
  return /(?:^|; )user=([\w-]+)/.exec(headers.cookie ?? "")?.[1];
}

/** A token for a call of this user, good for five minutes: the SDK asks for the next one before that. */
function tokenFor(user) {
  return new SignJWT({ app_metadata: { account: "example" } }) // who pays, and on which plan, is the server's to say
    .setProtectedHeader({ alg: "HS256" })
    .setSubject(user)
    .setIssuer("voxrelay")
    .setAudience("voxrelay")
    .setIssuedAt()
    .setExpirationTime("5 min")
    .sign(SECRET);
}

const server = createServer(async (request, response) => {
  const user = userOf(request);
  // No other site's page can read the answer, and the cookie is not sent with what such a page asks.
  if (request.url === "/voice-token") {
    if (!user) return response.writeHead(401).end("Sign in first.");
    return response.writeHead(200, { "content-type": "text/plain", "cache-control": "no-store" }).end(await tokenFor(user));
  }
  if (request.method === "POST" && request.url === "/login") {
    return response.writeHead(303, { location: "/", "set-cookie": "user=ada; HttpOnly; SameSite=Strict; Path=/" }).end();
  }
  if (request.url !== "/") return response.writeHead(404).end();
  const page = (await readFile(new URL("index.html", import.meta.url), "utf8")).replaceAll("RELAY", RELAY);
  response.writeHead(200, { "content-type": "text/html; charset=utf-8" }).end(page);
});
server.listen(PORT, "127.0.0.1", () => process.stdout.write(`listening on http://127.0.0.1:${server.address().port}\n`));

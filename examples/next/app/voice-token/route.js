import { SignJWT } from "jose";

/** The same as `auth.hs256_secret` of the relay. It stays on the server. */
const SECRET = new TextEncoder().encode(process.env.VOXRELAY_AUTH__HS256_SECRET ?? "an example's secret, which everybody knows");

/** A token for a call, good for five minutes: the SDK asks for the next one before that. */
export async function GET() {
  // This example knows one user. In your app it is who is signed in, and nobody else gets a token.
  const user = "ada";
  const token = await new SignJWT({ app_metadata: { account: "example" } }) // who pays, and on which plan, is the server's to say
    .setProtectedHeader({ alg: "HS256" })
    .setSubject(user)
    .setIssuer("voxrelay")
    .setAudience("voxrelay")
    .setIssuedAt()
    .setExpirationTime("5 min")
    .sign(SECRET);
  return new Response(token, { headers: { "content-type": "text/plain", "cache-control": "no-store" } });
}

export const dynamic = "force-dynamic";

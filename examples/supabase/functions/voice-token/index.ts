// A Supabase Edge Function that gives a signed-in user a token for a call with what your database says of them: the plan. Copy the folder to
// `supabase/functions/voice-token`, then `supabase secrets set VOXRELAY_AUTH__HS256_SECRET=…` and `supabase functions deploy voice-token`.
// A page gets its token by `(await supabase.functions.invoke("voice-token")).data`. Whoever has no plans needs no function: the relay takes
// the user's own access token (docs/supabase.md).

import { createClient } from "@supabase/supabase-js";
import { SignJWT } from "jose";

const HEADERS = {
  // The page's origin; its preflight asks for these two headers.
  "access-control-allow-origin": Deno.env.get("PAGE_ORIGIN") ?? "*",
  "access-control-allow-headers": "authorization, x-client-info, apikey, content-type",
  "cache-control": "no-store",
};

function needed(name: string): string {
  const value = Deno.env.get(name);
  if (!value) throw new Error(`the secret ${name} is not set`);
  return value;
}

Deno.serve(async (request) => {
  if (request.method === "OPTIONS") return new Response(null, { headers: HEADERS });
  // What this client reads is what the user may read: row level security holds.
  const authorization = request.headers.get("authorization") ?? "";
  const supabase = createClient(needed("SUPABASE_URL"), needed("SUPABASE_ANON_KEY"), {
    global: { headers: { authorization } },
    auth: { persistSession: false, autoRefreshToken: false },
  });
  const { data, error } = await supabase.auth.getUser(authorization.replace(/^Bearer /, ""));
  if (error) return new Response("Sign in first.", { status: 401, headers: HEADERS });
  const { data: row, error: unread } = await supabase.from("subscriptions").select("plan, account").eq("user_id", data.user.id).maybeSingle();
  // Whoever has no row is on the free plan; of whom nothing can be read, nothing is known.
  if (unread) return new Response("Try again later.", { status: 503, headers: HEADERS });
  const token = await new SignJWT({ app_metadata: { account: row?.account ?? data.user.id, plan: row?.plan ?? "free" } })
    .setProtectedHeader({ alg: "HS256" })
    .setSubject(data.user.id)
    .setIssuer("voxrelay")
    .setAudience("voxrelay")
    .setIssuedAt()
    .setExpirationTime("5 min")
    .sign(new TextEncoder().encode(needed("VOXRELAY_AUTH__HS256_SECRET")));
  return new Response(token, { headers: { ...HEADERS, "content-type": "text/plain" } });
});

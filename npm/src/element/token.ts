/**
 * Asks the page's own server for an access token: the text of its answer, or the `token` of its JSON.
 *
 * @throws an error that is not retryable for 400 to 499: who is not signed in is not signed in by asking again
 */
export async function fetchToken(address: string): Promise<string> {
  const response = await fetch(address, { credentials: "same-origin", cache: "no-store" });
  const { ok, status, headers } = response;
  if (!ok) throw Object.assign(new Error(`${address} answered ${status}`), { retryable: status < 400 || status >= 500 });
  return /json/.test(headers.get("content-type") ?? "") ? (await response.json()).token : response.text();
}

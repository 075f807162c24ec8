/**
 * Asks the page's own server for an access token: the text of its answer, or the `token` of its JSON.
 *
 * @throws an error that is not retryable for HTML, which is where people sign in, and for 400 to 499: who is not signed in is not signed in by asking
 * again. What is too slow, too early or too often (408, 425, 429) passes, as a fault of the server's does
 */
export async function fetchToken(address: string): Promise<string> {
  // The browser sends along the cookies of the page's own origin.
  const response = await fetch(address, { cache: "no-store" });
  const answer = `${response.status} ${response.headers.get("content-type")}`;
  if (!/^2(?!.*html)/.test(answer)) {
    throw Object.assign(new Error(`${address} answered ${answer}`), { retryable: !/^[24](?!08|25|29)/.test(answer) });
  }
  return /json/.test(answer) ? (await response.json()).token : response.text();
}

/**
 * Asks the page's own server for an access token: the text of its answer, or the `token` of its JSON.
 *
 * @throws an error that is not retryable for a page, which is where people sign in, and for 400 to 499: who is not signed in is not signed in by
 * asking again. What is too slow, too early or too often (408, 425, 429) passes, as a fault of the server's does
 */
export async function fetchToken(address: string): Promise<string> {
  // The browser sends along the cookies of the page's own origin.
  const response = await fetch(address, { cache: "no-store" });
  const answer = `${response.status} ${response.headers.get("content-type")}`;
  const body = await response.text();
  // Many servers call a bare token HTML, so a page is told by how it begins.
  if (!response.ok || /^\s*</.test(body)) {
    throw Object.assign(new Error(`${address} answered ${answer}`), { retryable: !/^[24](?!08|25|29)/.test(answer) });
  }
  return /json/.test(answer) ? JSON.parse(body).token : body;
}

// A call by the element, as any page makes it. What it shows of the agent's answer stands in the page, too.

import "voxrelay/element";

const element = document.querySelector("voice-call");
const said = document.querySelector("#said");
if (element && said) {
  element.relay = new URLSearchParams(location.search).get("relay");
  element.tokenUrl = "/voice-token";
  element.options = { microphone: { echoCancellation: false, autoGainControl: false, noiseSuppression: false } };
  element.addEventListener("state", () => (document.documentElement.dataset.engine = element.call?.engine));
  element.addEventListener("error", ({ detail }) => console.error(detail.code, detail.message));
  element.addEventListener("transcript", ({ detail: { role, last } }) => {
    // What has changed is shown in a microtask.
    if (role === "agent" && last) setTimeout(() => (said.textContent = element.shadowRoot?.querySelector("li.agent span:last-child")?.textContent ?? null));
  });
  document.querySelector("#call")?.addEventListener("click", () => element.connect().catch((error) => (said.textContent = `failed: ${error}`)));
}

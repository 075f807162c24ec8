// One call, as any page makes it: from a click, with a token of the page's own server. What comes of it stands in the page.

/** @param {typeof import("voxrelay").VoiceClient} VoiceClient */
export async function call(VoiceClient) {
  try {
    const made = await VoiceClient.connect({
      url: String(new URLSearchParams(location.search).get("relay")),
      token: async () => (await fetch("/voice-token")).text(),
      microphone: { echoCancellation: false, autoGainControl: false, noiseSuppression: false },
      onTranscript: ({ role, text, last }) => {
        if (role === "agent" && last) show(text);
      },
      onError: (error) => console.error(error.code, error.message),
    });
    document.documentElement.dataset.engine = made.engine;
  } catch (error) {
    show(`failed: ${error}`);
  }
}

/** @param {string} text */
function show(text) {
  const said = document.querySelector("#said");
  if (said) said.textContent = text;
}

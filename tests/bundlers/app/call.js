// Calls, as any page makes them: from a click, with a token of the page's own server. What comes of them stands in the page.

/** The newest call. @type {import("voxrelay").VoiceClient | undefined} */
let made;

/** A call as most are. @param {typeof import("voxrelay").VoiceClient} VoiceClient */
export async function call(VoiceClient) {
  try {
    made = await VoiceClient.connect({
      ...options(),
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

/**
 * What few calls need, and whose files are fetched when they do: a look before the call, then one over HTTP with voice activity, which is rated.
 * @param {typeof import("voxrelay").VoiceClient} VoiceClient
 * @param {() => Promise<typeof import("voxrelay/preflight")>} loadPreflight
 */
export async function rareCall(VoiceClient, loadPreflight) {
  /** @type {Record<string, unknown>} */
  const found = {};
  try {
    await made?.close();
    const { preflight } = await loadPreflight();
    const { address, token, connection } = (await preflight({ ...options(), microphone: false })).checks;
    found.preflight = [address.grade, token.grade, connection.grade].join(" ");
    /** @type {(said: boolean) => void} */
    let answered = () => undefined;
    const answer = new Promise((resolve) => (answered = resolve));
    const rare = await VoiceClient.connect({
      ...options(),
      transport: "http",
      voiceActivity: true,
      logger: {
        warn: (message) => {
          if (message.includes("voice activity")) found.voiceActivity = message;
        },
      },
      onTranscript: ({ role, last }) => role === "agent" && last && answered(true),
      onEnded: () => answered(false),
    });
    await rare.sendText("Is there a table at eight?");
    found.answered = await answer;
    await rare.feedback({ rating: 5 });
    await rare.close();
    Object.assign(found, { engine: rare.engine, transport: rare.snapshot.transport });
  } catch (error) {
    found.failed = String(error);
  }
  document.documentElement.dataset.rare = JSON.stringify(found);
}

function options() {
  return {
    url: String(new URLSearchParams(location.search).get("relay")),
    token: async () => (await fetch("/voice-token")).text(),
    microphone: { echoCancellation: false, autoGainControl: false, noiseSuppression: false },
  };
}

/** @param {string} text */
function show(text) {
  const said = document.querySelector("#said");
  if (said) said.textContent = text;
}

// What a call asks of its microphones, and what it says when one does not open.

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { Call } from "../src/call.js";
import type { MicrophoneEvent } from "../src/events.js";
import { refusedMicrophone } from "../src/microphone.js";
import { OPTIONS, Stream, Track, browser, until, wasm } from "./support/browser.js";

beforeEach(() => browser.reset());

const DEFAULTS = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };

test("without a word of the application echo, noise and gain are the browser's care, and the voice is not isolated", async () => {
  const call = new Call(OPTIONS);
  await call.connect();
  assert.deepEqual(browser.asked, [DEFAULTS]);
  await call.close();
});

test("echo cancellation, noise suppression, gain and voice isolation are asked for as given, also of a later microphone", async () => {
  for (const name of ["echoCancellation", "noiseSuppression", "autoGainControl", "voiceIsolation"] as const) {
    for (const value of [true, false]) {
      browser.reset();
      const call = new Call({ ...OPTIONS, microphone: { [name]: value } });
      await call.connect();
      await call.setMicrophone("other");
      const wanted = { ...DEFAULTS, [name]: value };
      assert.deepEqual(browser.asked, [wanted, { ...wanted, deviceId: { exact: "other" } }]);
      await call.close();
    }
  }
});

/** Whether each thing that was sent about muting said so. */
const mutes = (): unknown[] => browser.workers.at(-1)!.engine.sent.filter(([name]) => name === "mute").map(([, muted]) => muted);
const open = (): string[] => browser.tracks.filter(({ readyState }) => readyState === "live").map(({ id }) => id);

test("a microphone is taken away, muted before it is closed, and opened again", async () => {
  const said: MicrophoneEvent[] = [];
  const call = new Call({ ...OPTIONS, onMicrophone: (event) => void said.push(event) });
  await call.connect();
  await call.setMicrophone(false);
  assert.deepEqual([open(), call.snapshot.devices.microphone, call.muted], [[], undefined, false]);
  await until(() => mutes().length === 1, "the relay is told");
  assert.deepEqual(mutes(), [true]);
  await call.setMicrophone();
  await until(() => mutes().length === 2, "the relay is told");
  assert.deepEqual([open(), mutes(), browser.asked.length], [["default"], [true, false], 2]);
  const live = { label: "Microphone default", deviceId: "default", live: true, fallback: false };
  assert.deepEqual(said, [live, { label: "", deviceId: undefined, live: false, fallback: false }, live]);
  await call.close();
});

test("who is muted stays muted without a microphone and with the next one, and without one nobody is unmuted", async () => {
  const call = new Call(OPTIONS);
  await call.connect();
  call.mute();
  await call.setMicrophone(false);
  call.mute(false);
  call.mute();
  await call.setMicrophone();
  await until(() => mutes().length === 5, "all of it is sent");
  assert.deepEqual([mutes(), call.muted], [[true, true, true, true, true], true]);
  await call.close();
});

test("a microphone that is taken away stays away, whatever comes, goes, breaks or was asked for before", async () => {
  const call = new Call(OPTIONS);
  await call.connect();
  const slow = call.setMicrophone("other");
  await call.setMicrophone(false);
  await slow;
  browser.tracks[0]!.end();
  browser.devices.dispatchEvent(new Event("devicechange"));
  browser.window.dispatchEvent(new Event("pagehide"));
  browser.window.dispatchEvent(Object.assign(new Event("pageshow"), { persisted: true }));
  await new Promise((resolve) => setTimeout(resolve, 700));
  assert.deepEqual([open(), browser.asked.length, mutes().at(-1)], [[], 2, true]);
  await call.close();
});

test("who is unmuted, or taken up, while the first microphone is asked for and then refused is still muted as far as the relay knows", async () => {
  for (const change of ["mute", "hold"] as const) {
    browser.reset();
    const call = new Call({ ...OPTIONS, microphone: false });
    await call.connect();
    let refuse = (_: DOMException): void => undefined;
    browser.asking = () => new Promise((_, reject) => (refuse = reject));
    const refused = assert.rejects(call.setMicrophone("desk"), { code: "microphone_denied" });
    await until(() => browser.asked.length === 1, "the browser asks");
    call[change](true);
    call[change](false);
    await until(() => mutes().at(-1) === false, "the relay is told of the one that is asked for");
    refuse(new DOMException("no", "NotAllowedError"));
    await refused;
    await until(() => mutes().at(-1) === true, `the relay knows that there is none: ${change}`);
    await call.close();
  }
});

test("a microphone that has ended is told once and opened again, also where the browser does not say so", async () => {
  const said: boolean[] = [];
  const refused: string[] = [];
  const call = new Call({ ...OPTIONS, onMicrophone: ({ live }) => void said.push(live) });
  call.on("error", ({ code }) => void (code.startsWith("microphone") && refused.push(code)));
  await call.connect();
  browser.tracks[0]!.stop();
  await until(() => said.length === 3, "another one is open");
  assert.deepEqual([said, browser.asked.length, refused], [[true, false, true], 2, []]);
  browser.asking = () => Promise.reject(new DOMException("no", "NotAllowedError"));
  browser.tracks[1]!.stop();
  await until(() => refused.length === 1, "it is refused");
  // The page has looked once more by then.
  await new Promise((resolve) => setTimeout(resolve, 1_200));
  assert.deepEqual([said, browser.asked.length, refused], [[true, false, true, false], 3, ["microphone_denied"]]);
  await call.close();
});

test("a stream of the page's own that has ended is told once and left to the page, until there is live sound in it again", async () => {
  let track = new Track("own");
  const stream = Object.assign(new Stream(track), { getAudioTracks: () => [track] });
  const said: boolean[] = [];
  const call = new Call({ ...OPTIONS, microphone: stream as unknown as MediaStream, onMicrophone: ({ live }) => void said.push(live) });
  await call.connect();
  const taps = (): number => browser.engine.sent.filter(([name]) => name === "tap").length;
  /** The user looks at the page again, and the call after its microphone. */
  const looks = (): boolean => browser.document.dispatchEvent(new Event("visibilitychange"));
  track.end();
  looks();
  await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual([said, taps(), browser.asked], [[true, false], 1, []]);
  track = new Track("next");
  looks();
  await until(() => taps() === 2, "it is heard again");
  assert.deepEqual([said, call.snapshot.devices.microphone?.deviceId, browser.asked], [[true, false, true], "next", []]);
  await call.close();
  assert.equal(track.readyState, "live", "it is the page's to stop");
});

test("a microphone is added with what is asked of it, or as a stream of the page's, which is not stopped, also to a call that began without", async () => {
  const call = new Call({ ...OPTIONS, microphone: false });
  await call.connect();
  await call.setMicrophone({ noiseSuppression: false, deviceId: "desk" });
  assert.deepEqual(browser.asked, [{ ...DEFAULTS, noiseSuppression: false, deviceId: "desk" }]);
  await call.setMicrophone("other");
  assert.deepEqual(browser.asked.at(-1), { ...DEFAULTS, noiseSuppression: false, deviceId: { exact: "other" } });
  const own = new Track("own");
  const stream = new Stream(own) as unknown as MediaStream;
  for (const next of [false, stream, undefined, stream] as const) {
    await call.setMicrophone(next);
    assert.equal(call.snapshot.devices.microphone?.deviceId, next === false ? undefined : next ? "own" : "default");
    assert.deepEqual(open(), next === undefined ? ["default"] : []);
  }
  await call.close();
  assert.equal(own.readyState, "live");
  own.stop();
  const other = new Call(OPTIONS);
  await other.connect();
  await assert.rejects(other.setMicrophone(stream), { name: "TypeError", message: /^`microphone` is of type / });
  await other.close();
});

test("what is asked for while the call connects counts, however the browser's first question is answered", async () => {
  for (const refusal of [undefined, "NotAllowedError"]) {
    for (const wanted of [false, "other"] as const) {
      browser.reset();
      const answers: (() => void)[] = [];
      browser.asking = () =>
        new Promise((resolve, reject) => answers.push(() => (refusal && answers.length === 1 ? reject(new DOMException("no", refusal)) : resolve())));
      const call = new Call(OPTIONS);
      const up = call.connect();
      await until(() => answers.length === 1, "the browser asks");
      const changed = call.setMicrophone(wanted);
      if (wanted === false) await changed;
      answers[0]!();
      if (wanted) {
        await until(() => answers.length === 2, "it asks for the other one");
        browser.microphone = wanted;
        answers[1]!();
      }
      await Promise.all([up, changed]);
      const said = `${refusal}, ${wanted}`;
      assert.deepEqual(open(), wanted ? [wanted] : [], said);
      assert.equal(call.snapshot.devices.microphone?.deviceId, wanted || undefined, said);
      await until(() => mutes().at(-1) === !wanted, `the relay is told: ${said}`);
      await call.close();
    }
  }
});

test("a microphone that is not wanted any more while the sound begins is closed at once", async () => {
  let goOn = (): void => undefined;
  browser.adding = () => new Promise((resolve) => (goOn = resolve));
  const call = new Call(OPTIONS);
  const up = call.connect();
  await until(() => open().length === 1, "it is open");
  await until(() => browser.contexts.length === 1, "the sound begins");
  await call.setMicrophone(false);
  assert.deepEqual(open(), []);
  goOn();
  await up;
  assert.deepEqual([open(), call.snapshot.devices.microphone], [[], undefined]);
  await call.close();
});

test("of two microphones after none the one that opens is heard, also if the first is refused", async () => {
  const call = new Call(OPTIONS);
  await call.connect();
  await call.setMicrophone(false);
  let refuse = (_: DOMException): void => undefined;
  browser.asking = () => (browser.asked.length === 2 ? new Promise((_, reject) => (refuse = reject)) : Promise.resolve());
  const first = assert.rejects(call.setMicrophone("gone"), { code: "microphone_missing" });
  await call.setMicrophone();
  refuse(new DOMException("no", "NotFoundError"));
  await first;
  await until(() => mutes().at(-1) === false, "the relay hears the user");
  assert.equal(open().length, 1);
  await call.close();
});

/** The id that was asked for last: exactly, or as a wish. */
const wanted = (): { exact?: string; wish?: string } => {
  const { deviceId } = browser.asked.at(-1) as { deviceId?: string | { exact: string } };
  return typeof deviceId === "object" ? { exact: deviceId.exact } : deviceId ? { wish: deviceId } : {};
};

test("who asks for the system's microphone has it, also where the browser gives the one that is open to whoever names none", async () => {
  browser.microphones = ["built-in", "headset"];
  // As Firefox does.
  let refused: string | undefined;
  browser.asking = async () => {
    const { exact } = wanted();
    if (exact && exact === refused) throw new DOMException("The request is not allowed", "NotAllowedError");
    browser.microphone = exact ?? open().at(-1) ?? "built-in";
  };
  const said: unknown[] = [];
  const call = new Call({ ...OPTIONS, onMicrophone: ({ deviceId, fallback }) => void said.push([deviceId, fallback]) });
  await call.connect();
  await call.setMicrophone("headset");
  await call.setMicrophone();
  assert.deepEqual([open(), wanted(), browser.asked.length], [["built-in"], { exact: "built-in" }, 4]);
  // It is asked for once where it is the one that is open.
  await call.setMicrophone("built-in");
  await call.setMicrophone();
  assert.deepEqual([open(), wanted(), browser.asked.length], [["built-in"], {}, 6]);
  assert.deepEqual(said, ["built-in", "headset", "built-in", "built-in", "built-in"].map((id) => [id, false]));
  // Whoever refuses it keeps the one that is open.
  await call.setMicrophone("headset");
  refused = "built-in";
  await assert.rejects(call.setMicrophone(), { code: "microphone_denied" });
  assert.deepEqual([open(), said.length], [["headset"], 6]);
  await call.close();
  assert.deepEqual(open(), []);
});

test("a microphone that is there, and that the browser refuses when it is named exactly, is wished for; one that is gone is not", async () => {
  browser.microphones = ["built-in", "headset"];
  // As some iPhones do.
  let given: string | undefined;
  browser.asking = async () => {
    const { exact, wish } = wanted();
    if (exact) throw Object.assign(new Error("Invalid constraint"), { name: "OverconstrainedError", constraint: "deviceId" });
    browser.microphone = given ?? wish ?? "built-in";
  };
  const said: unknown[] = [];
  const call = new Call({ ...OPTIONS, onMicrophone: ({ deviceId, fallback }) => void said.push([deviceId, fallback]) });
  await call.connect();
  await call.setMicrophone("headset");
  assert.deepEqual([open(), wanted()], [["headset"], { wish: "headset" }]);
  await assert.rejects(call.setMicrophone("gone"), { code: "microphone_missing" });
  assert.deepEqual([open(), wanted()], [["headset"], { exact: "gone" }]);
  // What is given in place of a wish is told as that.
  given = "built-in";
  await call.setMicrophone({ deviceId: { exact: "headset" } });
  assert.deepEqual(said, [["built-in", false], ["headset", false], ["built-in", true]]);
  await call.close();
});

test("a microphone that is there and that the browser does not give is asked for once until others are there, or it is chosen anew", async () => {
  // The clock of the stand-in's context stands still: what is asked for because of that is another matter.
  mock.timers.enable({ apis: ["setInterval"] });
  try {
    browser.microphones = ["built-in", "headset"];
    // As some iPhones do, which may tell of each opening as a change of devices.
    browser.asking = async () => {
      if (wanted().exact) throw Object.assign(new Error("Invalid constraint"), { name: "OverconstrainedError", constraint: "deviceId" });
      browser.microphone = "built-in";
      browser.devices.dispatchEvent(new Event("devicechange"));
    };
    const call = new Call(OPTIONS);
    await call.connect();
    /** How often the browser is asked, within three times as long as devices take to settle. */
    const asks = async (): Promise<number> => {
      const before = browser.asked.length;
      browser.devices.dispatchEvent(new Event("devicechange"));
      await new Promise((resolve) => setTimeout(resolve, 1_700));
      return browser.asked.length - before;
    };
    await call.setMicrophone("headset");
    assert.equal(call.snapshot.devices.microphone?.fallback, true);
    // Exactly, and as a wish.
    assert.deepEqual([await asks(), await asks()], [2, 0]);
    browser.microphones = ["built-in"];
    assert.equal(await asks(), 0);
    browser.microphones = ["built-in", "headset"];
    assert.deepEqual([await asks(), await asks()], [2, 0]);
    browser.microphones = ["built-in", "headset", "desk"];
    await call.setMicrophone("desk");
    assert.deepEqual([await asks(), await asks()], [2, 0]);
    await call.close();
  } finally {
    mock.timers.reset();
  }
});

test("a microphone that another program has when the page comes back is shown as silent, and asked for again when the user looks", async () => {
  const call = new Call(OPTIONS);
  await call.connect();
  const isLive = (): boolean | undefined => call.snapshot.devices.microphone?.live;
  browser.window.dispatchEvent(new Event("pagehide"));
  assert.deepEqual([open(), isLive()], [[], false]);
  browser.asking = async () => {
    throw new DOMException("Could not start audio source", "NotReadableError");
  };
  // As a browser tells a page that comes out of its cache: it is asked for once.
  const comesBack = (): void => {
    browser.document.dispatchEvent(new Event("visibilitychange"));
    browser.window.dispatchEvent(Object.assign(new Event("pageshow"), { persisted: true }));
  };
  comesBack();
  await until(() => call.snapshot.error?.code === "microphone_busy", "it is told");
  assert.deepEqual([open(), isLive(), browser.asked.length], [[], false, 2]);
  browser.asking = async () => undefined;
  browser.document.dispatchEvent(new Event("visibilitychange"));
  await until(() => isLive() === true, "it is heard again");
  assert.deepEqual([open(), call.snapshot.error, browser.asked.length], [["default"], undefined, 3]);
  await call.close();
});

test("a microphone that the user forbids within the call is taken again when it is allowed, and asked for no sooner", async () => {
  const call = new Call(OPTIONS);
  await call.connect();
  const decides = (state: string): void => {
    browser.permission.state = state;
    browser.permission.dispatchEvent(new Event("change"));
  };
  browser.asking = async () => {
    throw new DOMException("Permission denied", "NotAllowedError");
  };
  browser.tracks[0]!.end();
  decides("denied");
  await until(() => call.snapshot.error?.code === "microphone_denied", "it is told");
  browser.asking = async () => undefined;
  decides("prompt");
  assert.deepEqual([open(), call.snapshot.devices.microphone?.live, browser.asked.length], [[], false, 2]);
  decides("granted");
  await until(() => call.snapshot.devices.microphone?.live === true, "it is heard again");
  assert.deepEqual([open(), call.snapshot.error, browser.asked.length], [["default"], undefined, 3]);
  // One that is heard is not opened once more.
  decides("granted");
  assert.equal(browser.asked.length, 3);
  await call.close();
  assert.equal(browser.left().listeners, 0);
});

test("a context that is made anew hears the microphone that is open, whatever the browser answers then", async () => {
  const taps = (): number => browser.engine.sent.filter(([name]) => name === "tap").length;
  for (const refusal of ["NotReadableError", "NotAllowedError", undefined]) {
    browser.reset();
    // The clock of the stand-in's context stands still, and after five looks the context is made anew.
    mock.timers.enable({ apis: ["setInterval"] });
    try {
      const call = new Call(OPTIONS);
      await call.connect();
      browser.asking = async () => {
        if (refusal) throw new DOMException("no", refusal);
      };
      mock.timers.tick(5_000);
      await until(() => browser.asked.length === 2, "the browser is asked again");
      await until(() => taps() === (refusal ? 2 : 3), `the engine hears the new context: ${refusal}`);
      // What was refused would be told by then.
      await new Promise((resolve) => setTimeout(resolve, 5));
      const { microphone } = call.snapshot.devices;
      assert.deepEqual([browser.contexts.length, open(), microphone?.live], [2, ["default"], true], refusal);
      assert.notEqual(call.snapshot.error?.code.split("_")[0], "microphone", "who is heard has no trouble");
      await call.close();
    } finally {
      mock.timers.reset();
    }
  }
});

/** At which rates the engine was given microphones, or loudspeakers. */
const rates = (what: "tap" | "speaker"): unknown[] => browser.engine.sent.filter(([name]) => name === what).map(([, , rate]) => rate);

test("a microphone of another rate than the context's is heard where the browser does not connect it: the context is made anew, once", async () => {
  for (const how of ["chosen", "in place of one that has ended"]) {
    browser.reset();
    browser.resamples = false;
    const errors: string[] = [];
    const call = new Call({ ...OPTIONS, onError: ({ code }) => void errors.push(code) });
    await call.connect();
    // A headset is plugged in, and the system takes it.
    browser.rate = 16_000;
    browser.microphone = "headset";
    if (how === "chosen") await call.setMicrophone("headset");
    else browser.tracks[0]!.end();
    await until(() => rates("tap").length === 2, `it is heard: ${how}`);
    assert.deepEqual([rates("tap"), rates("speaker")], [[48_000, 16_000], [48_000, 16_000]]);
    assert.deepEqual([open(), call.snapshot.devices.microphone?.deviceId, browser.contexts.length, errors], [["headset"], "headset", 2, []], how);
    await until(() => browser.left().contexts === 1, "the context before is closed");
    await call.close();
    assert.equal(browser.left().contexts, 0);
  }
});

test("a call begins with a microphone whose rate the devices have taken on since the context was made", async () => {
  browser.resamples = false;
  browser.microphoneRate = 16_000;
  browser.adding = async () => void (browser.rate = 16_000);
  const call = new Call(OPTIONS);
  await call.connect();
  await until(() => rates("tap").length === 1, "it is heard");
  assert.deepEqual([rates("tap"), rates("speaker"), open(), browser.contexts.length], [[16_000], [48_000, 16_000], ["default"], 2]);
  await call.close();
});

test("a microphone that no context takes is refused after one attempt, and the one before is heard on, through the context that there is", async () => {
  browser.resamples = false;
  const call = new Call(OPTIONS);
  await call.connect();
  browser.microphoneRate = 8_000;
  browser.microphone = "other";
  await assert.rejects(call.setMicrophone("other"), { code: "audio_unavailable", retryable: false, message: /different sample-rate/ });
  const { microphone } = call.snapshot.devices;
  assert.deepEqual([open(), microphone?.deviceId, microphone?.live, browser.contexts.length], [["default"], "default", true, 2]);
  await until(() => rates("tap").length === 2, "the one before is heard");
  await until(() => browser.left().contexts === 1, "the context before is closed");
  await call.close();
});

test("a microphone that is taken away while a context is made anew for it is closed, and not heard", async () => {
  for (const when of ["as the call begins", "within the call"]) {
    browser.reset();
    browser.resamples = false;
    let goOn = (): void => undefined;
    const slow = (): Promise<void> => new Promise((resolve) => (goOn = resolve));
    const call = new Call(OPTIONS);
    const changed: Promise<void>[] = [];
    if (when === "within the call") {
      await call.connect();
      browser.rate = 16_000;
      browser.adding = slow;
      changed.push(call.setMicrophone("headset"));
    } else {
      browser.microphoneRate = 16_000;
      browser.adding = async () => {
        browser.rate = 16_000;
        browser.adding = slow;
      };
      changed.push(call.connect());
    }
    await until(() => browser.contexts.length === 2, "a context is made anew");
    await call.setMicrophone(false);
    goOn();
    await Promise.all(changed);
    assert.deepEqual([open(), call.snapshot.devices.microphone, browser.contexts.length], [[], undefined, 2], when);
    await call.close();
    assert.equal(browser.left().contexts, 0);
  }
});

test("a microphone of the application's own that no new context takes is told not to be heard, and nothing claims that it is", async () => {
  browser.resamples = false;
  const errors: string[] = [];
  const call = new Call({ ...OPTIONS, microphone: new Stream(new Track("own")) as unknown as MediaStream, onError: ({ code }) => void errors.push(code) });
  await call.connect();
  assert.equal(call.snapshot.devices.microphone?.live, true);
  browser.rate = 16_000;
  browser.microphoneRate = 8_000;
  await assert.rejects(call.setMicrophone("other"), { code: "audio_unavailable" });
  assert.deepEqual([call.snapshot.devices.microphone, browser.contexts.length], [undefined, 2]);
  await call.close();
  assert.equal(browser.left().contexts, 0);
});

test("a microphone that waits for a context made anew is heard though the next one that is asked for is refused", async () => {
  const call = new Call(OPTIONS);
  await call.connect();
  browser.resamples = false;
  browser.rate = 16_000;
  browser.microphone = "headset";
  let goOn = (): void => undefined;
  browser.adding = () => new Promise((resolve) => (goOn = resolve));
  const first = call.setMicrophone("headset");
  await until(() => browser.contexts.length === 2, "a context is made anew");
  browser.asking = () => Promise.reject(new DOMException("Requested device not found", "NotFoundError"));
  await assert.rejects(call.setMicrophone("gone"), { code: "microphone_missing" });
  goOn();
  await first;
  assert.deepEqual([open(), call.snapshot.devices.microphone?.deviceId, call.snapshot.devices.microphone?.live], [["headset"], "headset", true]);
  await call.close();
});

test("an own context of another rate than the microphone's is told with what to do, and is not made anew", async () => {
  browser.resamples = false;
  const audioContext = new AudioContext({ sampleRate: 16_000 });
  const words = /rate of `audioContext`.*without `sampleRate`.*Cause: NotSupportedError/;
  const call = new Call({ ...OPTIONS, audioContext });
  await assert.rejects(call.connect(), { code: "audio_unavailable", retryable: false, message: words });
  assert.deepEqual([open(), browser.contexts.length, audioContext.state], [[], 1, "running"]);
});

test("an empty id is the default microphone's: that is not asked for again when devices come and go", async () => {
  const call = new Call({ ...OPTIONS, microphone: { deviceId: "" } });
  await call.connect();
  browser.devices.dispatchEvent(new Event("devicechange"));
  await new Promise((resolve) => setTimeout(resolve, 700));
  assert.deepEqual([open(), browser.asked.length], [["default"], 1]);
  await call.close();
});

test("a microphone that does not open is told apart: refused, not answered, forbidden to the page, not there, or in use", () => {
  const secure = Object.getOwnPropertyDescriptor(globalThis, "isSecureContext");
  const page = Object.getOwnPropertyDescriptor(globalThis, "document");
  const open = (isSecure: boolean, isAllowed: boolean | undefined, thrown: unknown): string => {
    Object.defineProperty(globalThis, "isSecureContext", { value: isSecure, configurable: true });
    const featurePolicy = isAllowed === undefined ? undefined : { allowsFeature: () => isAllowed };
    Object.defineProperty(globalThis, "document", { value: { featurePolicy }, configurable: true });
    const [code, message] = refusedMicrophone(thrown);
    assert.match(message, /\. \S/, `${code} says what to do`);
    return code;
  };
  const refused = new DOMException("Permission denied", "NotAllowedError");
  try {
    for (const [code, ...why] of [
      ["microphone_denied", true, true, refused],
      ["microphone_denied", true, undefined, new DOMException("The request is not allowed by the user agent or the platform in the current context.", "NotAllowedError")],
      ["microphone_denied", true, true, new DOMException("", "SecurityError")],
      ["microphone_dismissed", true, true, new DOMException("Permission dismissed", "NotAllowedError")],
      ["microphone_blocked", true, false, refused],
      ["microphone_blocked", false, undefined, new TypeError("mediaDevices is undefined")],
      ["microphone_missing", true, true, new DOMException("Requested device not found", "NotFoundError")],
      ["microphone_missing", true, true, Object.assign(new Error(), { name: "OverconstrainedError" })],
      ["microphone_busy", true, true, new DOMException("Could not start audio source", "NotReadableError")],
      ["microphone_busy", true, undefined, new DOMException("Starting audioinput failed", "AbortError")],
    ] as [string, boolean, boolean | undefined, unknown][]) {
      assert.equal(open(...why), code, String(why[2]));
    }
  } finally {
    for (const [name, before] of [["isSecureContext", secure], ["document", page]] as const) {
      if (before) Object.defineProperty(globalThis, name, before);
      else Reflect.deleteProperty(globalThis, name);
    }
  }
});

test("of microphones that are chosen while the engine loads the last one counts, and the browser is asked for that one alone, once", async () => {
  let come = (_: Response): void => undefined;
  for (const choices of [["desk"], [undefined, "desk"], [false, "desk"], ["desk", false]] as const) {
    browser.reset();
    browser.answers = () => new Promise((resolve) => (come = resolve));
    const call = new Call({ ...OPTIONS, wasmUrl: `/slow-${choices}.wasm` });
    const connecting = call.connect();
    const chosen = choices.map((choice) => call.setMicrophone(choice));
    come(wasm("application/wasm"));
    await Promise.all([connecting, ...chosen]);
    const isWanted = choices.at(-1) !== false;
    assert.deepEqual([browser.left().tracks, !!call.snapshot.devices.microphone?.deviceId], [isWanted ? 1 : 0, isWanted], String(choices));
    assert.equal(browser.asked.length, isWanted ? 1 : 0, String(choices));
    if (isWanted) assert.match(JSON.stringify(browser.asked[0]), /desk/);
    await call.close();
  }
});

import { unlessAborted } from "./abort.js";
import { Awake } from "./awake.js";
import { ERROR_CODES } from "./codes.js";
import { type VoxrelayError, failure } from "./error.js";
import type { MicrophoneEvent, SpeakerEvent } from "./events.js";
import { loadWorklet } from "./loader.js";
import { askMicrophone, isStream, refusedMicrophone } from "./microphone.js";
import { type Loudspeaker, type Microphone, wireLoudspeaker, wireMicrophone } from "./nodes.js";
import type { ConnectOptions } from "./options.js";
import type { Command } from "./roles.js";
import { DEFAULT_ID, Speaker } from "./speaker.js";
import { Watch, soundOf } from "./watch.js";

/** How often to look whether the context's clock moves. */
const WATCH_MS = 1_000;
/** A track that the browser muted (a phone call, another app) is opened anew after this. */
const MUTED_FOR_MS = 2_000;
/** One device that comes or goes makes several events. */
const SETTLE_MS = 500;
/** How long a context that closes is waited for: one whose processors the browser holds back is closed after half of that. */
const CLOSED_MS = 4_000;
/** The clock of the day went on for so long while the page's stood still: the machine slept. */
const SLEPT_MS = 5_000;

/** What a context that stands still waits for; in the cause of an error its state stands before that. */
const CAUSES = {
  running: "the sound stands still",
  suspended: "the browser holds the sound back until the page is clicked",
  interrupted: "another app, such as a phone call, has the sound",
};

/** A microphone that the application asked for. */
interface Choice {
  /** A stream of the application's own, or `false` for none. */
  readonly own?: MediaStream | false | undefined;
  readonly constraints: MediaTrackConstraints;
  /** The choice before, which holds again if this one fails; none once this one is open. */
  before?: Choice | undefined;
  failed?: boolean;
}

/** What the page's side of a call tells. */
export interface PageListener {
  send(command: Command): void;
  error(error: VoxrelayError): void;
  /** Another microphone than before, or none. */
  microphone(event: MicrophoneEvent | undefined): void;
  speaker(event: SpeakerEvent): void;
  /** The sound that an error told of is back. */
  sounds(): void;
}

/** What is asked for by an option of this kind or by an id; of `constraints` an id takes the device alone, and nothing the system's default one. */
function choiceOf(microphone: ConnectOptions["microphone"] | string, constraints: MediaTrackConstraints): Choice {
  if (microphone === false || isStream(microphone)) return { own: microphone, constraints };
  if (typeof microphone === "object") return { constraints: microphone };
  const { deviceId: _, ...rest } = constraints;
  return { constraints: microphone ? { ...rest, deviceId: { exact: microphone } } : rest };
}

/** The id of the microphone that was given. */
function idOf(stream: MediaStream): string | undefined {
  return stream.getAudioTracks()[0]?.getSettings().deviceId;
}

/** Whether the browser gave another microphone than the one that was asked for: a wish (`ideal`, or a bare id) does not fail. */
function standsIn(stream: MediaStream, { deviceId }: MediaTrackConstraints): boolean {
  const given = idOf(stream);
  return Boolean(deviceId && given && !JSON.stringify(deviceId).includes(JSON.stringify(given)));
}

/** Microphone and loudspeaker of a call, and the page's own coming and going. */
export class CallPage {
  readonly #options: ConnectOptions;
  readonly #listener: PageListener;
  /** What was asked for last. */
  #choice: Choice;
  /** Streams of the application's, which are not stopped. */
  readonly #own = new WeakSet<MediaStream>();
  /** What is done before a call can connect. */
  #opening: Promise<void> | undefined;
  /** How many questions for a microphone the browser has not answered yet. */
  #asking = 0;
  /** Counts attempts to open a microphone. */
  #attempt = 0;
  /** The attempt whose microphone is open: what an earlier one brings is late. */
  #opened = 0;
  /** The default microphone is open in place of the chosen one. */
  #fallback = false;
  /** The chosen one, and the microphones among which it was asked for in vain; empty if it was not. */
  #inVain = "";
  /** The default microphone when it was last looked at. */
  #default: string | undefined;
  /** The microphone that is open before a context for it is there. */
  #waiting: MediaStream | undefined;
  #microphone: Microphone | undefined;
  /** The track whose end is known. */
  #ended: MediaStreamTrack | undefined;
  #context: AudioContext | undefined;
  #loudspeaker: Loudspeaker | undefined;
  /** A context of the SDK's own that nothing plays through yet. */
  #preparing: AudioContext | undefined;
  /** What is under way until something plays through another context. */
  #playing: Promise<void> | undefined;
  /** Resolves when what was shut is closed. */
  #gone = Promise.resolve();
  /** The context has run. */
  #hasRun = false;
  #volume: number;
  readonly #speaker: Speaker;
  readonly #awake = new Awake();
  readonly #watch = new Watch();
  /** Ends what goes on until the call is closed: listeners, and the look at the audio. */
  readonly #ends: (() => void)[] = [];
  /** Each reason to look at the microphone again has a timer of its own, so that none puts off another: devices settle, a track is muted. */
  #settling: ReturnType<typeof setTimeout> | undefined;
  #muted: ReturnType<typeof setTimeout> | undefined;
  #released = false;
  #closed = false;

  constructor(options: ConnectOptions, volume: number, listener: PageListener) {
    this.#volume = volume;
    this.#options = options;
    this.#listener = listener;
    const { microphone, speaker = "" } = options;
    this.#speaker = new Speaker(speaker, (event) => !this.#released && listener.speaker(event));
    this.#choice = choiceOf(microphone, {});
  }

  /** Opens the microphone once the engine has started, then the loudspeaker. */
  open(starting: Promise<void>): Promise<void> {
    return (this.#opening = starting.then(() => this.#open()));
  }

  async #open(): Promise<void> {
    if (this.#closed) return;
    const choice = this.#choice;
    // The microphone first: browsers let a page that captures make sound without another gesture. One that is not wanted any more is opened in
    // vain, and may be refused.
    let stream = await this.#request(choice).catch((thrown): undefined => {
      if (choice === this.#choice) throw thrown;
    });
    if (this.#closed || choice !== this.#choice) stream = this.#discard(stream);
    if (this.#closed) return;
    this.#waiting = stream;
    try {
      await this.#play();
      if (stream && choice === this.#choice) {
        this.#opened = this.#attempt;
        await this.#capture(stream, choice);
      }
    } catch (thrown) {
      this.#discard(stream);
      // Who does not speak can read what is answered.
      if (this.wantsMicrophone) throw thrown;
      this.#tellError(thrown as VoxrelayError);
    }
    if (!this.#closed) this.#listen();
  }

  /** Changes to another microphone, or with `false` to none; if it cannot be opened, the one before stays. */
  async setMicrophone(microphone: ConnectOptions["microphone"] | string): Promise<void> {
    const before = this.#choice;
    // Said at once, so that whatever opens the microphone again meanwhile opens the one that was asked for last.
    const choice: Choice = (this.#choice = { ...choiceOf(microphone, before.constraints), before });
    const attempt = ++this.#attempt;
    // Later on one that waits is let go of when the next one is there: that may be refused.
    if (!this.#context) this.#discard(this.#waiting);
    try {
      // There is nothing to listen with before there is sound.
      if (microphone !== false) await this.#opening;
      await this.#openMicrophone(choice, attempt);
      choice.before = undefined;
    } catch (thrown) {
      choice.failed = true;
      while (this.#choice.failed && this.#choice.before) this.#choice = this.#choice.before;
      throw thrown;
    }
  }

  /** Changes to another loudspeaker, or with an empty id to the system's; if it cannot be had, the one before stays. */
  setSpeaker(deviceId: string): Promise<void> {
    return this.#speaker.choose(deviceId);
  }

  setVolume(volume: number): void {
    this.#volume = volume;
    this.#loudspeaker?.setVolume(volume);
  }

  /**
   * Microphones may have come or gone: not every browser tells of every one. Looks for the chosen one: takes it if it is back, and the default
   * one if it is gone. Follows the default one where that is open and is another one by now. A chosen one that is there and is not given, as some
   * iPhones do, is asked for once until others are there: to open one may be told as a change, too.
   */
  devicesChanged(): void {
    this.#run(async () => {
      const before = this.#default;
      const inputs = await this.#inputs();
      const { own, constraints } = this.#choice;
      // An empty id, as of a choice in which nothing is chosen, is the default one's.
      const asked = constraints.deviceId && JSON.stringify(constraints.deviceId);
      const hasMoved = before && this.#default && before !== this.#default && (this.#fallback || !asked);
      const isThere = inputs.some((id) => asked?.includes(JSON.stringify(id)));
      const inVain = this.#inVain;
      this.#inVain = isThere && this.#fallback ? `${asked} ${inputs.sort().join()}` : "";
      const isBackOrGone = asked && this.#fallback === isThere && !(inVain && inVain === this.#inVain);
      if (own === undefined && (isBackOrGone || hasMoved)) await this.#reopenMicrophone();
      // It was given.
      if (!this.#fallback) this.#inVain = "";
    });
  }

  /** Whether the user is to be heard: not where none was asked for, or it was taken away. */
  get wantsMicrophone(): boolean {
    return this.#choice.own !== false;
  }

  /** Whether the call may have a microphone: not any more once it is hung up. */
  get isOpen(): boolean {
    return !this.#released;
  }

  /** Releases the microphone: the call is ending, but the agent may still be heard. */
  release(): void {
    this.#released = true;
    this.#discard(this.#waiting);
    this.#letGo();
    this.#awake.want(false);
  }

  /** Releases everything; resolves once the SDK's own contexts are closed. */
  close(): Promise<void> {
    this.release();
    this.#closed = true;
    for (const end of this.#ends.splice(0)) end();
    clearTimeout(this.#settling);
    clearTimeout(this.#muted);
    this.#shut(this.#loudspeaker);
    this.#shut(this.#preparing);
    this.#loudspeaker = this.#context = this.#preparing = undefined;
    return unlessAborted(AbortSignal.timeout(CLOSED_MS), this.#gone).catch(() => undefined);
  }

  /** Closes a context, or what plays through one, without waiting for it. */
  #shut(part: { close(): Promise<void> } | undefined): void {
    const before = this.#gone;
    const gone = (): Promise<void> => before;
    if (part) this.#gone = part.close().then(gone, gone);
  }

  /** Whether something else, such as a phone call, has the sound. */
  get #isInterrupted(): boolean {
    return !!this.#context && soundOf(this.#context) === "interrupted";
  }

  /** Gives the microphone back; one that goes on in another place `isKept` open. */
  #letGo(isKept?: boolean): void {
    this.#microphone?.close(isKept);
    this.#microphone = undefined;
  }

  /** Opens a microphone in place of the one that is open, unless a later attempt was faster: the chosen one, or what is `asked` for in its place. */
  async #openMicrophone(choice: Choice, attempt = ++this.#attempt, asked = choice): Promise<void> {
    // It was opened with the call, or a later one was.
    if (attempt <= this.#opened) return;
    const stream = await this.#request(asked);
    if (attempt <= this.#opened) return this.#discard(stream);
    this.#opened = attempt;
    this.#discard(this.#waiting);
    if (!stream) {
      if (this.#microphone) this.#listener.microphone(undefined);
      this.#awake.want(false);
      return this.#letGo();
    }
    await this.#capture(stream, choice);
  }

  /** Opens the chosen microphone again or, while it cannot be opened, the default one. A stream of the application's own that has ended is its to replace. */
  async #reopenMicrophone(): Promise<void> {
    const choice = this.#choice;
    const { own } = choice;
    if (own && own.getAudioTracks()[0]?.readyState !== "live") return;
    try {
      await this.#openMicrophone(choice);
    } catch (thrown) {
      // Whoever said no is not asked for another one.
      const isRefused = /denied|dismissed|blocked/.test((thrown as VoxrelayError).code);
      if (isRefused || !choice.constraints.deviceId || choice !== this.#choice) throw thrown;
      await this.#openMicrophone(choice, undefined, choiceOf(undefined, choice.constraints));
    }
  }

  /** Asks for the microphone; nothing if the application wants none. */
  async #request({ own, constraints, before }: Choice): Promise<MediaStream | undefined> {
    if (own) this.#own.add(own);
    if (own !== undefined) return own || undefined;
    this.#asking += 1;
    try {
      let stream = await askMicrophone(constraints);
      const given = idOf(stream);
      // Asked for none in particular, Firefox gives one that the page may open without a question, such as the one that is open, or was within the
      // hour. The system's is asked for by its id then: every browser names it first.
      if (before?.constraints.deviceId && !constraints.deviceId && given === this.#microphone?.deviceId) {
        const [first = given] = await this.#inputs().catch(() => []);
        if (first !== given) {
          this.#discard(stream);
          stream = await askMicrophone({ ...constraints, deviceId: { exact: first! } });
        }
      }
      return stream;
    } catch (thrown) {
      throw failure(...refusedMicrophone(thrown), thrown);
    } finally {
      this.#asking -= 1;
    }
  }

  /**
   * Listens to a stream, in place of the one before. Some versions of Firefox connect none to a context of another rate, as when a headset was
   * plugged in: one of the SDK's own is made anew then, once, and has the rate of the devices that there are. Meanwhile another microphone may have
   * been opened, or this one taken away.
   */
  async #capture(stream: MediaStream, { constraints }: Choice): Promise<void> {
    const opened = this.#opened;
    const fallback = standsIn(stream, constraints);
    try {
      try {
        this.#wire(stream, fallback);
      } catch (thrown) {
        if (!this.#context || this.#options.audioContext) throw thrown;
        this.#waiting = stream;
        await this.#play();
        if (opened !== this.#opened) return this.#discard(stream);
        this.#wire(stream, fallback);
      }
    } catch (thrown) {
      this.#discard(stream);
      throw thrown;
    } finally {
      this.#waiting = undefined;
    }
  }

  /** Connects a stream to the engine, in place of the one before. */
  #wire(stream: MediaStream, fallback = this.#fallback): void {
    if (this.#released) return this.#discard(stream);
    const context = this.#context;
    try {
      if (!context) throw "there is no sound on this page";
      const [microphone, port] = wireMicrophone(context, stream, this.#own.has(stream), (event) => {
        if (event === "ended") return this.#lookForEnd();
        this.#tellMicrophone(microphone, event === "unmute");
        if (event === "mute") {
          clearTimeout(this.#muted);
          this.#muted = setTimeout(() => this.#mend(), MUTED_FOR_MS);
        }
      });
      this.#listener.send(["tap", port, context.sampleRate]);
      this.#fallback = fallback;
      this.#letGo(this.#microphone?.stream === stream);
      this.#microphone = microphone;
      this.#stayAwake();
      this.#tellMicrophone(microphone, microphone.isLive());
    } catch (thrown) {
      const isOfRates = this.#options.audioContext && /rate/.test(String(thrown));
      throw noAudio(thrown, isOfRates ? "The rate of `audioContext` is not the device's: make it without `sampleRate`, or leave it out." : undefined);
    }
    void this.#inputs().catch(() => undefined);
  }

  #tellMicrophone({ label, deviceId }: Microphone, live: boolean): void {
    this.#listener.microphone(Object.freeze({ label, deviceId, live, fallback: this.#fallback }));
  }

  /** While somebody is to be heard the screen stays on, unless the application does not want that. */
  #stayAwake(): void {
    if (this.#microphone && this.#options.wakeLock !== false) this.#awake.want(true);
  }

  /** Plays, in place of what played before: once for all who ask for it meanwhile. */
  #play(): Promise<void> {
    return (this.#playing ??= this.#playAnew().finally(() => (this.#playing = undefined)));
  }

  /** Plays through another context, and listens through it to the microphone that is open: the browser may give no other. */
  async #playAnew(): Promise<void> {
    const { audioContext: own, output } = this.#options;
    try {
      // The device's own rate: Firefox does not connect nodes of different rates, and the engine resamples better.
      const context = own ?? (this.#preparing = new AudioContext());
      await loadWorklet(context, this.#options);
      if (!this.#closed) {
        const [loudspeaker, port] = wireLoudspeaker(context, !!own, this.#volume, output);
        this.#listener.send(["speaker", port, context.sampleRate]);
        this.#shut(this.#loudspeaker);
        this.#loudspeaker = loudspeaker;
        this.#context = context;
        this.#preparing = undefined;
        this.#speaker.use(context);
        this.#resume();
        const stream = this.#microphone?.stream;
        try {
          if (stream) this.#wire(stream);
        } catch {
          // It has the rate of before. That one has ended is seen soon, and another is asked for; one of the application's own is heard no more.
          this.#discard(stream);
          if (this.#own.has(stream!)) {
            this.#letGo();
            this.#awake.want(false);
            this.#listener.microphone(undefined);
          }
        }
      }
    } catch (thrown) {
      throw noAudio(thrown);
    } finally {
      // One that nothing plays through, unless it was closed with the call.
      this.#shut(this.#preparing);
      this.#preparing = undefined;
    }
  }

  /**
   * Resumes a context that the browser holds back: at the start, after a gesture, or when the page comes back. An application's own one that has
   * run was paused by the application. The end of an interruption is the watch's to see.
   */
  #resume(isInterrupted = this.#isInterrupted): void {
    if (isInterrupted || (this.#options.audioContext && this.#hasRun)) return;
    // Without a gesture WebKit never answers this, so nobody waits for it: the watch sees what came of it.
    void this.#context?.resume().then(
      () => (this.#hasRun = true),
      () => undefined,
    );
  }

  #discard(stream: MediaStream | undefined): undefined {
    if (stream && !this.#own.has(stream)) stream.getTracks().forEach((track) => track.stop());
  }

  /** The ids of the microphones that there are; looks at which one is the default, and for the loudspeaker, too. */
  async #inputs(): Promise<string[]> {
    const devices = await navigator.mediaDevices.enumerateDevices();
    this.#speaker.look(devices.filter(({ kind }) => kind === "audiooutput").map(({ deviceId }) => deviceId));
    const inputs = devices.filter(({ kind }) => kind === "audioinput");
    this.#default = inputs.find(({ deviceId }) => deviceId === DEFAULT_ID)?.groupId;
    return inputs.map(({ deviceId }) => deviceId);
  }

  /** Sees that the microphone has ended, once, whether the browser tells of it or not. */
  #lookForEnd(): void {
    const microphone = this.#microphone;
    if (microphone?.track.readyState !== "ended" || microphone.track === this.#ended) return;
    this.#ended = microphone.track;
    this.#tellMicrophone(microphone, false);
    this.#mend();
  }

  /**
   * Asks for the microphone again if sound can no longer come from this one, or if one is wanted, none is open and none is being asked for. Whoever
   * interrupts the sound has the microphone, too.
   */
  #mend(isInterrupted = this.#isInterrupted): void {
    const isAway = this.#microphone ? !this.#microphone.isLive() : this.wantsMicrophone && !this.#asking;
    if (isAway && !isInterrupted) this.#run(() => this.#reopenMicrophone());
  }

  /** Plays and listens anew, and asks for the microphone again. */
  async #rebuild(): Promise<void> {
    await this.#play();
    await this.#reopenMicrophone().catch((thrown: unknown) => {
      // Whoever is heard has no trouble.
      if (!this.#microphone?.isLive()) throw thrown;
    });
  }

  /** Something that nobody waits for; what goes wrong is told as an event. */
  #run(work: () => Promise<void>): void {
    if (!this.#released) work().catch((thrown: unknown) => this.#tellError(thrown as VoxrelayError));
  }

  /** Nobody can mend what is wrong with a call that is over or hung up. */
  #tellError(error: VoxrelayError): void {
    if (!this.#released) this.#listener.error(error);
  }

  /** Looks whether the microphone is there, and whether the context's clock moves. */
  #look(): void {
    this.#lookForEnd();
    const context = this.#context;
    if (!context) return;
    const sound = soundOf(context);
    // An application that gave the context may also pause it. What interrupts it is never the application.
    if (this.#options.audioContext && sound !== "interrupted" && this.#watch.sound !== "interrupted") return;
    const { tell, isHeard, resume, isBack, rebuild } = this.#watch.look(context.currentTime, sound);
    if (tell) this.#tellError(noAudio(`${sound}: ${CAUSES[sound]}`));
    if (isHeard) this.#listener.sounds();
    if (resume) void context.resume().catch(() => undefined);
    if (isBack) this.#mend();
    // Another context would come no sooner than the one that is on its way.
    if (rebuild && !this.#playing) this.#run(() => this.#rebuild());
  }

  /** Follows the page, its devices and its audio until the call is closed. */
  #listen(): void {
    const on = (target: EventTarget | undefined, types: string, listener: (event: Event) => void): void => {
      for (const type of types.split(" ")) {
        target?.addEventListener(type, listener);
        this.#ends.push(() => target?.removeEventListener(type, listener));
      }
    };
    const { send } = this.#listener;
    on(window, "online offline", ({ type }) => send([type as "online" | "offline"]));
    // The page may go into the back/forward cache, where neither a socket nor a microphone may stay open.
    on(window, "pagehide", () => {
      send(["hold", true]);
      if (this.#microphone) this.#tellMicrophone(this.#microphone, false);
      this.#letGo();
    });
    on(window, "pageshow", (event) => {
      if (!(event as PageTransitionEvent).persisted) return;
      send(["hold", false]);
      this.#resume(false);
      this.#mend(false);
    });
    on(document, "visibilitychange resume", () => {
      if (document.hidden) return;
      send(["woke"]);
      this.#resume();
      this.#stayAwake();
      this.#mend();
    });
    // A context that may only run after a gesture gets one.
    on(document, "pointerup keyup", () => this.#resume());
    on(navigator.mediaDevices, "devicechange", () => {
      clearTimeout(this.#settling);
      this.#settling = setTimeout(() => {
        this.devicesChanged();
        this.#mend();
      }, SETTLE_MS);
    });
    // Who has taken the permission back may give it again, which is no change of devices. Not every browser knows it by this name.
    void navigator.permissions?.query({ name: "microphone" as PermissionName }).then(
      (permission) => {
        if (!this.#closed) on(permission, "change", () => permission.state === "granted" && !this.#asking && this.#mend());
      },
      () => undefined,
    );
    // While the machine sleeps, `performance.now()` stands still in most systems, here and in the engine: no timer of theirs is late when it wakes.
    let before = Infinity;
    const looking = setInterval(() => {
      const apart = Date.now() - performance.now();
      if (apart > before + SLEPT_MS) send(["woke"]);
      before = apart;
      this.#look();
    }, WATCH_MS);
    this.#ends.push(() => clearInterval(looking));
  }
}

function noAudio(cause: unknown, message: string = ERROR_CODES.audio_unavailable.message): VoxrelayError {
  return failure("audio_unavailable", message, cause);
}

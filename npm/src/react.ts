/**
 * A call in an app of React 18 or later.
 *
 * @packageDocumentation
 */

import { type HTMLAttributes, type ReactElement, type ReactNode, type RefAttributes, createContext, createElement, useContext, useEffect, useInsertionEffect, useState, useSyncExternalStore } from "react";

import type { GivenTexts, VoiceCallElement } from "./element.js";
import { Calls } from "./react/calls.js";
import type { Call, CallSnapshot, ConnectOptions, Levels } from "./index.js";

/** What a component shows of a call and does with it: the call's snapshot, and these. */
export interface UsedCall extends CallSnapshot {
  /**
   * The call itself, for `mute`, `sendText` and all else, also before {@link connect}. Each `connect` after an end makes another one, of which
   * only `muted` and `volume` are as before.
   */
  readonly call: Call;
  /**
   * Makes a call with the options of now, or joins the one that is there: from a click. Once the component that has the call is unmounted it makes
   * none, and rejects with `call_over`. Always the same function.
   */
  readonly connect: () => Promise<void>;
  /** Hangs up, if there is a call. Always the same function. */
  readonly close: () => Promise<void>;
}

/**
 * What `<voice-call>` takes in JSX, once `voxrelay/element` is imported: its attributes, and what every element takes. React sets properties that are
 * no attributes, such as `options`, from version 19 on, and none of an element that it takes over from a server's page: give these by a `ref`.
 */
export type VoiceCallProps = HTMLAttributes<VoiceCallElement> &
  RefAttributes<VoiceCallElement> &
  Partial<Pick<VoiceCallElement, "relay" | "tokenUrl" | "agent" | "conversation" | "mode" | "consent" | "theme" | "token" | "options">> & {
    /** Where the page's own server gives an access token. */
    readonly "token-url"?: string | undefined;
    /** Words in place of the English ones. */
    readonly texts?: GivenTexts | undefined;
  };

declare module "react" {
  namespace JSX {
    interface IntrinsicElements {
      /** A whole call. */
      "voice-call": VoiceCallProps;
    }
  }
}

const Provided = createContext<Calls | undefined>(undefined);

function useCalls(options: ConnectOptions): Calls {
  const [calls] = useState(() => new Calls(options));
  useInsertionEffect(() => {
    calls.options = options;
  });
  useEffect(() => {
    calls.isGone = false;
    return () => {
      calls.isGone = true;
      void calls.close();
    };
  }, [calls]);
  return calls;
}

function useSnapshot(calls: Calls): UsedCall {
  const snapshot = useSyncExternalStore(calls.subscribe, calls.snapshot, calls.snapshot);
  const { call, connect, close } = calls;
  return { ...snapshot, call, connect, close };
}

/**
 * A call that is this component's own: it is hung up when the component is unmounted. The options may be other objects at each rendering: a
 * call under way has their newest functions, and the next call has all of them.
 *
 * @throws a `TypeError` or `RangeError` for options that cannot be meant
 */
export function useCall(options: ConnectOptions): UsedCall;
/** The call of the {@link CallProvider} around this component. */
export function useCall(): UsedCall;
export function useCall(options?: ConnectOptions): UsedCall {
  // Whether there are options is written in the component's code, and is the same at each rendering.
  return options ? useSnapshot(useCalls(options)) : useSnapshot(useProvided());
}

function useProvided(): Calls {
  const calls = useContext(Provided);
  if (!calls) throw new TypeError("useCall() without options needs a <CallProvider> around the component");
  return calls;
}

/** One call for all components inside, which have it by {@link useCall}. It is hung up when the provider is unmounted. */
export function CallProvider({ options, children }: { readonly options: ConnectOptions; readonly children?: ReactNode }): ReactElement {
  return createElement(Provided.Provider, { value: useCalls(options) }, children);
}

/** How loud a call is: for the component that shows it, which is rendered 20 times a second. In dBFS; -100 stands for silence. */
export function useLevels({ levels }: { readonly levels: Levels }): Pick<Levels, "input" | "output"> {
  const input = useSyncExternalStore(levels.subscribe, () => levels.input, () => levels.input);
  const output = useSyncExternalStore(levels.subscribe, () => levels.output, () => levels.output);
  return { input, output };
}

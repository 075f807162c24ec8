// What the documents' snippets take for granted: the reader's own functions, buttons and libraries.

/** The global of the script tag. */
declare const Voxrelay: typeof import("voxrelay");

declare const url: string;
declare const token: () => Promise<string>;
declare const id: string;
/** A call that the page has begun. */
declare const call: import("voxrelay").VoiceClient;
declare function tablesFreeAt(time: string): Promise<number[]>;
declare const button: HTMLButtonElement;
declare const hangUp: HTMLButtonElement;
declare function show(...what: unknown[]): void;
declare function render(what: object): void;
declare function warn(what: string): void;

/** `@supabase/supabase-js`, whose own types are not this repository's to check. */
declare const supabase: any;

interface Document {
  /** The reader knows which element it is. */
  querySelector(selectors: string): any;
}

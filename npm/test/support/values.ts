// Arguments of all sorts.

/** One of each type; a parameter refuses all of them but those that it says may be. */
export const VALUES: Record<string, unknown> = {
  undefined: undefined,
  null: null,
  true: true,
  false: false,
  zero: 0,
  five: 5,
  negative: -1,
  NaN: Number.NaN,
  Infinity: Number.POSITIVE_INFINITY,
  bigint: 5n,
  symbol: Symbol("s"),
  empty: "",
  blank: " \t",
  text: "x",
  object: {},
  array: [],
  texts: ["x"],
  function: () => undefined,
  date: new Date(0),
  map: new Map(),
  // Nothing that has to be written out, as JSON has.
  circular: Object.defineProperty({}, "self", { get() { return this; }, enumerable: true }),
};

/** What a parameter may be, of these values. */
export type May = readonly (keyof typeof VALUES)[];

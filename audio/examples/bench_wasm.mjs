// Times the resampler as wasm in Node: node bench_wasm.mjs PATH/bench_wasm.js [--json]
// The module is examples/bench_wasm.rs, bound by wasm-bindgen for Node. Prints microseconds per 128-sample block.
import { createRequire } from "node:module";
import { resolve } from "node:path";

const [path, ...options] = process.argv.slice(2);
if (!path) {
  console.error("usage: node bench_wasm.mjs PATH/bench_wasm.js [--json]");
  process.exit(2);
}
const { Bench } = createRequire(import.meta.url)(resolve(path));

const GOAL_US = 1.5;
const BLOCKS = 20_000;
const RUNS = 31;

function measure(rate) {
  const bench = new Bench(rate);
  bench.run(BLOCKS); // compiled by the optimising tier from here on
  const micros = Array.from({ length: RUNS }, () => {
    const start = process.hrtime.bigint();
    bench.run(BLOCKS);
    return Number(process.hrtime.bigint() - start) / 1_000 / BLOCKS;
  }).sort((a, b) => a - b);
  bench.free();
  return { from_hz: rate, to_hz: 16_000, block: 128, min_us: micros[0], median_us: micros[RUNS >> 1], goal_us: GOAL_US };
}

const results = [48_000, 44_100].map(measure);
if (options.includes("--json")) {
  console.log(JSON.stringify(results));
} else {
  for (const { from_hz, min_us, median_us } of results) {
    const goal = from_hz === 48_000 ? ` (goal <= ${GOAL_US})` : "";
    console.log(`${from_hz} Hz to 16000 Hz, wasm: ${min_us.toFixed(3)} us min, ${median_us.toFixed(3)} us median per block of 128${goal}`);
  }
}

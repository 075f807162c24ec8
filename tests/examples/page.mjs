// @ts-check
// What a call costs the page that makes it, as a table beside its goals: `cargo xtask bench page` builds what it needs and runs
// `node tests/examples/page.mjs [--seconds 600] [--clicks 30] [--json]`, which fails, after all is printed, where a goal is missed.

import { parseArgs } from "node:util";

import { measurePage } from "../browser/support/page-cost.mjs";
import { isGood, rows, table } from "../browser/support/page-goals.mjs";
import { Stage } from "../browser/support/stage.mjs";

const { values } = parseArgs({
  options: { seconds: { type: "string", default: "600" }, clicks: { type: "string", default: "30" }, json: { type: "boolean", default: false } },
});
const stage = new Stage();
try {
  const cost = await measurePage(stage, { seconds: Number(values.seconds), clicks: Number(values.clicks) });
  const judged = rows(cost);
  console.log(values.json ? JSON.stringify({ ...cost, goals: judged.filter(({ goal }) => goal) }) : table(cost, judged));
  if (!isGood(judged)) process.exitCode = 1;
} finally {
  await stage.clear();
}

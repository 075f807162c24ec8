// @ts-check
// Every example, run as its own first lines say.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { after, afterEach, describe, test } from "node:test";

import { launch } from "../browser/support/chromium.mjs";
import { freePort } from "../browser/support/free-port.mjs";
import { CACHE, ROOT, npm } from "../browser/support/installed.mjs";
import { Relay, until } from "../browser/support/relay.mjs";
import { Stage } from "../browser/support/stage.mjs";
import { Fakes } from "../providers/support/fakes.mjs";
import { assertAnswers, instructions, projectOf, relayAsToldIn, server } from "./example.mjs";
import { assertRareCall, serve } from "./workshop.mjs";

/** Where `cargo xtask demo` listens unless it is told otherwise. */
const RELAY = "http://127.0.0.1:8080";

/** @typedef {import("./example.mjs").Use} Use */

/** @type {Record<string, Use>} */
const USES = {
  "push-to-talk.html": {
    after: async (page) => {
      const talk = page.locator("#talk:enabled");
      await talk.hover();
      await page.mouse.down();
      assert.equal(await talk.getAttribute("aria-pressed"), "true");
      await sleep(3_000);
      await page.mouse.up();
      assert.equal(await talk.getAttribute("aria-pressed"), "false");
    },
  },
  "text-and-voice.html": {
    before: async (page) => {
      await page.locator("[name=text]").fill("Hello");
      await page.keyboard.press("Enter");
      await until("what is typed is answered", async () => (await page.locator("#said li").count()) === 2);
    },
  },
  "visualiser.html": {
    after: async (page) => {
      const drawn = () => page.locator("#voices").evaluate((/** @type {HTMLCanvasElement} */ canvas) => {
        const pixels = canvas.getContext("2d")?.getImageData(0, 0, canvas.width, canvas.height / 2).data ?? [];
        return pixels.some((value) => value > 0);
      });
      await until("the user's voice is drawn", drawn);
    },
  },
};

describe("the examples", () => {
  const stage = new Stage();
  afterEach(() => stage.clear());
  after(() => stage.clear());

  /** `cargo xtask demo` ends as this program, on port 8080. */
  async function demo() {
    const relay = await Relay.start();
    stage.after(() => relay.stop());
    return `http://127.0.0.1:${relay.port}`;
  }

  for (const page of ["minimal.html", "push-to-talk.html", "visualiser.html", "text-and-voice.html"]) {
    test(`${page} calls at the address that its first lines name`, async () => {
      const first = instructions(`pages/${page}`);
      const address = /`cargo xtask demo`, then open (http:\S+\.html)\./.exec(first)?.[1];
      assert.equal(address, `${RELAY}/${page}`);
      await assertAnswers(stage, `${await demo()}/${page}`, "#said", USES[page]);
    });
  }

  test("the demo page calls at the address that the command prints", async () => {
    const first = instructions("demo/index.html");
    assert.match(first, /`cargo xtask demo`, then open the address it prints/);
    const relay = await Relay.start();
    stage.after(() => relay.stop());
    const address = await until("it prints the address", () => /open (http:\S+) in a browser/.exec(relay.log)?.[1]);
    assert.equal(address, `http://127.0.0.1:${relay.port}/`);
    await assertAnswers(stage, address, "#captions");
  });

  for (const [name, idea] of [["esm", "the npm project"], ["react", "the React app"]]) {
    test(`${idea} calls from Vite's dev server and from its build, by the commands of its first lines`, async () => {
      const text = instructions(`${name}/index.html`);
      const commands = [...text.matchAll(/`([^`]+)`/g)].map(([, command]) => command);
      assert.deepEqual(commands, ["cargo xtask demo", "npm install", "npm run dev", "npm run build", "npm run preview"]);
      const project = projectOf(name);
      const relay = await demo();
      npm(project, "install", "--no-audit", "--no-fund", "--loglevel=error");
      await assertAnswers(stage, await server(stage, project, "dev", relay), "#captions");
      npm(project, "run", "build");
      await assertAnswers(stage, await server(stage, project, "preview", relay), "#captions");
    });
  }

  test("the Next.js app calls with a token of its own, by the commands of its first lines", async () => {
    const text = readFileSync(join(ROOT, "examples", "next", "app", "page.jsx"), "utf8");
    const first = text.slice(0, text.indexOf("\n\n")).replaceAll(/\s*\n\/\/ /g, " ");
    assert.match(first, /`npm install`, `npm run build` and `npm start`/);
    const project = projectOf("next");
    withRarePage(project);
    npm(project, "install", "--no-audit", "--no-fund", "--loglevel=error");
    npm(project, "run", "build");
    const port = await freePort();
    const origin = `http://127.0.0.1:${port}`;
    const relay = await relayAsToldIn(stage, first, origin);
    await serve(stage, project, "start", { PORT: String(port), RELAY: `http://127.0.0.1:${relay.port}` });
    await assertAnswers(stage, origin, "#captions", {
      last: async (page, complaints) => {
        assert.deepEqual(relay.sessions().map(({ user_sub, account }) => [user_sub, account]), [["ada", "example"]]);
        await page.goto(`${origin}/rare?relay=${encodeURIComponent(`ws://127.0.0.1:${relay.port}/v1/call`)}`);
        await assertRareCall(page, complaints);
      },
    });
  });

  test("the token server gives a token to who is signed in and to nobody else, by the commands of its first lines", async () => {
    const folder = join(CACHE, "examples", "token-server");
    rmSync(folder, { recursive: true, force: true });
    cpSync(join(ROOT, "examples", "token-server"), folder, { recursive: true });
    const text = readFileSync(join(folder, "server.mjs"), "utf8");
    const first = text.slice(0, text.indexOf("\n\n")).replaceAll(/\s*\n\/\/ /g, " ");
    assert.match(first, /`npm install && npm start`/);
    npm(folder, "install", "--no-audit", "--no-fund", "--loglevel=error");
    const port = await freePort();
    const origin = `http://127.0.0.1:${port}`;
    const relay = await relayAsToldIn(stage, first, origin);
    await serve(stage, folder, "start", { PORT: String(port), RELAY: `http://127.0.0.1:${relay.port}` });
    assert.equal((await fetch(`${origin}/voice-token`)).status, 401);
    await assertAnswers(stage, origin, "#said", { before: (page) => page.locator("#sign-in").click() });
    assert.deepEqual(relay.sessions().map(({ user_sub, account }) => [user_sub, account]), [["ada", "example"]]);
  });

  test("the page with tools says which tables are free and its backend books one, by the commands of the backend's first lines", async () => {
    const text = readFileSync(join(ROOT, "examples", "tools", "backend.mjs"), "utf8");
    const first = text.slice(0, text.indexOf("\n\n")).replaceAll(/\s*\n\/\/ /g, " ");
    const [, program = ""] = /`node (\S+)`/.exec(first) ?? [];
    const [, command = "", settings = ""] = /`voxrelay ([a-z]+) --config ([^`]+)`/.exec(first) ?? [];
    assert.deepEqual([program, command, settings], ["examples/tools/backend.mjs", "dev", "examples/tools/voxrelay.toml"]);
    const fakes = await Fakes.start();
    stage.after(() => fakes.stop());
    const tool = (/** @type {string} */ name, /** @type {object} */ args) => ({ think: { tools: [{ name, arguments: args }] } });
    const says = (/** @type {string} */ answer) => ({ think: { text: answer } });
    await fakes.script({
      "anthropic.messages": [
        tool("free_tables", { at: "20:00" }),
        says("Tables one to four are free."),
        tool("book_table", { table: 4, at: "20:00" }),
        says("Table four is yours."),
      ],
    });
    // Only what stands for the world around the example is other than it says: the model's address and key, and the port, which was free.
    const port = await freePort();
    const origin = `http://127.0.0.1:${port}`;
    const relay = await Relay.run([command, "--config", join(ROOT, settings)], {
      VOXRELAY_ORIGINS: origin,
      VOXRELAY_TOOLS__BOOK_TABLE__URL: `${origin}/tools/book`,
      VOXRELAY_PROVIDERS__CLAUDE__URL: `${fakes.url}/v1`,
      VOXRELAY_PROVIDERS__CLAUDE__KEY: fakes.key,
    });
    stage.after(() => relay.stop());
    const env = { ...process.env, PORT: String(port), RELAY: `http://127.0.0.1:${relay.port}` };
    const backend = spawn(process.execPath, [join(ROOT, program)], { env, stdio: ["ignore", "pipe", "inherit"] });
    stage.after(() => backend.kill());
    await once(backend.stdout, "data");

    const page = await (await launch(stage)).newPage();
    await page.goto(origin);
    const said = async () => (await page.locator("#said").textContent()) ?? "";
    const answers = (/** @type {string} */ answer) =>
      until(`the agent says ${answer}`, async () => (await said()).includes(`agent: ${answer}`)).catch(async (error) => {
        throw new Error(`${error.message}; the page says: ${await said()}; the relay says:\n${relay.log}`);
      });
    await page.locator("[name=text]").fill("Is there a table at eight?");
    await page.keyboard.press("Enter");
    await answers("Tables one to four are free.");
    await until("what was sent is gone from its field", async () => (await page.locator("[name=text]").inputValue()) === "");
    await page.locator("[name=text]").fill("Book table four, please.");
    await page.keyboard.press("Enter");
    await answers("Table four is yours.");
    assert.deepEqual(Object.keys(/** @type {object} */ (await (await fetch(`${origin}/booked`)).json())), ["4 at 20:00"]);
    const told = JSON.stringify((await fakes.requests()).map(({ body }) => body?.messages?.at(-1)));
    for (const result of [{ tables: [1, 2, 3, 4] }, { booked: true, table: 4, at: "20:00" }]) {
      // As a string within what is a string by now.
      assert.ok(told.includes(JSON.stringify(JSON.stringify(result)).slice(1, -1)), told);
    }
  });
});

/** Adds a page with the call that needs all that is fetched later, which the same build makes. @param {string} project */
function withRarePage(project) {
  const here = join(ROOT, "tests", "bundlers");
  const page = readFileSync(join(here, "next", "app", "page.jsx"), "utf8");
  mkdirSync(join(project, "app", "rare"));
  writeFileSync(join(project, "app", "rare", "page.jsx"), page.replace('"../call.js"', '"../../call.js"'));
  cpSync(join(here, "app", "call.js"), join(project, "call.js"));
}

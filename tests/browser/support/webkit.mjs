// @ts-check
// A real WebKit, of GTK, whose microphones are its own mocks: each hears a hum and a beep.

import { spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { createInterface } from "node:readline";

import { Builder, By, Capabilities } from "selenium-webdriver";

import { freePort } from "./free-port.mjs";
import { until } from "./relay.mjs";

/** Where Debian puts what is no program for people, by the machine's architecture. */
const LIBRARIES = "/usr/lib";
const SCRIPT_MS = 120_000;

/**
 * Starts a browser that is closed when the scenario is over.
 * @param {import("./stage.mjs").Stage} stage
 * @returns {Promise<import("./engines.mjs").Engine>}
 */
export async function launch(stage) {
  const display = await startDisplay(stage);
  const port = await freePort();
  const driver = spawn("WebKitWebDriver", [`--port=${port}`], { env: { ...process.env, DISPLAY: display }, stdio: "ignore" });
  stage.after(() => driver.kill("SIGKILL"));
  const server = `http://127.0.0.1:${port}`;
  await until("WebKitWebDriver answers", () => fetch(`${server}/status`).then(({ ok }) => ok, () => false));
  const wanted = new Capabilities();
  wanted.setBrowserName("MiniBrowser");
  wanted.set("timeouts", { script: SCRIPT_MS });
  wanted.set("webkitgtk:browserOptions", {
    binary: miniBrowser(),
    args: ["--automation", "--enable-mock-capture-devices=true"],
  });
  const browser = await new Builder().usingServer(server).withCapabilities(wanted).build();
  stage.after(() => browser.quit());
  const capabilities = await browser.getCapabilities();
  return {
    version: String(capabilities.getBrowserVersion()),
    microphones: ["Mock audio device 1", "Mock audio device 2"],
    isTold: false,
    async open(url) {
      await browser.get(url);
      const own = await browser.getWindowHandle();
      return {
        evaluate: (work, argument) => browser.executeScript(`return (${work})(arguments[0])`, argument),
        click: () => browser.findElement(By.css("html")).click(),
        hide: () => browser.switchTo().newWindow("tab"),
        show: () => browser.switchTo().window(own),
      };
    },
    speak: () => undefined,
    unplug: undefined,
  };
}

/** Starts an X server that shows nothing. @param {import("./stage.mjs").Stage} stage @returns {Promise<string>} Its name. */
async function startDisplay(stage) {
  const server = spawn("Xvfb", ["-displayfd", "1", "-screen", "0", "1280x800x24", "-nolisten", "tcp"], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  stage.after(() => server.kill("SIGKILL"));
  for await (const line of createInterface({ input: server.stdout })) return `:${line}`;
  throw new Error("Xvfb ended before it said its display");
}

/** The browser that comes with the driver. */
function miniBrowser() {
  if (process.env.E2E_WEBKIT) return process.env.E2E_WEBKIT;
  const found = readdirSync(LIBRARIES)
    .flatMap((machine) => ["4.1", "4.0"].map((version) => `${LIBRARIES}/${machine}/webkit2gtk-${version}/MiniBrowser`))
    .find((path) => existsSync(path));
  if (!found) throw new Error("there is no MiniBrowser: install webkit2gtk-driver");
  return found;
}

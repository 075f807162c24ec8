// The screen, which stays on as long as somebody is to be heard.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Call } from "../src/call.js";
import { OPTIONS, browser, until } from "./support/browser.js";

beforeEach(() => browser.reset());

const isOn = (): boolean => browser.left().locks === 1;

test("the screen stays on while a microphone is open, and no longer", async () => {
  const call = new Call(OPTIONS);
  assert.equal(browser.locks.length, 0);
  await call.connect();
  await until(isOn, "it is asked for");
  await call.setMicrophone("other");
  await call.setMicrophone(false);
  await until(() => !isOn(), "without a microphone it is not needed");
  await call.setMicrophone();
  await until(isOn, "it is asked for again");
  assert.equal(browser.locks.length, 2, "another microphone needs no other one");
  await call.close();
  await until(() => !isOn(), "after the call it is given back");
});

test("what the browser takes back from a hidden page is asked for when the page is seen again", async () => {
  const call = new Call(OPTIONS);
  await call.connect();
  await until(isOn, "it is asked for");
  await browser.locks[0]!.release();
  browser.document.dispatchEvent(new Event("visibilitychange"));
  await until(isOn, "it is asked for again");
  await call.close();
});

test("a call that is hung up while the browser thinks about it leaves nothing on", async () => {
  let answer = (): void => undefined;
  browser.locking = () => new Promise((resolve) => (answer = resolve));
  const call = new Call(OPTIONS);
  await call.connect();
  await call.close();
  answer();
  await until(() => browser.locks.length === 1 && !isOn(), "it is given back at once");
});

test("a call without a microphone, or whose page does not want it, lets the screen go off, and a refusal is no error", async () => {
  for (const options of [{ microphone: false as const }, { wakeLock: false }]) {
    const call = new Call({ ...OPTIONS, ...options });
    await call.connect();
    await call.close();
    assert.equal(browser.locks.length, 0);
  }
  browser.locking = () => Promise.reject(new DOMException("the battery is low", "NotAllowedError"));
  const call = new Call(OPTIONS);
  await call.connect();
  assert.equal(call.snapshot.error, undefined);
  await call.close();
});

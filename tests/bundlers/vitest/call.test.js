import { expect, test, vi } from "vitest";
import { VoiceClient, VoxrelayError } from "voxrelay";

test("the package is imported as it is, and says what it lacks", async () => {
  const call = VoiceClient.connect({ url: "ws://127.0.0.1:9/v1/call", token: () => "a token" });
  await expect(call).rejects.toBeInstanceOf(VoxrelayError);
});

test("an app's code runs with a call of its own making", async () => {
  const connect = vi.spyOn(VoiceClient, "connect").mockResolvedValue({ engine: "worker" });
  const { call } = await import("./call.js");
  await call(VoiceClient);
  expect(connect).toHaveBeenCalledOnce();
  expect(document.documentElement.dataset.engine).toBe("worker");
});

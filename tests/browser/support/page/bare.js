// @ts-check
// Microphone, worklet, WebSocket: chunks as large and as many as a call's, without any of what makes a call survive.

{
  const HEADER_BYTES = 12;
  const CHUNK = 1_600;
  const BLOCKS = `registerProcessor("blocks", class extends AudioWorkletProcessor {
    block = new Float32Array(Math.floor(sampleRate / 10));
    filled = 0;
    process([[channel]]) {
      for (const sample of channel ?? []) {
        this.block[this.filled++] = sample;
        if (this.filled === this.block.length) {
          this.port.postMessage(this.block);
          this.filled = 0;
        }
      }
      return true;
    }
  });`;
  const url = URL.createObjectURL(new Blob([BLOCKS], { type: "text/javascript" }));
  const address = `ws://127.0.0.1:${new URLSearchParams(location.search).get("port")}`;
  /** @type {Record<string, number>} */
  const times = {};

  document.getElementById("call")?.addEventListener("click", async ({ timeStamp }) => {
    times.click = performance.timeOrigin + timeStamp;
    const socket = new WebSocket(address);
    const audio = { echoCancellation: false, autoGainControl: false, noiseSuppression: false };
    const stream = await navigator.mediaDevices.getUserMedia({ audio });
    const context = new AudioContext();
    await context.audioWorklet.addModule(url);
    const node = new AudioWorkletNode(context, "blocks", { channelCount: 1, channelCountMode: "explicit" });
    node.port.onmessage = ({ data }) => {
      const bytes = new ArrayBuffer(HEADER_BYTES + 2 * CHUNK);
      const samples = new Int16Array(bytes, HEADER_BYTES);
      for (let i = 0; i < CHUNK; i += 1) samples[i] = 32_767 * data[Math.floor((i * data.length) / CHUNK)];
      if (socket.readyState === WebSocket.OPEN) socket.send(bytes);
    };
    context.createMediaStreamSource(stream).connect(node).connect(context.destination);
  });

  Object.assign(globalThis, { cost: { preload: () => undefined, times: () => times, close: () => undefined } });
}

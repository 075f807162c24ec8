// Hands over everything that reaches it: where a loudspeaker would be.
registerProcessor(
  "recorder",
  class extends AudioWorkletProcessor {
    process([[channel]]) {
      this.port.postMessage(channel ? channel.slice() : new Float32Array(128));
      return true;
    }
  },
);

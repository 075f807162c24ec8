"""What `cargo xtask bench interruption` has Python do: `listen.py hear` and `listen.py decode FROM TO`.

`hear` reads utterances from its input, each as the number of its bytes (4, little end first) and as many bytes of 16 kHz, mono, 16 bit, and writes
a line for each: the words that CMU Pocketsphinx hears in it, as examples/local/serve.py asks it. `decode` makes a WAV of a sound file.
"""

import struct
import sys


def hear():
    from pocketsphinx import Decoder

    decoder = Decoder(samprate=16_000, loglevel="FATAL")
    # What it has learned of one utterance is not for the next: each is heard as if it were the first.
    unlearned = decoder.get_cmn(False)
    while header := sys.stdin.buffer.read(4):
        samples = sys.stdin.buffer.read(struct.unpack("<I", header)[0])
        decoder.set_cmn(unlearned)
        decoder.start_utt()
        decoder.process_raw(samples, full_utt=True)
        decoder.end_utt()
        heard = decoder.hyp()
        print(heard.hypstr if heard else "", flush=True)


def decode(source, target):
    import soundfile

    samples, rate = soundfile.read(source, dtype="int16", always_2d=True)
    soundfile.write(target, samples[:, 0], rate, subtype="PCM_16")


if __name__ == "__main__":
    {"hear": hear, "decode": decode}[sys.argv[1]](*sys.argv[2:])

"""Run with: python3 -m venv .venv && .venv/bin/pip install -r requirements.txt && .venv/bin/python serve.py (needs flite or espeak-ng).

A conversation without an account and without a network: OpenAI's three endpoints, made of somebody else's parts. CMU Pocketsphinx hears
(English), Eliza of 1966 thinks, Flite or eSpeak NG speaks. Simple-minded, but every word of it is real.
"""

import argparse
import asyncio
import io
import os
import shutil
import socket
import sys
import tempfile
import threading
import time
import wave

from eliza_gpt.api import ElizaGPT
from microdot import Request, Response
from microdot.multipart import with_form_data
from pocketsphinx import Decoder

# The longest text that is spoken, and the longest utterance that is heard, in bytes of a WAV: 60 s.
TEXT_MAX = 4096
WAV_MAX = 2_000_000


def speaker():
    """The program that speaks, and what its voices are called here."""
    for program in ("flite", "espeak-ng"):
        if shutil.which(program):
            return program
    sys.exit("Neither flite nor espeak-ng is installed: apt install flite, or brew install espeak-ng.")


def transcribe(audio):
    """The words in a WAV of 16 kHz, mono, 16 bit."""
    with wave.open(io.BytesIO(audio)) as sound:
        if (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) != (16_000, 1, 2):
            raise ValueError("give a WAV of 16 kHz, mono, 16 bit")
        samples = sound.readframes(sound.getnframes())
    decoder = Decoder(samprate=16_000, loglevel="FATAL")
    decoder.start_utt()
    decoder.process_raw(samples, full_utt=True)
    decoder.end_utt()
    heard = decoder.hyp()
    return heard.hypstr if heard else ""


async def speak(program, voice, text):
    """A WAV of these words."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "speech.wav")
        command = {
            "flite": ["flite", "-voice", voice or "slt", "-t", text, "-o", path],
            # The voices are flite's: this one has others, and refuses to speak with one that it does not know.
            "espeak-ng": ["espeak-ng", "-v", "en", "-w", path, "--", text],
        }[program]
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        if await process.wait() != 0:
            raise RuntimeError(f"{program} cannot speak that")
        with open(path, "rb") as sound:
            return sound.read()


def refused(why, status=400):
    return {"error": {"message": why, "type": "invalid_request_error"}}, status


def application(program):
    app = ElizaGPT(avg_response_time=0)

    @app.post("/v1/audio/transcriptions")
    @with_form_data
    async def transcriptions(request):
        upload = (request.files or {}).get("file")
        if upload is None:
            return refused("there is no file")
        try:
            words = await asyncio.to_thread(transcribe, await upload.read())
        except (wave.Error, EOFError, ValueError) as error:
            return refused(str(error))
        return {"text": words}

    @app.post("/v1/audio/speech")
    async def speech(request):
        asked = request.json or {}
        text = asked.get("input")
        if not isinstance(text, str) or not text.strip() or len(text) > TEXT_MAX:
            return refused(f"input has to be a text of 1 to {TEXT_MAX} characters")
        voice = asked.get("voice")
        try:
            sound = await speak(program, voice if voice in VOICES else None, text)
        except RuntimeError as error:
            return refused(str(error), 500)
        return Response(sound, headers={"content-type": "audio/wav"})

    return app


# What flite's own packages have; another one is spoken by the usual voice.
VOICES = ("slt", "rms", "awb", "kal16", "kal")


def leave_with(parent):
    """Stops this process when its parent has."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(0)


def free_port(host):
    """A port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind((host, 0))
        return listener.getsockname()[1]


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n", 2)[2])
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", type=int, default=5010, help="0 takes a free one")
    options.add_argument("--with-parent", action="store_true", help="stop when the process that started this one does")
    chosen = options.parse_args()
    program = speaker()
    if chosen.with_parent:
        threading.Thread(target=leave_with, args=(os.getppid(),), daemon=True).start()
    Request.max_content_length = WAV_MAX
    Request.max_body_length = WAV_MAX
    port = chosen.port or free_port(chosen.host)
    print(f"Listening on http://{chosen.host}:{port}/v1: pocketsphinx hears, Eliza thinks, {program} speaks.", flush=True)
    application(program).run(host=chosen.host, port=port)


if __name__ == "__main__":
    main()

"""ElevenLabs' `stream-input`, by its official client. Run by `cargo xtask test --only fakes`."""

import json
import os
import subprocess
import sys
import time
import unittest
import urllib.request

import websockets.exceptions
from elevenlabs import VoiceSettings
from elevenlabs.client import ElevenLabs
from elevenlabs.core.api_error import ApiError
from websockets.sync.client import connect

PROGRAM = os.environ["E2E_FAKES"]
KEY = "a-key-of-the-fakes"
VOICE = "21m00Tcm4TlvDq8ikWAM"
# Bytes of one character: 60 ms of 24 kHz.
CHARACTER = 60 * 24 * 2


class StreamInput(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        command = [PROGRAM, "--port", "0", "--key", KEY]
        cls.fakes = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        cls.host = f"127.0.0.1:{int(cls.fakes.stdout.readline())}"

    @classmethod
    def tearDownClass(cls):
        cls.fakes.terminate()
        cls.fakes.wait()
        cls.fakes.stdout.close()

    def ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(f"http://{self.host}{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)

    def script(self, *acts):
        self.ask("DELETE", "/script")
        self.ask("DELETE", "/log")
        self.ask("POST", "/script", {"elevenlabs.stream_input": list(acts)})

    def request(self):
        """The one request since the script was set, when it has ended."""
        end = time.monotonic() + 10
        while time.monotonic() < end:
            requests = self.ask("GET", "/log")["requests"]
            if requests and requests[0]["ended"]:
                self.assertEqual(len(requests), 1)
                return requests[0]
            time.sleep(0.02)
        self.fail("the request does not end")

    def speak(self, *texts, key=KEY, output_format="pcm_24000"):
        client = ElevenLabs(api_key=key, base_url=f"http://{self.host}")
        voice = client.text_to_speech
        # The client knows encrypted sockets only.
        voice._ws_base_url = f"ws://{self.host}"
        settings = VoiceSettings(stability=0.5, similarity_boost=0.8)
        speech = voice.convert_realtime(
            VOICE,
            text=iter(texts),
            model_id="eleven_flash_v2_5",
            output_format=output_format,
            voice_settings=settings,
        )
        return b"".join(speech)

    def converse(self, *messages, query="model_id=eleven_flash_v2_5&output_format=pcm_24000"):
        """All that is said to these messages, and how it was closed."""
        url = f"ws://{self.host}/v1/text-to-speech/{VOICE}/stream-input?{query}"
        said = []
        with connect(url, additional_headers={"xi-api-key": KEY}) as socket:
            for message in messages:
                socket.send(json.dumps(message))
            try:
                while True:
                    said.append(json.loads(socket.recv(timeout=10)))
            except websockets.exceptions.ConnectionClosed as closed:
                return said, closed.rcvd.code if closed.rcvd else None

    def test_what_is_said_in_pieces_sounds_whole(self):
        self.script()
        texts = ["Hello there, ", "this is a longer sentence that makes a sound of its own. ", "And more."]
        sound = self.speak(*texts)
        request = self.request()
        self.assertEqual(request["ended"], "done")
        self.assertEqual(len(sound), request["bill"]["characters"] * CHARACTER)
        self.assertGreaterEqual(request["bill"]["characters"], len("".join(texts)))
        first, *_, last = [feed["message"] for feed in request["feeds"]]
        self.assertEqual((first["text"], last["text"]), (" ", ""))
        self.assertEqual(first["generation_config"], {"chunk_length_schedule": [50]})
        self.assertIn("model_id=eleven_flash_v2_5", request["query"])
        self.assertNotIn(KEY, json.dumps(request))

    def test_each_sound_has_the_times_of_its_characters(self):
        self.script()
        said, code = self.converse({"text": " "}, {"text": "Grüezi ", "flush": True}, {"text": ""})
        self.assertEqual(code, 1000)
        alignment = said[0]["alignment"]
        self.assertEqual("".join(alignment["chars"]), "Grüezi ")
        self.assertEqual(alignment["charStartTimesMs"], [0, 60, 120, 180, 240, 300, 360])
        self.assertEqual(sum(alignment["charDurationsMs"]), 420)
        self.assertEqual(said[-1], {"audio": None, "isFinal": True})

    def test_text_is_gathered_until_the_schedule_is_met(self):
        self.script()
        words = {"text": "a" * 60, "try_trigger_generation": True}
        begin = {"text": " ", "generation_config": {"chunk_length_schedule": [120, 60]}}
        said, _ = self.converse(begin, words, words, words, {"text": "b"}, {"text": ""})
        lengths = [len(message["alignment"]["chars"]) for message in said if message["audio"]]
        self.assertEqual(lengths, [120, 60, 1])

    def test_a_wrong_key_is_refused_before_the_upgrade(self):
        self.script()
        with self.assertRaises(websockets.exceptions.InvalidStatus) as refused:
            self.speak("Hello", key="another")
        self.assertEqual(refused.exception.response.status_code, 401)
        body = json.loads(refused.exception.response.body)
        self.assertEqual(body["detail"]["status"], "invalid_api_key")
        self.assertEqual(self.request()["key"], "wrong")

    def test_an_error_is_told_before_the_socket_is_closed(self):
        self.script({"faults": [{"at": 0, "kind": "error", "error": "quota_exceeded", "code": 1008}]})
        with self.assertRaises(ApiError) as told:
            self.speak("Hello there. ")
        self.assertEqual(told.exception.status_code, 1008)
        self.assertEqual(told.exception.body["error"], "quota_exceeded")

    def test_without_text_the_input_times_out(self):
        self.script({"idle_ms": 100})
        said, code = self.converse({"text": " "})
        self.assertEqual((said[0]["error"], said[0]["code"], code), ("input_timeout_exceeded", 1008, 1008))
        self.script()
        said, code = self.converse({"words": "Hello"})
        self.assertEqual((said[0]["error"], code), ("invalid_input_message", 1008))

    def test_a_voice_can_break_and_its_message_can_come_in_two_halves(self):
        self.script({"faults": [{"at": 0, "kind": "drop"}]})
        said, code = self.converse({"text": " "}, {"text": "Hello ", "flush": True})
        self.assertEqual((said, code), ([], None))
        self.assertEqual(self.request()["ended"], "closed")
        self.script({"faults": [{"at": 0, "kind": "cut"}]})
        with self.assertRaises(json.JSONDecodeError):
            self.converse({"text": " "}, {"text": "Hello ", "flush": True})


if __name__ == "__main__":
    # What was counted goes to stdout, where the gate reads it.
    runner = unittest.TextTestRunner(stream=sys.stdout, verbosity=2)
    unittest.main(testRunner=runner)

"""The page in headless Chromium, before the real Cog server with the checkpoint that comes with the repository: what a person sees and does."""

from __future__ import annotations

import base64
import io
import re
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scripts.server import Server
from tests.playground.browser import Browser
from tests.playground.front import PAGE, serve

pytestmark = pytest.mark.slow

TEXT = "Good morning. It is a fine day."
LENGTHY = {"prompt": "The quick brown fox jumps over the lazy dog. " * 4, "text_temp": 1, "min_eos_p": 1, "seed": 3}
"""Takes seconds, so that it can be met while it runs."""


def read_wav(page: Browser, card: int = 1) -> bytes:
    """Return the file that a card plays and offers for download, the newest being 1."""
    script = """const blob = await (await fetch(document.querySelector(arguments[0]).href)).blob();
        return await new Promise((done) => { const reader = new FileReader(); reader.onload = () => done(reader.result); reader.readAsDataURL(blob); });"""
    return base64.b64decode(page.run(script, f".card:nth-child({card}) .download").partition(",")[2])


def expected_wav(server: Server, **inputs: Any) -> bytes:
    answer = server.predict(**inputs)
    assert answer.body["status"] == "succeeded", answer.body
    return base64.b64decode(answer.body["output"].partition(",")[2])


def read_samples(data: bytes) -> np.ndarray:
    with wave.open(io.BytesIO(data)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), dtype=np.int16)


def start_lengthy(page: Browser) -> None:
    """Begin a prediction that takes seconds, and wait until the server has it."""
    page.run("document.querySelector('#more').open = true")
    for name, value in LENGTHY.items():
        page.fill(f"#field-{name}", str(value))
    page.run("window.stages = []; new MutationObserver(() => stages.push($('stage').textContent)).observe($('stage'), { childList: true })")
    page.click("#speak")
    page.wait(lambda: "%" in page.text("#stage"), "progress")


def test_form_is_the_schemas(page: Browser, server: Server) -> None:
    schemas = server.request("GET", "/openapi.json").body["components"]["schemas"]
    shown = {name: entry for name, entry in schemas["Input"]["properties"].items() if not entry.get("deprecated")}
    assert page.run("return [...document.querySelectorAll('#form [id^=field-]')].map((field) => field.name).sort()") == sorted(shown)
    assert "text_prompt" not in shown
    for name, entry in shown.items():
        attributes = page.run("const f = $(`field-${arguments[0]}`); return [f.min ?? '', f.max ?? '', f.value]", name)
        for given, key in zip(attributes[:2], ("minimum", "maximum"), strict=True):
            assert given == str(entry.get(key, "")), name
        assert attributes[2] == str(entry.get("default") or ""), name
        assert page.text(f"#help-{name}") == entry["description"]


def test_voices_are_found_by_language(page: Browser, server: Server) -> None:
    schema = server.request("GET", "/openapi.json").body  # all of its voices, as where no gateway tells which the model has
    page.run("fields = new Fields(arguments[0], [], saveDraft)", schema)
    names = schema["components"]["schemas"]["history_prompt"]["enum"]
    assert page.run("return [...$('field-history_prompt').options].map((each) => each.value)") == ["", *names]
    page.run("const list = document.querySelector('.choice select'); list.value = 'German'; list.dispatchEvent(new Event('change'))")
    options = page.run("return [...$('field-history_prompt').options].slice(1).map((each) => each.value)")
    assert options[0] == "v2/de_speaker_0"
    assert {re.sub(r"\d+$", "", option) for option in options} == {"v2/de_speaker_", "de_speaker_"}


def test_speaks_what_the_server_speaks_and_plays_it(page: Browser, server: Server) -> None:
    page.speak(TEXT, seed="7")
    data = read_wav(page)
    assert data == expected_wav(server, prompt=TEXT, seed=7)
    assert page.text(".card .said") == TEXT
    assert "seed 7" in page.text(".card .facts")
    assert page.find(".card .download").get_attribute("download") == "good-morning-it-is-a-7.wav"
    page.wait(lambda: page.run("return Number(document.querySelector('.wave').ariaValueNow) > 0.2"), "it to play by itself")
    page.run("const { audio } = document.querySelector('.card').player; audio.loop = true; audio.pause()")
    for expected in ("Pause", "Play"):
        page.click(".play")
        page.wait(lambda label=expected: page.find(".play").get_attribute("aria-label") == label, expected)
    assert page.run("return $('announce').textContent").startswith("Spoken: ")


def test_waveform_is_drawn_from_the_samples(page: Browser) -> None:
    image = pytest.importorskip("PIL.Image", reason="pictures are looked at with pillow")
    page.speak(TEXT, seed="7")
    page.click(".play")  # it plays by itself: stop it, and go to the middle
    page.run("document.querySelector('.card').player.seek(document.querySelector('.card').player.seconds / 2)")
    page.wait(lambda: page.run("return Number(document.querySelector('.wave').ariaValueNow) > 0.5"), "the middle")
    picture = np.asarray(image.open(io.BytesIO(page.picture(".wave canvas"))).convert("RGB")).astype(int)
    inked = np.abs(picture - picture[0, 0]).sum(axis=2) > 60
    heights = inked.sum(axis=0)
    samples = read_samples(read_wav(page))
    # Each bar, in its middle, is as high as what is said in its time is loud.
    n_bars = 160 // -(-640 // page.run("return document.querySelector('.wave').clientWidth"))
    drawn = heights[((np.arange(n_bars) + 0.5) * len(heights) / n_bars).astype(int)]
    loud = [np.abs(part).max() for part in np.array_split(samples.astype(float), n_bars)]
    assert np.corrcoef(drawn, loud)[0, 1] > 0.97
    assert max(drawn) > 0.9 * picture.shape[0]
    half = picture.shape[1] // 2
    behind, ahead = (np.median(part[mask], axis=0) for part, mask in ((picture[:, :half], inked[:, :half]), (picture[:, half:], inked[:, half:])))
    accent = np.array([0x0E, 0x6F, 0x58])
    assert np.abs(behind - accent).sum() < 60 < np.abs(ahead - accent).sum()


def test_progress_is_the_logs_and_cancelling_ends_the_prediction(page: Browser, server: Server) -> None:
    start_lengthy(page)
    assert page.text("#state") == "Speaking …"
    page.click("#cancel")
    page.wait(lambda: not page.is_shown("#progress"), "the end", 20)
    stages = page.run("return window.stages")
    percents = [int(found[1]) for stage in stages if (found := re.fullmatch(r"\w+, (\d+) %", stage))]
    assert percents == sorted(percents)
    assert "Cancelling …" in stages
    assert page.run("return $('announce').textContent") == "Cancelled."
    assert page.count(".card") == 0
    assert not page.is_shown("#fault")
    assert server.predict(prompt="Go on.", seed=1).body["status"] == "succeeded"


def test_escape_cancels(page: Browser) -> None:
    start_lengthy(page)
    page.press("\ue00c")
    page.wait(lambda: not page.is_shown("#progress"), "the end", 20)
    assert page.count(".card") == 0


def test_busy_server_is_waited_for(page: Browser, server: Server) -> None:
    name = "of-somebody-else"
    page.wait(lambda: server.request("PUT", f"/predictions/{name}", {"input": LENGTHY}, {"Prefer": "respond-async"}).status == 202, "a slot")
    page.fill("#field-prompt", TEXT)
    page.click("#speak")
    page.wait(lambda: "waits its turn" in page.text("#stage"), "the page to say that it waits")
    server.request("POST", f"/predictions/{name}/cancel")
    page.wait(lambda: page.count(".card"), "its turn")


def test_history_survives_a_reload(page: Browser, address: str) -> None:
    page.speak(TEXT, seed="7")
    page.speak("<img src=x onerror=alert(1)> & so on.", seed="8")
    before = [read_wav(page, card) for card in (1, 2)]
    page.open(address)
    assert [read_wav(page, card) for card in (1, 2)] == before
    assert [page.text(f".card:nth-child({card}) .said") for card in (1, 2)] == ["<img src=x onerror=alert(1)> & so on.", TEXT]
    assert page.find("#field-seed").get_attribute("value") == "8"  # what was typed is there, too
    page.click(".card:nth-child(1) .delete")
    page.wait(lambda: page.count(".card") == 1, "the first to go")
    assert page.focus() == "delete"
    page.open(address)
    assert [page.text(".said"), page.count(".card")] == [TEXT, 1]
    page.click(".card .delete")
    page.wait(lambda: page.is_shown("#empty"), "the last to go")
    page.open(address)
    assert page.count(".card") == 0


def test_history_is_bounded_and_can_be_emptied(page: Browser, address: str) -> None:
    script = """for (let n = 0; n < MAX_ITEMS + 3; n++)
        await outputs.add({ id: String(1000 + n), when: 0, inputs: { prompt: String(n) }, blob: new Blob([]), seconds: 1, peaks: new Float32Array(4), seed: n });"""
    page.run(script)
    page.open(address)
    limit = page.run("return MAX_ITEMS")
    assert page.count(".card") == limit
    assert [page.text(".card:first-child .said"), page.text(".card:last-child .said")] == [str(limit + 2), "3"]
    page.click("#clear")
    page.chrome.switch_to.alert.accept()
    page.wait(lambda: page.is_shown("#empty"), "all to go")
    page.open(address)
    assert page.count(".card") == 0


def test_an_output_becomes_the_next_voice(page: Browser, server: Server) -> None:
    page.speak(TEXT, seed="7")
    first = read_wav(page)
    page.click(".reuse")
    assert TEXT in page.text(".chosen")
    page.speak("And now the same voice again.", seed="9")
    url = f"data:audio/wav;base64,{base64.b64encode(first).decode()}"
    assert read_wav(page) == expected_wav(server, prompt="And now the same voice again.", seed=9, custom_history_prompt=url)
    assert "a voice of your own" in page.text(".card .facts")
    page.click(".file .plain")
    assert page.run("return Object.keys(fields.read())").count("custom_history_prompt") == 0


def test_other_formats_play_and_are_no_voice(page: Browser, server: Server) -> None:
    page.run("fields.write({ prompt: arguments[0], seed: 7, output_format: 'mp3', sample_rate: 48000, speed: 1.5 })", TEXT)
    page.click("#speak")
    page.wait(lambda: page.count(".card"), "the card")
    assert read_wav(page) == expected_wav(server, prompt=TEXT, seed=7, output_format="mp3", sample_rate=48000, speed=1.5)
    assert page.find(".download").get_attribute("download").endswith("-7.mp3")
    assert page.run("return Math.max(...outputs.items[0].peaks)") > 0.05
    assert not page.is_shown(".reuse")


def test_notes_are_shown(page: Browser) -> None:
    page.speak("I love it😀 so", seed="7")
    assert "😀" in page.text(".card .note")


def test_pieces_of_a_model_that_streams_are_joined(page: Browser, root: Path, tmp_path: Path) -> None:
    text = f"{TEXT} The train leaves at nine, and nobody wants to miss it. We shall see the sea before noon. " * 2
    with Server({"BARK_MODEL": "demo", "PYTHONPATH": str(root)}, root / "predictors" / "streaming.py", tmp_path) as streaming, serve(streaming.url) as url:
        page.open(url)
        page.speak(text, seed="7")
        pieces = [base64.b64decode(each.partition(",")[2]) for each in streaming.predict(prompt=text, seed=7).body["output"]]
        assert len(pieces) > 1
        assert read_samples(read_wav(page)).tolist() == np.concatenate([read_samples(piece) for piece in pieces]).tolist()
        page.run("indexedDB.deleteDatabase('bark')")


def test_same_settings_make_the_same_again(page: Browser) -> None:
    page.speak(TEXT)
    first = read_wav(page)
    page.speak("Something else.", seed="3", text_temp="1.5")
    page.click(".card:nth-child(2) .again")
    assert page.run("return $('field-text_temp').value") == "0.7"
    page.click("#speak")
    page.wait(lambda: page.count(".card") == 3, "the third")
    assert read_wav(page) == first


def test_a_voice_from_a_file(page: Browser, server: Server, demo_folder: Path) -> None:
    voice = demo_folder / "voices" / "demo_speaker_1.npz"
    page.find("#field-custom_history_prompt").send_keys(str(voice))
    assert page.text(".chosen") == voice.name
    page.speak(TEXT, seed="7")
    url = f"data:application/octet-stream;base64,{base64.b64encode(voice.read_bytes()).decode()}"
    assert read_wav(page) == expected_wav(server, prompt=TEXT, seed=7, custom_history_prompt=url)


def test_refusals_are_the_servers_sentences(page: Browser) -> None:
    page.speak("")
    assert page.text("#fault") == "The text is empty; give at least one word to speak."
    page.speak(TEXT, text_temp="9", seed="1.5")
    assert page.text("#fault-text_temp") == "9 is greater than the maximum of 2"
    assert page.text("#fault-seed") == '1.5 is not of type "integer"'
    assert page.text("#fault") == "Not spoken: 2 settings cannot be used."
    assert page.focus() == "field-text_temp"
    described = page.find("#field-text_temp").get_attribute("aria-describedby").split()
    assert "fault-text_temp" in described
    page.fill("#field-text_temp", "1")
    assert not page.is_shown("#fault-text_temp")
    page.speak(TEXT, seed="1e")
    assert "number" in page.text("#fault-seed").lower()
    page.run("fields.write({ prompt: arguments[0], voices: '{\"ANNA\": \"v2/en_speaker_6\"}' })", "ANNA: Hello.")
    page.click("#speak")
    page.wait(lambda: "which the model demo does not have" in page.text("#fault"), "the model's refusal")
    assert page.count(".card") == 0


def test_a_server_that_is_lost_says_so_and_comes_back(page: Browser, server: Server) -> None:
    with serve(server.url) as url:
        port = int(url.rpartition(":")[2])
        page.open(url)
        page.fill("#field-prompt", TEXT)
    page.click("#speak")
    page.wait(lambda: page.text("#fault") == f"{url} does not answer. Your text is kept.", "the fault")
    page.wait(lambda: page.text("#state") == "The server does not answer; asking again …", "the state")
    assert page.find("#field-prompt").get_attribute("value") == TEXT
    with serve(server.url, port):
        page.wait(lambda: page.text("#state") == "Ready", "the server's return")
        assert not page.is_shown("#fault")
        page.click("#speak")
        page.wait(lambda: page.count(".card"), "speech")
        page.run("indexedDB.deleteDatabase('bark')")


def test_a_server_that_still_starts_is_waited_for(page: Browser) -> None:
    late = Server({"BARK_MODEL": "demo"})
    try:
        late.launch()
        with serve(late.url) as url:
            page.chrome.get(url)
            page.wait(lambda: page.is_shown("#form"), "the form")
            assert page.text("#state") == "Ready"
    finally:
        late.stop()


def test_opened_from_a_file_it_asks_for_the_servers_address(page: Browser, server: Server, address: str) -> None:
    page.chrome.get(PAGE.joinpath("index.html").as_uri())
    page.wait(lambda: page.is_shown("#address"), "the field")
    page.fill("#address", address)
    page.press("\n")
    page.wait(lambda: "does not answer" in page.text("#state"), "the state: this gateway does not talk to pages from elsewhere")
    assert page.find("#address").get_attribute("value") == address
    with serve(server.url, 0, "--allow-origin", "null") as open_address:
        page.fill("#address", open_address)
        page.press("\n")
        page.wait(lambda: page.is_shown("#form"), "the form")
        page.speak(TEXT, seed="7")
        assert page.count(".card") == 1
        page.run("localStorage.clear(); indexedDB.deleteDatabase('bark')")
    assert all("CORS" in line for line in page.errors())


def test_a_gateways_key_is_asked_for(page: Browser, server: Server) -> None:
    with serve(server.url, 0, "--api-key", "secret-key") as url:
        page.chrome.get(url)
        page.wait(lambda: page.is_shown("#key"), "the field")
        assert page.text("#state") == "The server asks for a key"
        page.fill("#key", "secret-key")
        page.press("\n")
        page.wait(lambda: page.is_shown("#form"), "the form")
        page.speak(TEXT, seed="7")
        assert page.count(".card") == 1
        assert not page.is_shown("#connection")
        page.run("sessionStorage.clear(); indexedDB.deleteDatabase('bark')")


def test_a_gateway_names_the_voices_that_the_model_has(page: Browser) -> None:
    assert page.run("return [...$('field-history_prompt').options].map((each) => each.value)") == ["", "demo_speaker_0", "demo_speaker_1"]


def test_pages_files_are_small_and_name_no_other_host() -> None:
    files = sorted(PAGE.iterdir())
    assert {path.suffix for path in files} == {".html", ".css", ".js"}
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    hosts = set(re.findall(r"(?:https?:)?//([\w.-]+)", re.sub(r"^\s*//.*$|\s// .*$", "", text, flags=re.MULTILINE)))
    assert hosts <= {"127.0.0.1", "www.w3.org"}, hosts
    assert "innerHTML" not in text
    assert len(text.encode()) < 60_000

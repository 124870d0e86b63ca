"""How the page looks: at each width, in light and in dark, and to a screen reader."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest

from tests.playground.browser import Browser

pytestmark = pytest.mark.slow

LOOKS = (Path(__file__).parent / "looks.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def shown(browser: Browser, address: str) -> Browser:
    """The page with all that it can show: every setting, faults, a chosen voice and two cards."""
    browser.command("Storage.clearDataForOrigin", origin=address, storageTypes="all")
    browser.open(address)
    browser.speak("Good morning. It is a fine day, and this is a longer text, which takes more than one line on a telephone.", seed="7")
    browser.click(".reuse")
    browser.speak("Supercalifragilisticexpialidocious_and_other_words_without_a_space_in_them", seed="8")
    browser.speak("Good morning.", text_temp="9")
    assert browser.count(".card") == 2
    browser.run("Player.playing.audio.pause()")
    return browser


@pytest.fixture
def full(shown: Browser) -> Browser:
    """That page, in light colours and of a usual size."""
    shown.resize(1200, 900)
    shown.set_scheme("light")
    return shown


def measure(page: Browser, function: str) -> Any:
    return page.run(f"{LOOKS}; return {function}()")


@pytest.mark.parametrize("width", [320, 360, 768, 1200, 1920])
def test_nothing_overlaps_or_runs_out_of_any_width(full: Browser, width: int) -> None:
    full.resize(width, 800)
    found = measure(full, "findOverlaps")
    assert found["n_boxes"] > 50
    assert found["faults"] == []
    assert full.run("return document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(full: Browser, scheme: str) -> None:
    full.set_scheme(scheme)
    found = measure(full, "findFaintTexts")
    assert found["n_texts"] > 40
    assert found["faults"] == []


def test_dark_mode_is_dark_and_light_is_light(full: Browser) -> None:
    image = pytest.importorskip("PIL.Image", reason="pictures are looked at with pillow")


    brightness = {}
    for scheme in ("light", "dark"):
        full.set_scheme(scheme)
        brightness[scheme] = image.open(io.BytesIO(full.picture())).convert("L").resize((1, 1)).getpixel((0, 0))
    assert brightness["light"] > 220
    assert brightness["dark"] < 50


def test_waveform_takes_the_colours_of_the_scheme(full: Browser) -> None:
    image = pytest.importorskip("PIL.Image", reason="pictures are looked at with pillow")


    full.run("document.querySelector('.card').player.seek(0)")
    seen = {}
    for scheme in ("light", "dark"):
        full.set_scheme(scheme)
        full.run("return new Promise(requestAnimationFrame)")
        picture = image.open(io.BytesIO(full.picture(".card:first-child .wave"))).convert("RGB")
        seen[scheme] = {colour for n, colour in picture.getcolors(1 << 20) if n > 50}
    assert (0xB9, 0xCF, 0xC6) in seen["light"] - seen["dark"]
    assert (0x43, 0x57, 0x4F) in seen["dark"] - seen["light"]


def test_everything_that_takes_the_focus_has_a_name(full: Browser) -> None:
    full.command("Accessibility.enable")
    nodes = full.command("Accessibility.getFullAXTree")["nodes"]
    reached = [node for node in nodes if not node["ignored"] and any(each["name"] == "focusable" for each in node.get("properties", []))]
    reached = [node for node in reached if node["role"]["value"] not in ("RootWebArea", "MenuListPopup", "option", "menuitem")]
    assert len(reached) > 25
    nameless = [node["role"]["value"] for node in reached if not node.get("name", {}).get("value")]
    assert nameless == []
    roles = {node["role"]["value"] for node in nodes if not node["ignored"]}
    assert {"banner", "main", "slider", "status", "alert", "heading", "list", "listitem"} <= roles
    spoken = full.run("return [...document.querySelectorAll('.wave')].map((each) => each.ariaValueText)")
    assert len(spoken) == 2
    assert all(re.fullmatch(r"[\d.]+ of [\d.]+ seconds", text) for text in spoken)

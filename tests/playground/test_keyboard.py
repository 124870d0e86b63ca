"""The page by keyboard alone, and what it says to those who do not see it."""

from __future__ import annotations

import pytest

from tests.playground.browser import Browser

pytestmark = pytest.mark.slow

TAB, ENTER, CONTROL, END, HOME, ARROW_RIGHT = "\ue004", "\ue007", "\ue009", "\ue010", "\ue011", "\ue014"


def test_by_keyboard_alone(page: Browser) -> None:
    page.run("document.body.focus()")
    seen = []
    for _ in range(12):
        page.press(TAB)
        seen.append(page.focus())
        assert page.run("return getComputedStyle(document.activeElement).outlineStyle") != "none", f"nobody sees that {seen[-1]} has the focus"
        if seen[-1] == "speak":
            break
    assert seen[0] == "skip"
    assert seen[1] == "field-prompt"
    assert seen[-1] == "speak"
    page.run("document.querySelector('#field-prompt').focus()")
    page.press("a", held=CONTROL)
    page.press("Good night.")
    page.press(ENTER, held=CONTROL)
    page.wait(lambda: page.count(".card"), "speech")
    page.wait(lambda: not page.is_shown("#progress"), "the end")
    assert page.focus() == "field-prompt"  # where it was
    page.run("document.querySelector('.play').focus()")
    page.wait(lambda: page.run("return document.querySelector('.card').player.audio.paused"), "it to have been played")
    page.press(TAB)
    assert page.focus() == "wave"
    page.press(HOME)
    page.press(ARROW_RIGHT)
    assert page.run("return document.activeElement.ariaValueNow") == "0.50"
    page.press(END)
    assert page.run("const at = document.activeElement; return at.ariaValueNow === at.ariaValueMax")
    page.press(HOME)
    page.press(" ")
    assert page.find(".play").get_attribute("aria-label") == "Pause"
    for expected in ("download", "reuse", "again", "delete"):
        page.press(TAB)
        assert page.focus() == expected
    page.press(ENTER)
    page.wait(lambda: page.is_shown("#empty"), "the card to go")
    assert page.focus() == "outputs"


def test_what_happens_is_said_to_a_screen_reader(page: Browser) -> None:
    page.run("window.said = []; new MutationObserver(() => said.push($('announce').textContent)).observe($('announce'), { childList: true })")
    page.speak("Good morning.", seed="7")
    said = page.run("return window.said")
    assert said[-1].startswith("Spoken: ")
    assert len(said) < 10  # stages, not every percent
    assert page.find("#fault").get_attribute("role") == "alert"
    assert {page.find(name).get_attribute("role") for name in ("#state", "#announce")} == {"status"}

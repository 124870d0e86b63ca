"""Headless Chromium, driven by selenium, with what the page's tests ask of it again and again. Skips, saying so, where there is none."""

from __future__ import annotations

import base64
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

PACKAGES = "apt-get install chromium chromium-driver, and pip install selenium"


@contextmanager
def start(width: int = 1200, height: int = 900) -> Iterator[Browser]:
    """Start a browser with a profile of its own; it ends with the block."""
    webdriver = pytest.importorskip("selenium.webdriver", reason=f"the page is tested in a browser: {PACKAGES}")
    chromium = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip(f"there is no chromium with its chromedriver here: {PACKAGES}")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--mute-audio", "--hide-scrollbars", "--lang=en", "--force-color-profile=srgb"):
        options.add_argument(flag)
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        browser = Browser(chrome)
        browser.resize(width, height)
        yield browser
    finally:
        chrome.quit()


class Browser:
    """One page of the browser. Elements are named by CSS selectors."""

    def __init__(self, chrome: Any) -> None:
        self.chrome = chrome

    def open(self, url: str) -> None:
        """Open the page and wait for its form."""
        self.chrome.get(url)
        self.wait(lambda: self.is_shown("#form"), "the form to be shown")

    def run(self, script: str, *arguments: Any) -> Any:
        """Run JavaScript and return what it returns; a promise is waited for."""
        return self.chrome.execute_script(script, *arguments)

    def command(self, name: str, **parameters: Any) -> Any:
        """Send one command of the DevTools protocol."""
        return self.chrome.execute_cdp_cmd(name, parameters)

    def resize(self, width: int, height: int) -> None:
        """Set the size of the view, in CSS pixels."""
        self.command("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def set_scheme(self, scheme: str) -> None:
        """Prefer `light` or `dark` colours, as the system's setting would; motion is off, so that pictures stand still."""
        features = [{"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"}]
        self.command("Emulation.setEmulatedMedia", features=features)

    def wait(self, condition: Callable[[], Any], what: str, timeout_s: float = 60.0) -> Any:
        """Wait until `condition` gives something true, and return it."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            if value := condition():
                return value
            time.sleep(0.05)
        raise AssertionError(f"waited {timeout_s:.0f} s for {what}; the page says {self.text('#fault')!r}, {self.text('#state')!r}, {self.text('#stage')!r}")

    def find(self, selector: str) -> Any:
        """Return the first element that a selector names."""
        return self.chrome.find_element("css selector", selector)

    def count(self, selector: str) -> int:
        """Return how many elements a selector names."""
        return len(self.chrome.find_elements("css selector", selector))

    def text(self, selector: str) -> str:
        """Return an element's text, whether it is in view or not."""
        return self.run("return document.querySelector(arguments[0]).textContent.trim()", selector)

    def is_shown(self, selector: str) -> bool:
        """Return whether there is such an element and it is displayed."""
        return self.run("return Boolean(document.querySelector(arguments[0])?.checkVisibility())", selector)

    def click(self, selector: str) -> None:
        """Click an element as a pointer does."""
        self.find(selector).click()

    def fill(self, selector: str, text: str) -> None:
        """Type into a field, in place of what it holds."""
        field = self.find(selector)
        field.clear()
        field.send_keys(text)

    def press(self, *keys: str, held: str = "") -> None:
        """Press keys, one after the other, wherever the focus is, while the key `held` is down."""
        from selenium.webdriver import ActionChains

        actions = ActionChains(self.chrome)
        if held:
            actions.key_down(held)
        actions.send_keys(*keys)
        if held:
            actions.key_up(held)
        actions.perform()

    def focus(self) -> str:
        """Return the focused element's id, else its classes, else its tag."""
        return self.run("const at = document.activeElement; return at.id || at.className || at.getAttribute('aria-label') || at.tagName.toLowerCase()")

    def picture(self, selector: str = "html") -> bytes:
        """Return a PNG of one element, in view or not."""
        script = "const box = document.querySelector(arguments[0]).getBoundingClientRect(); return [box.x + scrollX, box.y + scrollY, box.width, box.height]"
        x, y, width, height = self.run(script, selector)
        clip = {"x": x, "y": y, "width": width, "height": height, "scale": 1}
        return base64.b64decode(self.command("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)["data"])

    def errors(self) -> list[str]:
        """Return what scripts complained of since the last call; answers that are refusals are no complaint."""
        lines = [line["message"] for line in self.chrome.get_log("browser")]
        return [line for line in lines if "Failed to load resource" not in line]

    def speak(self, text: str, **settings: str) -> None:
        """Fill the form, speak, and wait for the end, whatever it is."""
        self.fill("#field-prompt", text)
        for name, value in settings.items():
            self.run("document.querySelector('#more')?.setAttribute('open', '')")
            self.fill(f"#field-{name}", value)
        self.click("#speak")
        self.wait(lambda: self.run("return !document.querySelector('#speak').disabled"), "the prediction to end", 120.0)

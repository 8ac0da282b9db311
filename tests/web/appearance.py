"""Screenshots and axe."""

from __future__ import annotations

import base64
from typing import Container, Literal

from playwright.sync_api import Page, ViewportSize

from testing.paths import ROOT

SCREENSHOTS = ROOT / "build" / "screenshots"
WIDTHS = (360, 768, 1280)
SCHEMES: list[Literal["light", "dark"]] = ["light", "dark"]
ALL = tuple((width, scheme) for width in WIDTHS for scheme in SCHEMES)
SOME = ((360, "dark"), (1280, "light"))


def axe_violations(page: Page) -> list[str]:
    """Run axe. It is injected by Playwright, so that the page's policy need not allow it."""
    if not page.evaluate("'axe' in window"):
        page.evaluate((ROOT / "node_modules" / "axe-core" / "axe.min.js").read_text())
    report = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{rule['id']} ({rule['impact']}): {node['target']} {node['failureSummary']}"
        for rule in report["violations"]
        for node in rule["nodes"]
    ]


def check_appearance(
    page: Page, state: str, axe: Container[tuple[int, str]] = ((360, "dark"), (1280, "light"))
) -> None:
    """Take screenshots in every width, light and dark. Fails if the page is too wide or axe finds a violation.

    axe: the widths and schemes in which it runs.
    """
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    before = page.viewport_size or ViewportSize(width=1280, height=900)
    devtools = page.context.new_cdp_session(page)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900 if width > 400 else 780})
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{state} is too wide for {width}"
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            whole = {"x": 0, "y": 0, "scale": 1, **devtools.send("Page.getLayoutMetrics")["cssContentSize"]}
            # page.screenshot() compresses better, but takes three times as long.
            screenshot = devtools.send(
                "Page.captureScreenshot", {"clip": whole, "captureBeyondViewport": True, "optimizeForSpeed": True}
            )
            (SCREENSHOTS / f"{state}-{width}-{scheme}.png").write_bytes(base64.b64decode(screenshot["data"]))
            if (width, scheme) in axe:
                assert axe_violations(page) == []
    devtools.detach()
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(before)

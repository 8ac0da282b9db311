"""Failures between the page and the service and how users recover; the settings."""

from __future__ import annotations

import re

import numpy as np
from PIL import Image
from playwright.sync_api import Page, Route, expect

from testing.servers import free_port
from tests.web.appearance import check_appearance
from tests.web.conftest import KOFI_ANNAN, Proxy, choose_files, jpeg, open_page, serve_proxy
from tests.web.served import serving
from tests.web.test_photos import expect_kofi_annan, panel


def test_upload_progress_and_cancel(page: Page, page_url: str, endpoint: str) -> None:
    open_page(page, page_url, endpoint)
    devtools = page.context.new_cdp_session(page)
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 100_000}
    devtools.send("Network.enable")
    devtools.send("Network.emulateNetworkConditions", slow)
    noise = np.random.default_rng(0).integers(0, 256, (1200, 1200, 3), dtype=np.uint8)
    choose_files(page, ("noise.jpg", jpeg(Image.fromarray(noise), quality=95)))
    expect(panel(page).locator("h2")).to_have_text(re.compile(r"Sending [1-9]\d? %"))
    check_appearance(page, "sending")
    page.get_by_role("button", name="Cancel").click()
    expect(panel(page).locator("h2")).to_have_text("Cancelled")
    expect(page.locator("#result")).to_be_focused()
    check_appearance(page, "cancelled")
    devtools.send("Network.emulateNetworkConditions", {**slow, "uploadThroughput": -1})
    page.get_by_role("button", name="Try again").click()
    expect(panel(page).locator("h2")).to_have_text("No face found")


def test_a_cold_start_is_explained(page: Page, page_url: str, proxy: Proxy) -> None:
    proxy.delay = 4
    open_page(page, page_url, proxy.url)
    choose_files(page, KOFI_ANNAN)
    expect(panel(page).locator("h2")).to_have_text("Looking for faces …")
    assert not panel(page).get_by_text("wake up").is_visible()
    expect(panel(page).get_by_text("wake up")).to_be_visible()
    check_appearance(page, "cold-start")
    expect_kofi_annan(page)


def test_a_service_that_stops_and_comes_back(page: Page, page_url: str, endpoint: str) -> None:
    port = free_port()
    page.goto(f"{page_url}?endpoint=http://localhost:{port}")
    expect(page.locator("#health")).to_have_text("Not reachable")
    choose_files(page, KOFI_ANNAN)
    expect(panel(page)).to_contain_text(f"Nothing answers at http://localhost:{port}.")
    check_appearance(page, "unreachable")
    with serve_proxy(endpoint, port):
        page.get_by_role("button", name="Try again").click()
        expect_kofi_annan(page)


def test_offline(loaded: Page) -> None:
    loaded.context.set_offline(True)
    expect(loaded.locator("#alert")).to_contain_text("You are offline.")
    choose_files(loaded, KOFI_ANNAN)
    expect(panel(loaded).locator("h2")).to_have_text("You are offline")
    expect(loaded.locator("#health")).to_have_text("Offline")
    check_appearance(loaded, "offline")
    loaded.context.set_offline(False)
    expect(loaded.locator("#alert")).to_be_hidden()
    loaded.get_by_role("button", name="Try again").click()
    expect_kofi_annan(loaded)


def test_cors(page: Page, page_url: str) -> None:
    """Page and service have different origins. To the page, a service that allows only others looks unreachable."""
    with serving(cors_origins=("https://page.example",)) as url:
        page.goto(f"{page_url}?endpoint={url}")
        choose_files(page, KOFI_ANNAN)
        expect(panel(page)).to_contain_text("Does it allow requests from this page (CORS)?")
    with serving(cors_origins=(page_url.rstrip("/"),)) as url:
        open_page(page, page_url, url)
        choose_files(page, KOFI_ANNAN)
        expect_kofi_annan(page)


UNEXPECTED_RESPONSES = [
    (429, '{"message": "Too Many Requests"}', "Too many requests at once."),
    (403, '{"message": "Forbidden"}', "The gateway refused the request (“Forbidden”). Does it need an API key"),
    (413, '{"message": "Request Too Long"}', "too large for the gateway in front"),
    (
        504,
        '{"message": "Endpoint request timed out"}',
        "did not answer in time, or it failed (“Endpoint request timed out”",
    ),
    (404, "<h1>Not found</h1>", "not the face recognition service (status 404)"),
    (200, "<h1>It works!</h1>", "not the face recognition service (status 200)"),
    (503, '{"error": {"code": "model_unavailable", "message": "The model cannot be fetched."}}', "cannot be fetched."),
]


def test_unexpected_responses(loaded: Page) -> None:
    """Replayed, not real: gateways, servers that are not the service, and a service without a model."""
    responses = iter(UNEXPECTED_RESPONSES)

    def respond(route: Route) -> None:
        status, body, _ = next(responses)
        route.fulfill(status=status, body=body, headers={"Access-Control-Allow-Origin": "*"})

    loaded.route("**/classify*", respond)
    for _, _, message in UNEXPECTED_RESPONSES:
        choose_files(loaded, KOFI_ANNAN)
        expect(panel(loaded)).to_contain_text(message)
    check_appearance(loaded, "error")


def test_a_key(page: Page, page_url: str, proxy: Proxy) -> None:
    with serving(api_key="secret") as url:
        open_page(page, page_url, url)
        choose_files(page, KOFI_ANNAN)
        expect(panel(page)).to_contain_text("This needs an API key")
        page.locator("#settings").click()
        page.get_by_label("API key").fill("wrong")
        page.get_by_role("button", name="Test").click()
        expect(page.locator("#settings-dialog .status")).to_contain_text("This needs an API key")
        check_appearance(page, "key")
        page.get_by_label("API key").fill("secret")
        page.get_by_role("button", name="Test").click()
        expect(page.locator("#settings-dialog .status")).to_contain_text("Connected: model ")
        page.get_by_role("button", name="Save").click()
        page.get_by_role("button", name="Try again").click()
        expect_kofi_annan(page)
        assert "secret" not in page.evaluate("JSON.stringify(localStorage)")
        assert "$API_KEY" in (page.locator("pre").nth(1).text_content() or "")
        page.reload()
        page.get_by_role("link", name="People").click()
        expect(page.locator("#people-view .person")).to_have_count(100)
    # A link to another endpoint must not send the key there.
    open_page(page, page_url, proxy.url)
    assert not any("x-api-key" in headers for headers in proxy.headers)


def test_another_endpoint(page: Page, page_url: str, endpoint: str) -> None:
    page.goto(f"{page_url}?endpoint=http://localhost:{free_port()}")
    expect(page.locator("#health")).to_have_text("Not reachable")
    page.locator("#settings").click()
    field = page.get_by_label("Address")
    for text, message in (("nonsense", "not a valid address"), ("http://example.org/dev", "must begin with https://")):
        field.fill(text)
        page.get_by_role("button", name="Save").click()
        expect(page.locator("#settings-dialog .status")).to_contain_text(message)
    field.fill(f"http://localhost:{free_port()}/dev")
    page.get_by_role("button", name="Test").click()
    expect(page.locator("#settings-dialog .status")).to_contain_text("Nothing answers at")
    check_appearance(page, "endpoint-wrong")
    field.fill(endpoint + "/")
    page.get_by_role("button", name="Test").click()
    expect(page.locator("#settings-dialog .status")).to_contain_text("Connected: model ")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#health")).to_have_text("Ready")
    page.goto(page_url)
    expect(page.locator("#health")).to_have_text("Ready")
    page.locator("#settings").click()
    page.get_by_role("button", name="Reset to default").click()
    assert page.evaluate("localStorage.length") == 0

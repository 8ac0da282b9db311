"""What goes wrong between the page and the service, and is put right; which service that is, and whom it knows."""

from __future__ import annotations

import re
import socketserver
import threading
import time
from contextlib import contextmanager
from typing import Iterator

import numpy as np
from PIL import Image
from playwright.sync_api import Page, Route, expect

import handler
from api.gateway import Gateway
from testing.servers import free_port
from tests.gateway import GatewayServer
from tests.web.conftest import KNOWN, Between, between, give, inspect, jpeg, visit
from tests.web.test_photos import names_kofi_annan, panel


class Several(socketserver.ThreadingMixIn, GatewayServer):
    """Browsers open connections that they do not use yet, and one of them would block a server of one thread."""

    daemon_threads = True


class Context:
    aws_request_id = "request-1"


@contextmanager
def serving(origins: str = "*", api_key: str = "") -> Iterator[str]:
    """The service itself, with other settings than that of `make run`."""
    gateway = Gateway(handler.router, origins, handler.current.version, api_key, False)
    lock = threading.Lock()

    def answer(event: dict) -> dict:
        with lock:
            return gateway.answer(event, Context())

    with Several(answer) as front:
        threading.Thread(target=front.serve_forever, daemon=True).start()
        yield front.url
        front.shutdown()


def test_upload_progress_and_cancel(page: Page, address: str, endpoint: str) -> None:
    visit(page, address, endpoint)
    line = page.context.new_cdp_session(page)
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 100_000}
    line.send("Network.enable")
    line.send("Network.emulateNetworkConditions", slow)
    noise = np.random.default_rng(0).integers(0, 256, (1200, 1200, 3), dtype=np.uint8)
    give(page, ("noise.jpg", jpeg(Image.fromarray(noise), quality=95)))
    expect(panel(page).locator("h2")).to_have_text(re.compile(r"Sending [1-9]\d? %"))
    inspect(page, "sending")
    page.get_by_role("button", name="Cancel").click()
    expect(panel(page).locator("h2")).to_have_text("Cancelled")
    expect(page.locator("#result")).to_be_focused()
    inspect(page, "cancelled")
    line.send("Network.emulateNetworkConditions", {**slow, "uploadThroughput": -1})
    page.get_by_role("button", name="Try again").click()
    expect(panel(page).locator("h2")).to_have_text("No face found")


def test_a_cold_start_is_explained(page: Page, address: str, proxy: Between) -> None:
    proxy.delay = 4
    visit(page, address, proxy.url)
    give(page, KNOWN)
    expect(panel(page).locator("h2")).to_have_text("Looking for faces …")
    assert not panel(page).get_by_text("wake up").is_visible()
    expect(panel(page).get_by_text("wake up")).to_be_visible()
    inspect(page, "cold-start")
    names_kofi_annan(page)


def test_a_service_that_is_gone_and_comes_back(page: Page, address: str, endpoint: str) -> None:
    port = free_port()
    page.goto(f"{address}?endpoint=http://localhost:{port}")
    expect(page.locator("#health")).to_have_text("Not reachable")
    give(page, KNOWN)
    expect(panel(page)).to_contain_text(f"Nothing answers at http://localhost:{port}.")
    inspect(page, "gone")
    with between(endpoint, port):
        page.get_by_role("button", name="Try again").click()
        names_kofi_annan(page)


def test_offline(opened: Page) -> None:
    opened.context.set_offline(True)
    expect(opened.locator("#trouble")).to_contain_text("You are offline.")
    give(opened, KNOWN)
    expect(panel(opened).locator("h2")).to_have_text("You are offline")
    expect(opened.locator("#health")).to_have_text("Offline")
    inspect(opened, "offline")
    opened.context.set_offline(False)
    expect(opened.locator("#trouble")).to_be_hidden()
    opened.get_by_role("button", name="Try again").click()
    names_kofi_annan(opened)


def test_answers_of_another_origin(page: Page, address: str) -> None:
    """Page and service never share one here; a service that lets only other pages read its answers looks silent."""
    with serving("https://page.example") as url:
        page.goto(f"{address}?endpoint={url}")
        give(page, KNOWN)
        expect(panel(page)).to_contain_text("does it let this page read its answers?")
    with serving(address.rstrip("/")) as url:
        visit(page, address, url)
        give(page, KNOWN)
        names_kofi_annan(page)


OTHERS = [
    (429, '{"message": "Too Many Requests"}', "Too many requests at once."),
    (403, '{"message": "Forbidden"}', "The gateway refuses (“Forbidden”). Does it need an API key"),
    (413, '{"message": "Request Too Long"}', "too large for what stands in front"),
    (
        504,
        '{"message": "Endpoint request timed out"}',
        "did not answer in time, or broke off (“Endpoint request timed out”",
    ),
    (404, "<h1>Not found</h1>", "not the face recognition service (status 404)"),
    (200, "<h1>It works!</h1>", "not the face recognition service (status 200)"),
    (503, '{"error": {"code": "model_unavailable", "message": "The model cannot be fetched."}}', "cannot be fetched."),
]


def test_what_others_answer(opened: Page) -> None:
    """Gateways, servers that are not the service, and the service when it has no model: none is at hand to be asked."""
    answers = iter(OTHERS)

    def answer(route: Route) -> None:
        status, body, _ = next(answers)
        route.fulfill(status=status, body=body, headers={"Access-Control-Allow-Origin": "*"})

    opened.route("**/classify*", answer)
    for _, _, said in OTHERS:
        give(opened, KNOWN)
        expect(panel(opened)).to_contain_text(said)
    inspect(opened, "error")


def test_a_key(page: Page, address: str, proxy: Between) -> None:
    with serving(api_key="secret") as url:
        visit(page, address, url)
        give(page, KNOWN)
        expect(panel(page)).to_contain_text("This needs an API key")
        page.locator("#settings").click()
        page.get_by_label("API key").fill("wrong")
        page.get_by_role("button", name="Test").click()
        expect(page.locator(".outcome")).to_contain_text("This needs an API key")
        inspect(page, "key")
        page.get_by_label("API key").fill("secret")
        page.get_by_role("button", name="Test").click()
        expect(page.locator(".outcome")).to_contain_text("610 people")
        page.get_by_role("button", name="Save").click()
        page.get_by_role("button", name="Try again").click()
        names_kofi_annan(page)
        assert "secret" not in page.evaluate("JSON.stringify(localStorage)")
        assert "$API_KEY" in (page.locator("pre").nth(1).text_content() or "")
        page.reload()
        page.locator("#people").click()
        expect(page.locator("#people-dialog li")).to_have_count(100)
    # Whoever makes somebody click on a link to an endpoint of theirs does not get the key.
    visit(page, address, proxy.url)
    assert not any("x-api-key" in headers for headers in proxy.headers)


def test_another_endpoint(page: Page, address: str, endpoint: str) -> None:
    page.goto(f"{address}?endpoint=http://localhost:{free_port()}")
    expect(page.locator("#health")).to_have_text("Not reachable")
    page.locator("#settings").click()
    field = page.get_by_label("Address")
    for wrong, said in (("nonsense", "not an address"), ("http://example.org/dev", "has to begin with https://")):
        field.fill(wrong)
        page.get_by_role("button", name="Save").click()
        expect(page.locator(".outcome")).to_contain_text(said)
    field.fill(f"http://localhost:{free_port()}/dev")
    page.get_by_role("button", name="Test").click()
    expect(page.locator(".outcome")).to_contain_text("Nothing answers at")
    inspect(page, "endpoint-wrong")
    field.fill(endpoint + "/")
    page.get_by_role("button", name="Test").click()
    expect(page.locator(".outcome")).to_contain_text("It answers: model ")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#health")).to_have_text("Ready, 610 people")
    page.goto(address)
    expect(page.locator("#health")).to_have_text("Ready, 610 people")
    page.locator("#settings").click()
    page.get_by_role("button", name="Back to the default").click()
    assert page.evaluate("localStorage.length") == 0


def test_people(opened: Page) -> None:
    opened.locator("#people").click()
    dialog = opened.locator("#people-dialog")
    expect(dialog.locator(".count")).to_have_text("610 of 610, the first 100 are shown")
    inspect(opened, "people")
    dialog.get_by_role("button", name="Show more").click()
    expect(dialog.locator("li")).to_have_count(200)
    dialog.get_by_label("Search").fill("annan")
    expect(dialog.locator("li")).to_have_text(["Kofi AnnanID 324"])
    dialog.get_by_label("Search").fill("324")
    expect(dialog.locator("li")).to_have_text(["Kofi AnnanID 324"])
    dialog.get_by_label("Search").fill("nobody of that name")
    expect(dialog.locator(".count")).to_have_text("Nobody of that name")


def test_sixty_thousand_people(opened: Page) -> None:
    everybody = [{"id": number, "name": f"José Number {number}"} for number in range(60_000)]
    answer = {"people": everybody, "count": len(everybody)}
    allow = {"Access-Control-Allow-Origin": "*"}
    opened.route("**/people", lambda route: route.fulfill(json=answer, headers=allow))
    opened.locator("#people").click()
    dialog = opened.locator("#people-dialog")
    expect(dialog.locator("li")).to_have_count(100)
    started = time.monotonic()
    dialog.get_by_label("Search").fill("jose 59999")
    expect(dialog.locator("li")).to_have_text(["José Number 59999ID 59999"])
    assert time.monotonic() - started < 2


def test_people_of_a_service_that_is_gone(page: Page, address: str, endpoint: str) -> None:
    port = free_port()
    page.goto(f"{address}?endpoint=http://localhost:{port}")
    page.locator("#people").click()
    expect(page.locator("#people-dialog .count")).to_contain_text("Nothing answers at")
    with between(endpoint, port):
        page.get_by_role("button", name="Try again").click()
        expect(page.locator("#people-dialog li")).to_have_count(100)

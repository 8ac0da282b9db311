"""Collections in the page: choose, create and delete them; services that cannot be changed; long lists."""

from __future__ import annotations

import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Page, Route, expect

from testing.paths import SAMPLES
from testing.servers import free_port
from tests.web.appearance import ALL, check_appearance
from tests.web.conftest import KOFI_ANNAN, choose_files, open_page, serve_proxy
from tests.web.managing import add_person, close_form, enter_key, form, remember_key, send, view
from tests.web.served import ADMIN_KEY, serving
from tests.web.test_photos import expect_kofi_annan, panel


def create(page: Page, name: str) -> None:
    view(page).get_by_role("button", name="New collection").click()
    page.locator("#name-dialog input").fill(name)
    page.keyboard.press("Enter")


def test_create_choose_and_delete(managed: Page) -> None:
    managed.get_by_role("link", name="People").click()
    create(managed, "our staff")
    enter_key(managed)
    expect(managed.locator("#name-dialog .error-text")).to_be_visible()
    check_appearance(managed, "collection-name", ALL)
    managed.locator("#name-dialog input").fill("staff")
    managed.keyboard.press("Enter")
    expect(view(managed).locator("h2")).to_have_text("Collection staff")
    expect(view(managed).locator(".people .status")).to_have_text("Nobody is in this collection yet.")
    check_appearance(managed, "people-empty", ALL)
    add_person(managed, "Eileen Collins", [SAMPLES / "astronaut.jpg"])
    close_form(managed)
    check_appearance(managed, "people-one", ALL)
    # The choice is remembered and sent, and the default is still the collection of the model.
    managed.reload()
    expect(managed.locator("#collection")).to_have_value("staff")
    managed.get_by_role("link", name="Recognize").click()
    managed.get_by_role("button", name="Sample photo of an astronaut").click()
    expect(panel(managed).locator(".toggle")).to_contain_text("Eileen Collins")
    expect(managed.locator("pre").nth(1)).to_contain_text("collection=staff")
    managed.locator("#collection").select_option("lfw")
    choose_files(managed, KOFI_ANNAN)
    expect_kofi_annan(managed)
    managed.locator("#collection").select_option("staff")
    managed.get_by_role("link", name="People").click()
    view(managed).get_by_role("button", name="Delete this collection").click()
    expect(managed.locator("#confirm-text")).to_contain_text("1 person and 1 face")
    managed.keyboard.press("Escape")
    view(managed).get_by_role("button", name="Delete this collection").click()
    managed.get_by_role("button", name="Delete the collection").click()
    expect(view(managed).locator(".changes")).to_have_text("staff was deleted, with 1 person.")
    expect(managed.locator("#collection")).to_have_value("lfw")
    expect(managed.locator("#collection option")).to_have_count(1)


def test_changes_are_switched_off(page: Page, page_url: str, tmp_path: Path) -> None:
    with serving(gallery_uri=str(tmp_path / "galleries")) as url:
        open_page(page, page_url, url)
        page.get_by_role("link", name="People").click()
        create(page, "staff")
        expect(page.locator("#name-dialog .status")).to_contain_text("Changes are switched off")
        expect(page.locator("#name-dialog .status")).to_contain_text("Set ADMIN_KEY")
        expect(page.locator("#key-dialog")).to_be_hidden()
        check_appearance(page, "management-off", ALL)


def test_no_place_for_people(page: Page, page_url: str) -> None:
    with serving(admin_key=ADMIN_KEY) as url:
        open_page(page, page_url, url)
        remember_key(page, url)
        page.get_by_role("button", name="Sample photo of an astronaut").click()
        panel(page).get_by_role("button", name="Add this person").click()
        form(page).get_by_label("Name").fill("Eileen Collins")
        send(page, "set GALLERY_URI")
        check_appearance(page, "no-galleries", ALL)


def test_the_key_prompt_can_be_cancelled(page: Page, page_url: str, tmp_path: Path) -> None:
    with serving(gallery_uri=str(tmp_path / "galleries"), admin_key=ADMIN_KEY) as url:
        open_page(page, page_url, url)
        page.get_by_role("link", name="People").click()
        create(page, "staff")
        page.locator("#key-dialog").get_by_role("button", name="Cancel").click()
        expect(page.locator("#name-dialog .status")).to_contain_text("Nothing was changed")
        page.keyboard.press("Enter")
        enter_key(page)
        expect(view(page).locator("h2")).to_have_text("Collection staff")
        # A link to another endpoint must not send the key there.
        with serve_proxy(url) as proxy:
            open_page(page, f"{page_url}", proxy.url)
            page.get_by_role("link", name="People").click()
            expect(view(page).locator(".person")).to_have_count(100)
            create(page, "others")
            expect(page.locator("#key-dialog")).to_be_visible()
            assert not any("x-api-key" in headers for headers in proxy.headers)


def test_the_administrators_key_is_also_valid_as_api_key(page: Page, page_url: str, tmp_path: Path) -> None:
    uri = str(tmp_path / "galleries")
    with serving(gallery_uri=uri, admin_key=ADMIN_KEY, api_key="reader") as url:
        open_page(page, page_url, url)
        page.get_by_role("link", name="People").click()
        expect(view(page).locator(".people .status")).to_contain_text("API key")
        expect(page.locator("#collection")).to_be_hidden()
        page.locator("#settings").click()
        page.get_by_label("API key").fill(ADMIN_KEY)
        page.get_by_role("button", name="Save").click()
        expect(view(page).locator(".person")).to_have_count(100)
        create(page, "staff")
        expect(view(page).locator("h2")).to_have_text("Collection staff")


def test_people_of_the_model(loaded: Page) -> None:
    loaded.get_by_role("link", name="People").click()
    expect(view(loaded).locator(".people .status")).to_have_text("610 people, showing the first 100")
    check_appearance(loaded, "people", ALL)
    view(loaded).get_by_role("button", name="Show more").click()
    expect(view(loaded).locator("li")).to_have_count(200)
    search = view(loaded).get_by_label("Search")
    for query in ("annan", "324"):
        search.fill(query)
        expect(view(loaded).locator("li")).to_have_text(["Kofi AnnanID 324, 1 face"])
    search.fill("no such name")
    expect(view(loaded).locator(".people .status")).to_have_text("No matching people")


def test_sixty_thousand_people(loaded: Page) -> None:
    """Replayed, not real, but in pages as the service sends them."""
    people = [{"id": number, "name": f"José Number {number}", "faces": 1} for number in range(60_000)]
    requested: list[str] = []

    def respond(route: Route) -> None:
        requested.append(route.request.url)
        after = int(parse_qs(urlsplit(route.request.url).query).get("after", ["-1"])[0])
        shown = people[after + 1 : after + 1001]
        body: dict = {"people": shown, "count": len(people)}
        if shown[-1]["id"] != people[-1]["id"]:
            body["next"] = shown[-1]["id"]
        route.fulfill(json=body, headers={"Access-Control-Allow-Origin": "*"})

    loaded.route("**/people?*", respond)
    loaded.get_by_role("link", name="People").click()
    expect(view(loaded).locator("li")).to_have_count(100)
    expect(view(loaded).locator(".people .status")).to_have_text("60,000 people, showing the first 100")
    # The list reads a page when it needs it.
    for _ in range(10):
        view(loaded).get_by_role("button", name="Show more").click()
    expect(view(loaded).locator("li")).to_have_count(1100)
    assert "after=999" in requested[-1]
    search = view(loaded).get_by_label("Search")
    search.fill("jose 59999")
    expect(view(loaded).locator("li")).to_have_text(["José Number 59999ID 59999, 1 face"], timeout=60_000)
    expect(view(loaded).locator(".people .status")).to_have_text("1 of 60,000 people")
    started = time.monotonic()
    search.fill("jose 59998")
    expect(view(loaded).locator("li")).to_have_text(["José Number 59998ID 59998, 1 face"])
    assert time.monotonic() - started < 2


def test_people_of_a_service_that_stops_and_comes_back(page: Page, page_url: str, endpoint: str) -> None:
    port = free_port()
    page.goto(f"{page_url}?endpoint=http://localhost:{port}#people")
    expect(view(page).locator(".people .status")).to_contain_text("Nothing answers at")
    with serve_proxy(endpoint, port):
        page.get_by_role("button", name="Try again").click()
        expect(view(page).locator(".person")).to_have_count(100)

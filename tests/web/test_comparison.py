"""Comparing two photos."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from testing.paths import SAMPLES
from testing.servers import free_port
from tests.web.appearance import ALL, check_appearance
from tests.web.conftest import KOFI_ANNAN, serve_proxy
from tests.web.managing import photos_of
from tests.web.test_photos import WALL


@pytest.fixture()
def compare(loaded: Page) -> Page:
    loaded.get_by_role("link", name="Compare").click()
    return loaded


def outcome(page: Page) -> Locator:
    return page.locator("#compare-view .outcome")


def choose(page: Page, *photos: Path) -> None:
    for slot, photo in zip(page.locator("#compare-view .slot").all(), photos):
        slot.locator("input").set_input_files(photo)
        expect(slot.locator("img")).to_be_visible()


def test_the_same_person(compare: Page, lfw_small: Path) -> None:
    check_appearance(compare, "compare-empty", ALL)
    choose(compare, *photos_of(lfw_small, "David_Beckham")[:2])
    expect(outcome(compare).locator("h2")).to_have_text("Same person")
    expect(outcome(compare)).to_contain_text("% confidence")
    expect(compare.locator("#compare-view .label")).to_have_text(["Same person", "Same person"])
    check_appearance(compare, "compare-same", ALL)


def test_different_people_and_another_photo(compare: Page, lfw_small: Path) -> None:
    beckham = photos_of(lfw_small, "David_Beckham")
    choose(compare, beckham[0], KOFI_ANNAN)
    expect(outcome(compare).locator("h2")).to_have_text("Different people")
    check_appearance(compare, "compare-different", ALL)
    compare.locator("#compare-view input").nth(1).set_input_files(beckham[1])
    expect(outcome(compare).locator("h2")).to_have_text("Same person")


def test_a_group(compare: Page, group: Path) -> None:
    choose(compare, SAMPLES / "astronaut.jpg", group)
    expect(outcome(compare)).to_contain_text("6. Different people")
    expect(compare.locator("#compare-view .label")).to_have_text(["Largest face", *"123456"])
    check_appearance(compare, "compare-group", ALL)


def test_a_photo_without_a_face(compare: Page, tmp_path: Path) -> None:
    wall = tmp_path / "wall.jpg"
    wall.write_bytes(WALL)
    choose(compare, KOFI_ANNAN, wall)
    expect(outcome(compare).locator("h2")).to_have_text("No face found")
    check_appearance(compare, "compare-no-face", ALL)
    notes = tmp_path / "notes.txt"
    notes.write_text("not a photo")
    compare.locator("#compare-view input").nth(1).set_input_files(notes)
    expect(outcome(compare)).to_contain_text("notes.txt is not a photo.")


def test_camera_and_drop(compare: Page) -> None:
    compare.get_by_role("button", name="Camera for the first photo").click()
    compare.get_by_role("button", name="Take the photo").click()
    files = compare.evaluate_handle(
        """async () => {
            const data = new DataTransfer();
            const blob = await (await fetch("samples/Kofi_Annan_0006.jpg")).blob();
            data.items.add(new File([blob], "dropped.jpg", { type: "image/jpeg" }));
            return data;
        }"""
    )
    expect(compare.locator("#compare-view .slot img")).to_have_count(1)
    compare.dispatch_event("footer", "drop", {"dataTransfer": files})
    expect(outcome(compare).locator("h2")).to_have_text("Same person")


def test_a_service_that_stops_and_comes_back(page: Page, page_url: str, endpoint: str) -> None:
    port = free_port()
    page.goto(f"{page_url}?endpoint=http://localhost:{port}#compare")
    choose(page, KOFI_ANNAN, KOFI_ANNAN)
    expect(outcome(page)).to_contain_text("Nothing answers at")
    check_appearance(page, "compare-failed", ALL)
    with serve_proxy(endpoint, port):
        outcome(page).get_by_role("button", name="Try again").click()
        expect(outcome(page).locator("h2")).to_have_text("Same person")

"""Steps that tests of managing people share."""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

from playwright.sync_api import Locator, Page, expect

from tests.web.served import ADMIN_KEY


def photos_of(lfw: Path, person: str) -> list[Path]:
    """Photos of a person in the folder that `lfw_small` returns."""
    return sorted((lfw / person).iterdir())


def strangers_of(lfw: Path, photos: int) -> list[list[Path]]:
    """Photos of the people in the folder who have so many."""
    return [paths for paths in (sorted(folder.iterdir()) for folder in sorted(lfw.iterdir())) if len(paths) == photos]


def view(page: Page) -> Locator:
    return page.locator("#people-view")


def form(page: Page) -> Locator:
    """The dialog that adds a person or photos."""
    return page.locator("#enrol-dialog")


def remarks(page: Page) -> Locator:
    """The remarks at the photos of the form."""
    return form(page).locator(".remark")


def choose_photos(page: Page, *photos: Path) -> None:
    page.set_input_files("#enrol-dialog input[type=file]", list(photos))


def send(page: Page, result: str) -> None:
    """Send the form and wait for a result that contains this text."""
    form(page).get_by_role("button", name="Add", exact=True).click()
    expect(form(page).locator(".status")).to_contain_text(result)


def enter_key(page: Page, key: str = ADMIN_KEY) -> None:
    dialog = page.locator("#key-dialog")
    expect(dialog).to_be_visible()
    dialog.get_by_label("The key").fill(key)
    page.keyboard.press("Enter")


def remember_key(page: Page, endpoint: str, key: str = ADMIN_KEY) -> None:
    """Store the administrator's key as the page does after it was asked for."""
    page.evaluate("([name, key]) => sessionStorage.setItem(name, key)", [f"administrator key of {endpoint}", key])


def add_person(page: Page, name: str, photos: Sequence[Path]) -> None:
    """Add a person in the people view. The key must be known."""
    page.get_by_role("link", name="People").click()
    view(page).get_by_role("button", name="Add a person").click()
    form(page).get_by_label("Name").fill(name)
    choose_photos(page, *photos)
    send(page, f"{name} was added with ")


def close_form(page: Page) -> None:
    form(page).get_by_role("button", name="Done").click()
    expect(form(page)).to_be_hidden()


def open_person(page: Page, name: str) -> Locator:
    """Open the dialog of a person in the list."""
    view(page).locator(".person", has=page.get_by_text(name, exact=True)).click()
    dialog = page.locator("#person-dialog")
    expect(dialog.get_by_role("button", name="Rename")).to_be_visible()
    return dialog

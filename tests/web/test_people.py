"""People in the page: add, recognize, rename, merge and delete them."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, expect

from testing.paths import SAMPLES
from tests.web.appearance import ALL, check_appearance
from tests.web.conftest import Proxy, choose_files, open_page
from tests.web.managing import (
    add_person,
    choose_photos,
    close_form,
    enter_key,
    form,
    open_person,
    photos_of,
    send,
    strangers_of,
    view,
)
from tests.web.served import ADMIN_KEY
from tests.web.test_photos import panel

ASTRONAUT = SAMPLES / "astronaut.jpg"


def test_from_the_first_photo_to_the_deletion(
    page: Page, page_url: str, endpoint: str, cloned: Path, lfw_small: Path
) -> None:
    """With `make run` and the key that it generates."""
    gul, roddick = photos_of(lfw_small, "Abdullah_Gul"), photos_of(lfw_small, "Andy_Roddick")
    open_page(page, page_url, endpoint)
    page.get_by_role("link", name="People").click()
    expect(view(page).locator(".note")).to_contain_text("read-only")
    view(page).get_by_role("button", name="Add a person").click()
    form(page).get_by_label("Name").fill("Abdullah")
    choose_photos(page, *gul[:2])
    form(page).get_by_role("button", name="Add", exact=True).click()
    enter_key(page, (cloned / ".admin-key").read_text().strip())
    expect(form(page).locator(".status")).to_have_text("Abdullah was added with 2 faces.")
    close_form(page)
    expect(page.locator("#collection")).to_have_value("people")
    add_person(page, "Andy Roddick", roddick[:2])
    close_form(page)
    page.get_by_role("link", name="Recognize").click()
    choose_files(page, gul[2])
    expect(panel(page).locator(".toggle")).to_contain_text("Abdullah")
    expect(panel(page).locator("dl")).to_contain_text("people, 2 people")
    page.get_by_role("link", name="People").click()
    dialog = open_person(page, "Abdullah")
    dialog.get_by_role("button", name="Rename").click()
    page.locator("#name-dialog").get_by_label("Name").fill("Abdullah Gül")
    page.keyboard.press("Enter")
    expect(dialog.locator("h2")).to_have_text("Abdullah Gül")
    dialog.get_by_role("button", name="Merge into").click()
    page.locator("#merge-dialog .person").click()
    page.get_by_role("button", name="Merge", exact=True).click()
    expect(dialog.locator(".status")).to_have_text("Abdullah Gül was merged into Andy Roddick.")
    expect(dialog.locator(".details")).to_contain_text("4 faces")
    dialog.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Delete the person").click()
    expect(view(page).locator(".people .status")).to_have_text("Nobody is in this collection yet.")
    page.get_by_role("link", name="Recognize").click()
    choose_files(page, gul[2])
    expect(panel(page).locator(".toggle")).to_contain_text("Nobody is in this collection yet")
    page.get_by_role("link", name="People").click()
    view(page).get_by_role("button", name="Delete this collection").click()
    page.get_by_role("button", name="Delete the collection").click()
    expect(page.locator("#collection")).to_have_value("lfw")


def test_a_stranger_becomes_known(managed: Page, gallery_proxy: Proxy, lfw_small: Path) -> None:
    first, second = strangers_of(lfw_small, 2)[0]
    choose_files(managed, first)
    expect(panel(managed).locator(".toggle")).to_contain_text("Unknown person")
    panel(managed).get_by_role("button", name="Add this person").click()
    expect(form(managed).locator(".file-name")).to_have_text(first.name)
    expect(form(managed).get_by_label("Name")).to_be_focused()
    form(managed).get_by_label("Name").fill("A stranger")
    choose_photos(managed, second)
    form(managed).get_by_role("button", name="Add", exact=True).click()
    enter_key(managed, "wrong")
    expect(managed.locator("#key-dialog .status")).to_contain_text("This is not the administrator")
    check_appearance(managed, "administrator-key", ALL)
    enter_key(managed)
    expect(form(managed).locator(".status")).to_have_text("A stranger was added with 2 faces.")
    close_form(managed)
    # The photo is recognized again by itself, now in the collection to which the person was added.
    expect(panel(managed).locator(".toggle")).to_contain_text("A stranger")
    expect(panel(managed).get_by_role("button", name="Add this photo to A stranger")).to_be_visible()
    check_appearance(managed, "added")
    assert ADMIN_KEY in managed.evaluate("JSON.stringify(sessionStorage)")
    assert managed.evaluate("localStorage.length") == 0
    # Reading is open here, so that only changes carry the key.
    keys = [headers.get("x-api-key") for headers in gallery_proxy.headers]
    assert set(keys) == {None, "wrong", ADMIN_KEY}
    assert keys.count(ADMIN_KEY) == 1


def test_a_photo_more_of_a_known_person(administrated: Page, lfw_small: Path) -> None:
    photos = photos_of(lfw_small, "Jackie_Chan")
    add_person(administrated, "Jackie Chan", photos[:2])
    close_form(administrated)
    administrated.get_by_role("link", name="Recognize").click()
    choose_files(administrated, photos[2])
    panel(administrated).get_by_role("button", name="Add this photo to Jackie Chan").click()
    expect(form(administrated).locator("h2")).to_have_text("Add photos of Jackie Chan")
    send(administrated, "1 face added to Jackie Chan.")
    form(administrated).get_by_role("button", name="Add more photos").click()
    choose_photos(administrated, photos[2])
    send(administrated, "These photos were stored already.")
    close_form(administrated)
    administrated.get_by_role("link", name="People").click()
    dialog = open_person(administrated, "Jackie Chan")
    expect(dialog.locator(".stored-faces li")).to_have_count(3)
    check_appearance(administrated, "person", ALL)
    dialog.get_by_role("button", name="Add photos").click()
    choose_photos(administrated, photos[3])
    send(administrated, "1 face added to Jackie Chan.")
    close_form(administrated)
    expect(dialog.locator(".stored-faces li")).to_have_count(4)
    dialog.get_by_role("button", name="Remove face 1").click()
    administrated.get_by_role("button", name="Remove the face").click()
    expect(dialog.locator(".stored-faces li")).to_have_count(3)


def test_names_are_no_markup(administrated: Page) -> None:
    name = "<img src=x onerror=alert(1)> & <b>Ann</b>"
    add_person(administrated, name, [ASTRONAUT])
    close_form(administrated)
    expect(view(administrated).locator(".person strong")).to_have_text(name)
    administrated.get_by_role("link", name="Recognize").click()
    choose_files(administrated, ASTRONAUT)
    expect(panel(administrated).locator(".toggle")).to_contain_text(name)
    expect(administrated.locator("#announcement")).to_contain_text(name)
    administrated.get_by_role("link", name="People").click()
    dialog = open_person(administrated, name)
    dialog.get_by_role("button", name="Delete", exact=True).click()
    expect(administrated.locator("#confirm-title")).to_have_text(f"Delete {name}?")
    assert administrated.locator("img[src=x], b").count() == 0


def test_confirming_by_keyboard(administrated: Page) -> None:
    add_person(administrated, "Eileen Collins", [ASTRONAUT])
    close_form(administrated)
    person, question = administrated.locator("#person-dialog"), administrated.locator("#confirm-dialog")
    view(administrated).locator(".person").focus()
    administrated.keyboard.press("Enter")
    person.get_by_role("button", name="Delete", exact=True).focus()
    administrated.keyboard.press("Enter")
    expect(question.get_by_role("button", name="Cancel")).to_be_focused()
    check_appearance(administrated, "confirm", ALL)
    for key in ("Enter", "Escape"):  # the one presses Cancel, the other closes the dialog
        administrated.keyboard.press(key)
        expect(question).to_be_hidden()
        expect(person.get_by_role("button", name="Delete", exact=True)).to_be_focused()
        administrated.keyboard.press("Enter")
        expect(question).to_be_visible()
    administrated.keyboard.press("Tab")
    administrated.keyboard.press("Enter")
    expect(person).to_be_hidden()
    expect(view(administrated).locator(".changes")).to_have_text("Eileen Collins was deleted.")
    expect(view(administrated).get_by_label("Search")).to_be_focused()

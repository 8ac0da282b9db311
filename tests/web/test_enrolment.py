"""The form that adds people and photos: photos are judged before and after they are sent."""

from __future__ import annotations

from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect

from testing.paths import SAMPLES
from tests.web.appearance import ALL, check_appearance
from tests.web.conftest import KOFI_ANNAN, Proxy, choose_files, dragged
from tests.web.managing import add_person, choose_photos, close_form, form, photos_of, remarks, send, view
from tests.web.test_photos import WALL, panel

ASTRONAUT = SAMPLES / "astronaut.jpg"


def test_photos_are_judged_before_and_after(administrated: Page, tmp_path: Path, group: Path) -> None:
    notes, copy, wall, dark = (tmp_path / name for name in ("notes.txt", "copy.jpg", "wall.jpg", "dark.jpg"))
    notes.write_text("not a photo")
    copy.write_bytes(ASTRONAUT.read_bytes())
    wall.write_bytes(WALL)
    Image.open(KOFI_ANNAN).point(lambda value: value * 0.15).save(dark)
    administrated.get_by_role("link", name="People").click()
    view(administrated).get_by_role("button", name="Add a person").click()
    choose_photos(administrated, ASTRONAUT, copy, group, notes, wall, dark)
    expect(remarks(administrated).nth(0)).to_have_text("Good photo")
    expect(remarks(administrated).nth(2)).to_contain_text("it has several faces")
    expect(remarks(administrated).nth(3)).to_contain_text("notes.txt is not a photo.")
    expect(remarks(administrated).nth(4)).to_have_text("No face was found. It will not be used.")
    expect(remarks(administrated).nth(5)).to_have_text("Not ideal: the face is too dark.")
    form(administrated).get_by_role("button", name="Remove dark.jpg").click()
    check_appearance(administrated, "add-person", ALL)
    form(administrated).get_by_role("button", name="Add", exact=True).click()
    expect(form(administrated).locator(".status")).to_have_text("Enter a name.")
    expect(form(administrated).get_by_label("Name")).to_be_focused()
    form(administrated).get_by_label("Name").fill("Eileen Collins")
    send(administrated, "Eileen Collins was added with 1 face.")
    expect(remarks(administrated).filter(has_text="Added")).to_have_count(1)
    expect(remarks(administrated).filter(has_text="Not used: this photo is stored already.")).to_have_count(1)
    expect(remarks(administrated).nth(2)).to_contain_text("Not used: it has several faces of similar size")
    # Advice, because only one photo was used.
    expect(form(administrated).locator(".notes li")).to_have_count(1)
    check_appearance(administrated, "added-person", ALL)


def test_a_small_bystander_does_not_matter(administrated: Page, tmp_path: Path) -> None:
    """Enrolment takes the largest face if it has twice the area of the next one, and the judgement before says so."""
    person, bystander = Image.open(ASTRONAUT), Image.open(KOFI_ANNAN)
    photo = Image.new("RGB", (person.width + bystander.width, person.height), "gray")
    photo.paste(person, (0, 0))
    photo.paste(bystander.resize((120, 120)), (person.width, 0))
    photo.save(tmp_path / "two.png")
    administrated.get_by_role("link", name="People").click()
    view(administrated).get_by_role("button", name="Add a person").click()
    choose_photos(administrated, tmp_path / "two.png")
    expect(remarks(administrated)).to_have_text("Good photo")
    form(administrated).get_by_label("Name").fill("Eileen Collins")
    send(administrated, "Eileen Collins was added with 1 face.")


def test_photos_none_of_which_can_be_used(administrated: Page, group: Path) -> None:
    administrated.get_by_role("link", name="People").click()
    view(administrated).get_by_role("button", name="Add a person").click()
    form(administrated).get_by_label("Name").fill("Nobody")
    send(administrated, "Add at least one photo")
    choose_photos(administrated, group)
    form(administrated).get_by_role("button", name="Add", exact=True).click()
    expect(remarks(administrated)).to_contain_text("Not used: it has several faces of similar size")
    expect(form(administrated).locator(".error-text")).to_be_visible()
    # The form can be corrected and sent again.
    choose_photos(administrated, ASTRONAUT)
    send(administrated, "Nobody was added with 1 face.")


def test_a_face_of_a_group_is_cut_out(administrated: Page, group: Path) -> None:
    choose_files(administrated, group)
    entry = panel(administrated).locator(".faces > li").nth(1)
    entry.locator(".toggle").click()
    entry.get_by_role("button", name="Add this person").click()
    expect(remarks(administrated)).not_to_contain_text("several faces")
    form(administrated).get_by_label("Name").fill("Second")
    send(administrated, "Second was added with 1 face.")
    close_form(administrated)
    expect(panel(administrated).locator(".faces > li").nth(1)).to_contain_text("Second")


def test_many_large_photos_are_sent_in_several_requests(
    administrated: Page, gallery_proxy: Proxy, tmp_path: Path, lfw_small: Path
) -> None:
    paths = []
    for number, photo in enumerate(photos_of(lfw_small, "Bill_Clinton")[:3]):
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(photo.read_bytes() + b"\0" * 2_000_000)  # decoders ignore bytes after the end of a JPEG
        paths.append(path)
    add_person(administrated, "Bill Clinton", paths)
    expect(form(administrated).locator(".status")).to_have_text("Bill Clinton was added with 3 faces.")
    assert all(len(body) < 4_500_000 for body in gallery_proxy.bodies)


def test_look_alikes_and_the_same_name(administrated: Page, lfw_small: Path) -> None:
    photos = photos_of(lfw_small, "Angelina_Jolie")
    add_person(administrated, "Angelina Jolie", photos[:2])
    close_form(administrated)
    add_person(administrated, "A. Jolie", photos[2:4])
    notes = form(administrated).locator(".notes li")
    expect(notes).to_contain_text(["Looks like Angelina Jolie"])
    check_appearance(administrated, "look-alike", ALL)
    notes.get_by_role("button", name="It is the same person").click()
    administrated.get_by_role("button", name="Merge", exact=True).click()
    expect(form(administrated).locator(".status")).to_have_text("Merged into Angelina Jolie, who now has 4 faces.")
    close_form(administrated)
    expect(view(administrated).locator(".person")).to_have_count(1)
    add_person(administrated, "Angelina Jolie", [ASTRONAUT])
    expect(notes.first).to_contain_text("Somebody else has the same name")


def test_photos_from_drop_paste_and_camera(administrated: Page) -> None:
    files = dragged(administrated)
    administrated.get_by_role("link", name="People").click()
    administrated.dispatch_event("footer", "drop", {"dataTransfer": files})
    expect(form(administrated)).to_be_visible()
    expect(remarks(administrated)).to_have_count(2)
    administrated.dispatch_event("#enrol-dialog", "dragenter", {"dataTransfer": files})
    expect(administrated.locator("#drop-overlay")).to_be_visible()
    administrated.dispatch_event("#enrol-dialog", "drop", {"dataTransfer": files})
    expect(administrated.locator("#drop-overlay")).to_be_hidden()
    expect(remarks(administrated)).to_have_count(4)
    form(administrated).get_by_role("button", name="Remove Kofi_Annan_0006.jpg").first.click()
    expect(remarks(administrated)).to_have_count(3)
    form(administrated).get_by_role("button", name="Camera").click()
    administrated.get_by_role("button", name="Take the photo").click()
    expect(remarks(administrated)).to_have_count(4)
    expect(remarks(administrated).nth(3)).to_have_text("Good photo")
    administrated.keyboard.press("Escape")
    expect(form(administrated)).to_be_hidden()
    view(administrated).get_by_role("button", name="Add a person").click()
    expect(remarks(administrated)).to_have_count(0)
    choose_photos(administrated, KOFI_ANNAN)
    expect(remarks(administrated)).to_have_count(1)

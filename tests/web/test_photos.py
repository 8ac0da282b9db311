"""Photos into the page, answers on it: a real browser, the real service, the real model."""

from __future__ import annotations

import io
import json
import re
import subprocess

import numpy as np
import pillow_heif
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from testing.paths import DATA, ROOT, SAMPLES
from tests.web.conftest import KNOWN, Between, give, inspect, jpeg, visit

GRADIENT = jpeg(Image.linear_gradient("L").resize((500, 400)))


def panel(page: Page) -> Locator:
    return page.locator("#result .panel")


def names_kofi_annan(page: Page) -> None:
    expect(panel(page).locator(".head")).to_contain_text("Kofi Annan")


def test_empty(opened: Page) -> None:
    inspect(opened, "empty")


def test_a_known_person(opened: Page) -> None:
    give(opened, KNOWN)
    names_kofi_annan(opened)
    expect(panel(opened).locator(".head")).to_contain_text("ID 324, 99.")
    expect(panel(opened).locator(".bars li")).to_have_count(5)
    expect(panel(opened).locator("dl")).to_contain_text("610 people")
    expect(opened.locator(".plate .tag")).to_have_text("Kofi Annan")
    expect(opened.locator(".overlay .mark")).to_have_count(5)
    expect(opened.locator("#say")).to_contain_text("Kofi_Annan_0006.jpg: Kofi Annan, 99.")
    box, photo = (opened.locator(what).bounding_box() for what in (".overlay .over", ".plate img"))
    assert box and photo
    # What openapi.yaml's example says of this photo, which has 250 pixels.
    assert (box["x"] - photo["x"]) / photo["width"] == pytest.approx(76.8 / 250, abs=0.02)
    assert box["height"] / photo["height"] == pytest.approx(121.9 / 250, abs=0.02)
    inspect(opened, "known")


def test_a_stranger(opened: Page) -> None:
    opened.get_by_role("button", name="Sample photo of an astronaut").click()
    expect(panel(opened).locator("h2")).to_have_text("Somebody it does not know")
    expect(panel(opened).locator(".head")).to_contain_text("Unknown person")
    expect(panel(opened).locator(".head")).to_contain_text("None of the 610 people")
    inspect(opened, "stranger")


def test_a_group(opened: Page) -> None:
    photo = DATA / "photos" / "multiface.jpg"
    if not photo.exists():
        pytest.skip(f"there is no {photo}: set DATA_DIR")
    give(opened, photo)
    expect(panel(opened).locator("h2")).to_have_text("6 faces")
    entries, faces = panel(opened).locator(".faces > li"), opened.locator(".overlay .face")
    expect(faces).to_have_count(6)
    entries.nth(2).hover()
    expect(faces.nth(2)).to_have_class(re.compile("lit"))
    expect(opened.locator(".tag").nth(2)).to_have_text(re.compile(r"^3 \w"))
    entries.nth(3).locator(".head").focus()
    expect(faces.nth(3)).to_have_class(re.compile("lit"))
    expect(entries.nth(3).locator(".bars")).to_be_hidden()
    opened.keyboard.press("Enter")
    expect(entries.nth(3).locator(".bars")).to_be_visible()
    inspect(opened, "group")


def test_no_face(opened: Page) -> None:
    give(opened, ("wall.jpg", GRADIENT))
    expect(panel(opened).locator("h2")).to_have_text("No face found")
    inspect(opened, "no-face")


def test_a_file_that_is_no_photo_stays_here(page: Page, address: str, proxy: Between) -> None:
    visit(page, address, proxy.url)
    give(page, ("notes.txt", b"not a photo" * 20))
    expect(panel(page)).to_contain_text("notes.txt is not a photo: JPEG, PNG, WebP, GIF or HEIC are taken.")
    inspect(page, "wrong-file")
    assert proxy.photos == []
    # What only calls itself one is the service's to judge.
    give(page, ("notes.jpg", b"not a photo" * 20))
    expect(panel(page)).to_contain_text("The file is not an image that can be read here")
    give(page, ("cut.jpg", KNOWN.read_bytes()[:2000]))
    expect(panel(page)).to_contain_text(re.compile("damaged|cut short|broken|end"))


def test_too_large_a_photo_is_scaled_down(page: Page, address: str, proxy: Between) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2400, 1800, 3), dtype=np.uint8)
    photo = jpeg(Image.fromarray(noise), quality=95)
    assert len(photo) > 4_500_000
    visit(page, address, proxy.url)
    give(page, ("noise.jpg", photo))
    expect(panel(page).locator("h2")).to_have_text("No face found")
    assert len(proxy.photos[0]) < 4_500_000


def test_too_large_a_file_stays_here(page: Page, address: str, proxy: Between) -> None:
    visit(page, address, proxy.url)
    padding = b"\0" * 5_000_000
    give(page, ("huge.jpg", b"\xff\xd8\xff" + padding), ("huge.heic", b"\0\0\0\x18ftypheic" + padding))
    expect(panel(page)).to_contain_text("huge.jpg cannot be opened here, and is too large to be sent")
    inspect(page, "too-large")
    page.locator(".thumb", has_text="huge.heic").click()
    expect(panel(page)).to_contain_text("This browser cannot open HEIC")
    assert proxy.photos == []


def test_a_phone_photo_is_turned_and_loses_its_exif(page: Page, address: str, proxy: Between) -> None:
    upright = Image.new("RGB", (1500, 2000), "gray")
    upright.paste(Image.open(KNOWN).resize((1200, 1200)), (150, 200))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    exif[0x010F] = "Phone maker"
    visit(page, address, proxy.url)
    give(page, ("phone.jpg", jpeg(upright.transpose(Image.Transpose.ROTATE_90), exif=exif)))
    names_kofi_annan(page)
    shown = page.locator(".plate img")
    assert [shown.evaluate("image => image.naturalWidth"), shown.evaluate("image => image.naturalHeight")] == [
        1200,
        1600,
    ]
    assert b"Exif" not in proxy.photos[0] and b"Phone maker" not in proxy.photos[0]
    inspect(page, "phone")
    # A small one goes through the same.
    small = upright.resize((300, 400)).transpose(Image.Transpose.ROTATE_90)
    give(page, ("small.jpg", jpeg(small, exif=exif, quality=95)))
    expect(panel(page).locator("dl")).to_contain_text(re.compile("300 . 400 pixels"))
    names_kofi_annan(page)
    assert b"Phone maker" not in proxy.photos[1]


def test_a_small_photo_goes_as_it_is(page: Page, address: str, proxy: Between) -> None:
    visit(page, address, proxy.url)
    give(page, KNOWN)
    names_kofi_annan(page)
    assert KNOWN.read_bytes() in proxy.photos[0]


def test_heic_goes_as_it_is(opened: Page) -> None:
    photo = io.BytesIO()
    pillow_heif.from_pillow(Image.open(KNOWN)).save(photo)
    give(opened, ("phone.heic", photo.getvalue()))
    names_kofi_annan(opened)
    expect(opened.locator(".plate")).to_contain_text("This browser cannot draw this photo.")
    inspect(opened, "heic")


def test_paste(opened: Page) -> None:
    opened.evaluate(
        """async () => {
            const blob = await (await fetch("samples/Kofi_Annan_0006.jpg")).blob();
            const bitmap = await createImageBitmap(blob);
            const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
            canvas.getContext("2d").drawImage(bitmap, 0, 0);
            const png = await canvas.convertToBlob();
            await navigator.clipboard.write([new ClipboardItem({ "image/png": png })]);
        }"""
    )
    opened.locator("h1").click()
    opened.keyboard.press("Control+V")
    names_kofi_annan(opened)
    opened.evaluate("navigator.clipboard.writeText('no picture')")
    opened.keyboard.press("Control+V")
    expect(opened.locator("#trouble")).to_have_text("There is no picture in the clipboard.")


def test_drop_anywhere(opened: Page) -> None:
    dropped = opened.evaluate_handle(
        """async () => {
            const data = new DataTransfer();
            for (const name of ["Kofi_Annan_0006.jpg", "Tony_Blair_0007.jpg"]) {
                data.items.add(new File([await (await fetch(`samples/${name}`)).blob()], name, { type: "image/jpeg" }));
            }
            return data;
        }"""
    )
    opened.dispatch_event("footer", "dragenter", {"dataTransfer": dropped})
    expect(opened.locator("#drop")).to_be_visible()
    inspect(opened, "drop")
    opened.dispatch_event("footer", "drop", {"dataTransfer": dropped})
    expect(opened.locator("#drop")).to_be_hidden()
    names_kofi_annan(opened)
    expect(opened.locator(".thumb").nth(1)).to_contain_text("Tony Blair")


def test_camera(opened: Page) -> None:
    opened.get_by_role("button", name="Camera").click()
    expect(opened.get_by_role("button", name="Take the photo")).to_be_enabled()
    inspect(opened, "camera")
    opened.get_by_role("button", name="Take the photo").click()
    names_kofi_annan(opened)
    assert opened.evaluate("document.querySelector('video').srcObject") is None


def test_a_phone_takes_photos_with_its_own_camera(browser: Browser, address: str, endpoint: str) -> None:
    phone = browser.new_context(viewport={"width": 360, "height": 780}, is_mobile=True, has_touch=True)
    page = visit(phone.new_page(), address, endpoint)
    expect(page.get_by_text("Take a photo")).to_be_visible()
    page.set_input_files("#capture", KNOWN)
    names_kofi_annan(page)
    # Without scrolling: a photo that is given is looked at.
    expect(page.locator(".plate")).to_be_in_viewport()
    phone.close()


def test_a_camera_that_is_refused(opened: Page) -> None:
    opened.evaluate(
        """() => {
            navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("", "NotAllowedError"));
        }"""
    )
    opened.get_by_role("button", name="Camera").click()
    expect(opened.locator("#camera-dialog .wrong")).to_contain_text("told not to let this page use the camera")
    inspect(opened, "camera-refused")


def test_several_photos_and_the_history(opened: Page) -> None:
    give(opened, KNOWN, SAMPLES / "astronaut.jpg", ("wall.jpg", GRADIENT), ("notes.txt", b"no photo"))
    thumbs = opened.locator(".thumb")
    for index, what in enumerate(("Kofi Annan", "Unknown person", "No face", "Failed")):
        expect(thumbs.nth(index)).to_contain_text(what)
    thumbs.nth(1).click()
    expect(panel(opened).locator("h2")).to_have_text("Somebody it does not know")
    expect(thumbs.nth(1)).to_have_attribute("aria-pressed", "true")
    expect(thumbs.nth(1)).to_be_focused()
    inspect(opened, "several")
    assert opened.evaluate("[localStorage.length, sessionStorage.length]") == [0, 0]
    opened.get_by_role("button", name="Forget all").click()
    expect(opened.locator("#visit")).to_be_hidden()
    expect(opened.locator(".empty")).to_be_visible()


def test_what_is_copied(opened: Page) -> None:
    give(opened, KNOWN)
    names_kofi_annan(opened)
    opened.get_by_role("button", name="Copy JSON").click()
    expect(opened.get_by_role("button", name="Copied")).to_be_visible()
    answer = json.loads(opened.evaluate("navigator.clipboard.readText()"))
    assert answer["predicted_name"] == "Kofi Annan"
    opened.get_by_role("button", name="Copy curl").click()
    expect(opened.get_by_role("button", name="Copied")).to_have_count(2)
    command = opened.evaluate("navigator.clipboard.readText()")
    done = subprocess.run(command, shell=True, cwd=SAMPLES, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout)["candidates"] == answer["candidates"]
    opened.get_by_text("JSON and curl").click()
    inspect(opened, "details")


def test_by_keyboard_alone(opened: Page) -> None:
    """From the address bar to an answer, and to its bars, in a few strokes."""
    for _ in range(20):
        opened.keyboard.press("Tab")
        if opened.evaluate("document.activeElement.querySelector('img')?.alt") == "Sample photo of Kofi Annan":
            break
    inspect(opened, "focus")
    opened.keyboard.press("Enter")
    names_kofi_annan(opened)
    for _ in range(20):
        opened.keyboard.press("Tab")
        if opened.evaluate("document.activeElement.className") == "head":
            break
    expect(opened.locator(".overlay .face")).to_have_class(re.compile("lit"))
    opened.keyboard.press("Enter")
    expect(panel(opened).locator(".bars")).to_be_hidden()
    opened.get_by_role("button", name="People", exact=True).focus()
    opened.keyboard.press("Enter")
    expect(opened.locator("#people-dialog")).to_be_visible()
    opened.keyboard.press("Escape")
    expect(opened.locator("#people-dialog")).to_be_hidden()
    expect(opened.get_by_role("button", name="People", exact=True)).to_be_focused()


def test_the_page_is_small_and_asks_nobody_else(page: Page, address: str, endpoint: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    visit(page, address, endpoint)
    page.wait_for_load_state("networkidle")
    assert [url for url in asked if not url.startswith((address, endpoint, "data:"))] == []
    files = [path for path in (ROOT / "web").rglob("*") if path.is_file() and "samples" not in path.parts]
    assert sum(path.stat().st_size for path in files) < 100_000
    assert "unsafe-inline" not in (ROOT / "web" / "index.html").read_text()

"""Sending photos and showing results: a real browser, the real service, the real model."""

from __future__ import annotations

import io
import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from testing.paths import ROOT, SAMPLES
from tests.web.appearance import check_appearance
from tests.web.conftest import KOFI_ANNAN, Proxy, choose_files, dragged, jpeg, open_page

WALL = jpeg(Image.linear_gradient("L").resize((500, 400)))


def panel(page: Page) -> Locator:
    return page.locator("#result .panel")


def expect_kofi_annan(page: Page) -> None:
    expect(panel(page).locator(".toggle")).to_contain_text("Kofi Annan")


def test_empty(loaded: Page) -> None:
    check_appearance(loaded, "empty")


def test_a_known_person(loaded: Page) -> None:
    choose_files(loaded, KOFI_ANNAN)
    expect_kofi_annan(loaded)
    expect(panel(loaded).locator(".toggle")).to_contain_text("ID 324, 99.")
    expect(panel(loaded).locator(".candidates li")).to_have_count(5)
    expect(panel(loaded).locator("dl")).to_contain_text("lfw, 610 people")
    expect(loaded.locator(".photo .label")).to_have_text("Kofi Annan")
    expect(loaded.locator(".overlay .landmark")).to_have_count(5)
    expect(loaded.locator("#announcement")).to_contain_text("Kofi_Annan_0006.jpg: Kofi Annan, 99.")
    box, photo = (loaded.locator(selector).bounding_box() for selector in (".overlay .light-line", ".photo img"))
    assert box and photo
    # The box in openapi.yaml's example, which is about this photo of 250 x 250 pixels.
    assert (box["x"] - photo["x"]) / photo["width"] == pytest.approx(76.8 / 250, abs=0.02)
    assert box["height"] / photo["height"] == pytest.approx(121.9 / 250, abs=0.02)
    check_appearance(loaded, "known")


def test_a_stranger(loaded: Page) -> None:
    loaded.get_by_role("button", name="Sample photo of an astronaut").click()
    expect(panel(loaded).locator("h2")).to_have_text("No known person")
    expect(panel(loaded).locator(".toggle")).to_contain_text("Unknown person")
    expect(panel(loaded).locator(".toggle")).to_contain_text("None of the 610 people")
    check_appearance(loaded, "stranger")


def test_a_group(loaded: Page, group: Path) -> None:
    choose_files(loaded, group)
    expect(panel(loaded).locator("h2")).to_have_text("6 faces")
    entries, faces = panel(loaded).locator(".faces > li"), loaded.locator(".overlay .face")
    expect(faces).to_have_count(6)
    entries.nth(2).hover()
    expect(faces.nth(2)).to_have_class(re.compile("highlighted"))
    expect(loaded.locator(".label").nth(2)).to_have_text(re.compile(r"^3 \w"))
    entries.nth(3).locator(".toggle").focus()
    expect(faces.nth(3)).to_have_class(re.compile("highlighted"))
    expect(entries.nth(3).locator(".candidates")).to_be_hidden()
    loaded.keyboard.press("Enter")
    expect(entries.nth(3).locator(".candidates")).to_be_visible()
    check_appearance(loaded, "group")


def test_no_face(loaded: Page) -> None:
    choose_files(loaded, ("wall.jpg", WALL))
    expect(panel(loaded).locator("h2")).to_have_text("No face found")
    check_appearance(loaded, "no-face")


def test_a_file_that_is_not_a_photo_is_not_sent(page: Page, page_url: str, proxy: Proxy) -> None:
    open_page(page, page_url, proxy.url)
    choose_files(page, ("notes.txt", b"not a photo" * 20))
    expect(panel(page)).to_contain_text("notes.txt is not a photo. Supported formats: JPEG, PNG, WebP, GIF, HEIC and A")
    check_appearance(page, "wrong-file")
    assert proxy.bodies == []
    # Files that are photos only by name are sent, and the service refuses them.
    choose_files(page, ("notes.jpg", b"not a photo" * 20))
    expect(panel(page)).to_contain_text("The file is not an image that can be read here")
    choose_files(page, ("cut.jpg", KOFI_ANNAN.read_bytes()[:2000]))
    expect(panel(page)).to_contain_text(re.compile("damaged|cut short|broken|end"))


def test_a_large_photo_is_scaled_down(page: Page, page_url: str, proxy: Proxy) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2400, 1800, 3), dtype=np.uint8)
    photo = jpeg(Image.fromarray(noise), quality=95)
    assert len(photo) > 4_500_000
    open_page(page, page_url, proxy.url)
    choose_files(page, ("noise.jpg", photo))
    expect(panel(page).locator("h2")).to_have_text("No face found")
    assert len(proxy.bodies[0]) < 4_500_000


def test_large_files_that_the_browser_cannot_open_are_not_sent(page: Page, page_url: str, proxy: Proxy) -> None:
    open_page(page, page_url, proxy.url)
    padding = b"\0" * 5_000_000
    choose_files(page, ("huge.jpg", b"\xff\xd8\xff" + padding), ("huge.heic", b"\0\0\0\x18ftypheic" + padding))
    expect(panel(page)).to_contain_text("This browser cannot open huge.jpg, and it is too large to send")
    check_appearance(page, "too-large")
    page.locator(".thumbnail", has_text="huge.heic").click()
    expect(panel(page)).to_contain_text("This browser cannot open HEIC photos")
    assert proxy.bodies == []


def test_a_phone_photo_is_rotated_and_its_exif_removed(page: Page, page_url: str, proxy: Proxy) -> None:
    upright = Image.new("RGB", (1500, 2000), "gray")
    upright.paste(Image.open(KOFI_ANNAN).resize((1200, 1200)), (150, 200))
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: rotate by 90 degrees
    exif[0x010F] = "Phone maker"
    open_page(page, page_url, proxy.url)
    choose_files(page, ("phone.jpg", jpeg(upright.transpose(Image.Transpose.ROTATE_90), exif=exif)))
    expect_kofi_annan(page)
    shown = page.locator(".photo img")
    assert [shown.evaluate("image => image.naturalWidth"), shown.evaluate("image => image.naturalHeight")] == [
        1200,
        1600,
    ]
    assert b"Exif" not in proxy.bodies[0] and b"Phone maker" not in proxy.bodies[0]
    check_appearance(page, "phone")
    # The same for a photo that need not be scaled down.
    small = upright.resize((300, 400)).transpose(Image.Transpose.ROTATE_90)
    choose_files(page, ("small.jpg", jpeg(small, exif=exif, quality=95)))
    expect(panel(page).locator("dl")).to_contain_text(re.compile("300 . 400 pixels"))
    expect_kofi_annan(page)
    assert b"Phone maker" not in proxy.bodies[1]


def test_a_small_photo_is_sent_unchanged(page: Page, page_url: str, proxy: Proxy) -> None:
    open_page(page, page_url, proxy.url)
    choose_files(page, KOFI_ANNAN)
    expect_kofi_annan(page)
    assert KOFI_ANNAN.read_bytes() in proxy.bodies[0]


def test_heic_is_sent_unchanged(loaded: Page) -> None:
    photo = io.BytesIO()
    pillow_heif.from_pillow(Image.open(KOFI_ANNAN)).save(photo)
    choose_files(loaded, ("phone.heic", photo.getvalue()))
    expect_kofi_annan(loaded)
    expect(loaded.locator(".photo")).to_contain_text("This browser cannot display this photo.")
    check_appearance(loaded, "heic")


def test_avif(loaded: Page) -> None:
    pillow_heif.register_avif_opener()
    photo = io.BytesIO()
    Image.open(KOFI_ANNAN).save(photo, "AVIF")
    choose_files(loaded, ("photo.avif", photo.getvalue()))
    expect_kofi_annan(loaded)


def test_paste(loaded: Page) -> None:
    loaded.evaluate(
        """async () => {
            const blob = await (await fetch("samples/Kofi_Annan_0006.jpg")).blob();
            const bitmap = await createImageBitmap(blob);
            const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
            canvas.getContext("2d").drawImage(bitmap, 0, 0);
            const png = await canvas.convertToBlob();
            await navigator.clipboard.write([new ClipboardItem({ "image/png": png })]);
        }"""
    )
    loaded.locator("h1").click()
    loaded.keyboard.press("Control+V")
    expect_kofi_annan(loaded)
    loaded.evaluate("navigator.clipboard.writeText('no photo')")
    loaded.keyboard.press("Control+V")
    expect(loaded.locator("#alert")).to_have_text("There is no photo in the clipboard.")


def test_drop_anywhere(loaded: Page) -> None:
    files = dragged(loaded)
    loaded.dispatch_event("footer", "dragenter", {"dataTransfer": files})
    expect(loaded.locator("#drop-overlay")).to_be_visible()
    check_appearance(loaded, "drop")
    loaded.dispatch_event("footer", "drop", {"dataTransfer": files})
    expect(loaded.locator("#drop-overlay")).to_be_hidden()
    expect_kofi_annan(loaded)
    expect(loaded.locator(".thumbnail").nth(1)).to_contain_text("Tony Blair")


def test_camera(loaded: Page) -> None:
    loaded.get_by_role("button", name="Camera").click()
    expect(loaded.get_by_role("button", name="Take the photo")).to_be_enabled()
    check_appearance(loaded, "camera")
    loaded.get_by_role("button", name="Take the photo").click()
    expect_kofi_annan(loaded)
    assert loaded.evaluate("document.querySelector('video').srcObject") is None


def test_a_phone_takes_photos_with_its_own_camera(browser: Browser, page_url: str, endpoint: str) -> None:
    phone = browser.new_context(viewport={"width": 360, "height": 780}, is_mobile=True, has_touch=True)
    page = open_page(phone.new_page(), page_url, endpoint)
    expect(page.get_by_text("Take a photo")).to_be_visible()
    page.set_input_files("#capture-input", KOFI_ANNAN)
    expect_kofi_annan(page)
    # The page scrolls to the photo by itself.
    expect(page.locator(".photo")).to_be_in_viewport()
    phone.close()


def test_a_camera_that_is_refused(loaded: Page) -> None:
    loaded.evaluate(
        """() => {
            navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("", "NotAllowedError"));
        }"""
    )
    loaded.get_by_role("button", name="Camera").click()
    expect(loaded.locator("#camera-dialog .status")).to_contain_text("does not allow this page to use the camera")
    check_appearance(loaded, "camera-refused")


def test_several_photos_and_the_history(loaded: Page) -> None:
    choose_files(loaded, KOFI_ANNAN, SAMPLES / "astronaut.jpg", ("wall.jpg", WALL), ("notes.txt", b"no photo"))
    thumbs = loaded.locator(".thumbnail")
    for index, text in enumerate(("Kofi Annan", "Unknown person", "No face", "Failed")):
        expect(thumbs.nth(index)).to_contain_text(text)
    thumbs.nth(1).click()
    expect(panel(loaded).locator("h2")).to_have_text("No known person")
    expect(thumbs.nth(1)).to_have_attribute("aria-pressed", "true")
    expect(thumbs.nth(1)).to_be_focused()
    check_appearance(loaded, "several")
    assert loaded.evaluate("[localStorage.length, sessionStorage.length]") == [0, 0]
    loaded.get_by_role("button", name="Remove all").click()
    expect(loaded.locator("#history")).to_be_hidden()
    expect(loaded.locator("#result .empty")).to_be_visible()


def test_copy_json_and_curl(loaded: Page) -> None:
    choose_files(loaded, KOFI_ANNAN)
    expect_kofi_annan(loaded)
    loaded.get_by_role("button", name="Copy JSON").click()
    expect(loaded.get_by_role("button", name="Copied")).to_be_visible()
    response = json.loads(loaded.evaluate("navigator.clipboard.readText()"))
    assert response["predicted_name"] == "Kofi Annan"
    loaded.get_by_role("button", name="Copy curl").click()
    expect(loaded.get_by_role("button", name="Copied")).to_have_count(2)
    command = loaded.evaluate("navigator.clipboard.readText()")
    done = subprocess.run(command, shell=True, cwd=SAMPLES, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout)["candidates"] == response["candidates"]
    loaded.get_by_text("JSON and curl").click()
    check_appearance(loaded, "details")


def test_by_keyboard_alone(loaded: Page) -> None:
    """From the address bar to a result and to its candidates with at most 20 Tab keys each."""
    for _ in range(20):
        loaded.keyboard.press("Tab")
        if loaded.evaluate("document.activeElement.querySelector('img')?.alt") == "Sample photo of Kofi Annan":
            break
    check_appearance(loaded, "focus")
    loaded.keyboard.press("Enter")
    expect_kofi_annan(loaded)
    for _ in range(20):
        loaded.keyboard.press("Tab")
        if loaded.evaluate("document.activeElement.className") == "toggle":
            break
    expect(loaded.locator(".overlay .face")).to_have_class(re.compile("highlighted"))
    loaded.keyboard.press("Enter")
    expect(panel(loaded).locator(".candidates")).to_be_hidden()
    loaded.locator("#settings").focus()
    loaded.keyboard.press("Enter")
    expect(loaded.locator("#settings-dialog")).to_be_visible()
    loaded.keyboard.press("Escape")
    expect(loaded.locator("#settings-dialog")).to_be_hidden()
    expect(loaded.locator("#settings")).to_be_focused()


def test_the_page_is_small_and_sends_no_requests_elsewhere(page: Page, page_url: str, endpoint: str) -> None:
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    open_page(page, page_url, endpoint)
    page.wait_for_load_state("networkidle")
    assert [url for url in requested if not url.startswith((page_url, endpoint, "data:"))] == []
    files = [path for path in (ROOT / "web").rglob("*") if path.is_file() and "samples" not in path.parts]
    assert sum(path.stat().st_size for path in files) < 120_000
    html = (ROOT / "web" / "index.html").read_text()
    assert "unsafe-inline" not in html
    # Otherwise the browser would find out about the modules one import after the other.
    modules = {path.name for path in files if path.suffix == ".js"} - {"app.js", "config.js"}
    assert set(re.findall(r'modulepreload" href="(.*?)"', html)) == modules

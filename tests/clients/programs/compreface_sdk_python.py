"""compreface-sdk-python, the package `compare`, with and without asyncio."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from compare import CompareFace  # type: ignore[import-not-found]

from tests.clients.programs.endpoint import DOMAIN, PORT, encoded, path

KEY = "compreface-key-of-sdk-python"


def run() -> dict[str, Any]:
    """Call all methods of the services."""
    made = CompareFace(DOMAIN, PORT)
    service, ids = made.init_recognition_service(KEY), {}
    found: dict[str, Any] = {"added_subject": service.add_a_subject("Kofi")}
    found["renamed"] = service.rename_a_subject("Kofi", "Kofi Annan")
    for name, add in {"kofi": _by_path(service), "kofi-turned": _in_base64(service)}.items():
        ids[name] = add("Kofi Annan", name)["image_id"]
    found["serena"] = service.add_a_img("Serena Williams", path("serena"), threshold=0.8)
    found["listed"] = service.list_saved_img_subject(page=1, size=2)
    found["listed_of_subject"] = service.list_saved_img_subject(subject="kofi annan")
    found["recognized"] = service.recognize(path("pair-turned"), face_plugins="landmarks,calculator", status=True)
    found["recognized_base64"] = service.recognize_by_64(encoded("kofi-again"), limit=1, prediction_count=2)
    found["verified"] = service.verify(path("kofi-again"), ids["kofi"])
    found["verified_base64"] = service.verify_by_64(encoded("serena"), ids["kofi"], threshold=0.5)
    with tempfile.TemporaryDirectory() as folder:
        found["downloaded"] = [
            len(Path(download(ids["kofi"], f"{folder}/photo.jpg")).read_bytes())
            for download in (service.download_a_img, service.direct_download_img)
        ]
    unknown = "11111111-1111-4111-8111-111111111111"
    found["deleted_several"] = service.delete_multiple_img([ids["kofi"], unknown])
    found["deleted"] = service.delete_a_img(ids["kofi-turned"])
    found["deleted_of_subject"] = service.delete_saved_img_by_subject("Serena Williams")
    found["subjects"] = service.list_all_subjects()
    found["deleted_subject"] = service.delete_a_subject("Kofi Annan")
    service.add_a_subject("Tony")
    found["deleted_all"] = service.delete_all_subjects()
    return {**found, **_stateless(made)}


def _by_path(service: Any) -> Any:
    return lambda subject, name: service.add_a_img(subject, path(name))


def _in_base64(service: Any) -> Any:
    return lambda subject, name: service.add_a_img_by_64(subject, encoded(name))


def _stateless(made: Any) -> dict[str, Any]:
    detection, verification = made.init_detect_service(KEY), made.init_verify_service(KEY)
    return {
        "detected": detection.detect(path("pair"), face_plugins="landmarks"),
        "detected_base64": detection.detect_by_64(encoded("kofi")),
        "compared": verification.verify(path("kofi"), path("pair-turned")),
        "compared_base64": verification.verify_by_64(encoded("kofi"), encoded("serena"), status=True),
        "not_base64": detection.detect_by_64("no image!"),
    }


def run_async() -> dict[str, Any]:
    """Call the same with asyncio, one request after the other."""
    return asyncio.run(_run_async())


async def _run_async() -> dict[str, Any]:
    made = CompareFace(DOMAIN, PORT)
    service = made.init_async_recognition_service(KEY)
    first = await service.add_a_img("Kofi Annan", path("kofi"))
    second = await service.add_a_img_by_64("Kofi Annan", encoded("kofi-turned"))
    return {
        "recognized": await service.recognize(path("kofi-again")),
        "recognized_base64": await service.recognize_by_64(encoded("kofi-again"), detect_faces=True),
        "verified": await service.verify(path("kofi-again"), first["image_id"]),
        "listed": await service.list_saved_img_subject(),
        "deleted_several": await service.delete_multiple_img([first["image_id"], second["image_id"]]),
        "subjects": await service.list_all_subjects(),
        "deleted_all": await service.delete_all_subjects(),
        "detected": await made.init_async_detect_service(KEY).detect(path("kofi")),
        "compared": await made.init_async_verify_service(KEY).verify_by_64(encoded("kofi"), encoded("kofi-turned")),
    }


def short() -> dict[str, Any]:
    """Add, recognize and delete a person."""
    service = CompareFace(DOMAIN, PORT).init_recognition_service(KEY)
    found = {
        "added": service.add_a_img("Kofi Annan", path("kofi")),
        "known": service.recognize(path("kofi-turned")),
        "known_base64": service.recognize_by_64(encoded("kofi-turned")),
    }
    return {**found, "deleted": service.delete_a_subject("Kofi Annan"), "left": service.list_all_subjects()}

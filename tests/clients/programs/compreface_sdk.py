"""compreface-sdk, the package `compreface`, which Viseron uses."""

from __future__ import annotations

from typing import Any

from compreface import CompreFace  # type: ignore[import-not-found]

from tests.clients.programs.endpoint import DOMAIN, PORT, path, photo

KEY = "compreface-key-of-sdk"
OPTIONS = {"limit": 0, "det_prob_threshold": 0.8, "prediction_count": 1, "status": True}


def subjects() -> dict[str, Any]:
    """Add, rename, list and delete subjects."""
    ours = CompreFace(DOMAIN, PORT).init_face_recognition(KEY).get_subjects()
    return {
        "empty": ours.list(),
        "added": ours.add("Kofi Annan"),
        "again": ours.add("Kofi Annan"),
        "too_long": ours.add("K" * 51),
        "listed": ours.list(),
        "renamed": ours.update("Kofi Annan", "K. A. Annan"),
        "renamed_nobody": ours.update("Kofi Annan", "Nobody"),
        "listed_later": ours.list(),
        "deleted": ours.delete("K. A. Annan"),
        "deleted_again": ours.delete("K. A. Annan"),
        "added_more": [ours.add("Serena"), ours.add("Tony")],
        "deleted_all": ours.delete_all(),
        "left": ours.list(),
    }


def faces() -> dict[str, Any]:
    """Add photos of two people, list, verify and delete their faces."""
    service = CompreFace(DOMAIN, PORT).init_face_recognition(KEY)
    ours = service.get_face_collection()
    first = ours.add(path("kofi"), "Kofi Annan", {"det_prob_threshold": 0.8})
    found = {
        "first": first,
        "bytes": ours.add(photo("kofi-turned"), "kofi annan"),
        "other": ours.add(path("serena"), "Serena Williams"),
        "subjects": service.get_subjects().list(),
        "listed": ours.list(),
        "no_face": ours.add(path("wall"), "Nobody"),
        "two_faces": ours.add(path("pair"), "Nobody"),
        "verified": ours.verify(path("kofi-again"), first["image_id"], {"face_plugins": "landmarks", "status": True}),
        "verified_other": ours.verify(path("serena-turned"), first["image_id"]),
        "verified_unknown": ours.verify(path("kofi"), "11111111-1111-4111-8111-111111111111"),
        "deleted": ours.delete(first["image_id"]),
        "deleted_again": ours.delete(first["image_id"]),
        "deleted_of_subject": ours.delete_all("Kofi Annan"),
        "left": ours.list(),
        "deleted_all": ours.delete_all(""),
    }
    service.get_subjects().delete_all()
    return found


def recognize() -> dict[str, Any]:
    """Recognize people in several photos, with all options."""
    service = CompreFace(DOMAIN, PORT, OPTIONS).init_face_recognition(KEY)
    empty = service.recognize(path("kofi"))
    for name, subject in {"kofi": "Kofi Annan", "kofi-turned": "Kofi Annan", "serena": "Serena Williams"}.items():
        service.get_face_collection().add(path(name), subject)
    plugins = {**OPTIONS, "face_plugins": "landmarks,calculator,age,gender,mask"}
    found = {
        "empty": empty,
        "known": service.recognize(path("kofi-again")),
        "pair": service.recognize(path("pair-turned"), plugins),
        "largest": service.recognize(photo("pair-turned"), {"limit": 1, "prediction_count": 2}),
        "stranger": service.recognize(path("jennifer"), {**OPTIONS, "status": False}),
        "no_face": service.recognize(path("wall")),
    }
    service.get_subjects().delete_all()
    return found


def verify_and_detect() -> dict[str, Any]:
    """Compare photos, and detect faces in them. A key that is not known is refused."""
    made = CompreFace(DOMAIN, PORT)
    verification, detection = made.init_face_verification(KEY), made.init_face_detection(KEY)
    return {
        "verified": verification.verify(path("kofi"), path("pair-turned"), {"face_plugins": "landmarks", "limit": 0}),
        "no_source_face": verification.verify(path("wall"), path("kofi")),
        "two_source_faces": verification.verify(path("pair"), path("kofi")),
        "detected": detection.detect(path("pair"), {"limit": 0, "face_plugins": "landmarks", "status": True}),
        "largest": detection.detect(path("pair"), {"limit": 1}),
        "no_face": detection.detect(path("wall")),
        "wrong_key": made.init_face_detection("another").detect(path("kofi")),
    }


def short() -> dict[str, Any]:
    """Add, recognize and delete a person."""
    service = CompreFace(DOMAIN, PORT).init_face_recognition(KEY)
    found = {
        "added": service.get_face_collection().add(path("kofi"), "Kofi Annan"),
        "known": service.recognize(path("kofi-turned"), OPTIONS),
    }
    return {**found, "deleted": service.get_subjects().delete("Kofi Annan"), "left": service.get_subjects().list()}

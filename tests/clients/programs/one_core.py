"""The same people through all three interfaces: boto3, a CompreFace client and this service's own API."""

from __future__ import annotations

from typing import Any

import boto3
import requests
from compreface import CompreFace  # type: ignore[import-not-found]

from tests.clients.programs.endpoint import ADMIN_KEY, DOMAIN, PORT, URL, path, photo

COLLECTION = "shared"
KEY = "compreface-key-of-shared"  # of CompreFace's clients, for the same collection


def _native(method: str, target: str, **content: Any) -> dict[str, Any]:
    response = requests.request(
        method,
        f"{URL}{target}",
        params={"collection": COLLECTION},
        headers={"X-Api-Key": ADMIN_KEY},
        timeout=60,
        **content,
    )
    return response.json()


def _found(name: str) -> dict[str, Any]:
    """Names of the person in a photo, by interface. Rekognition's clients find none below 80 %."""
    matches = boto3.client("rekognition").search_faces_by_image(CollectionId=COLLECTION, Image={"Bytes": photo(name)})
    faces = CompreFace(DOMAIN, PORT).init_face_recognition(KEY).recognize(path(name), {"limit": 1})["result"]
    own = _native("POST", "classify", files={"file": photo(name)})
    return {
        "boto3": sorted({match["Face"].get("ExternalImageId") for match in matches["FaceMatches"]} - {None}),
        "boto3_matches": len(matches["FaceMatches"]),
        "compreface": [each["subject"] for face in faces for each in face["subjects"] if each["similarity"] >= 0.5],
        "native": own["predicted_name"],
    }


def _listed() -> dict[str, Any]:
    """Names in the collection, by interface."""
    subjects = CompreFace(DOMAIN, PORT).init_face_recognition(KEY).get_subjects().list()["subjects"]
    return {
        "boto3": len(boto3.client("rekognition").list_faces(CollectionId=COLLECTION)["Faces"]),
        "compreface": subjects,
        "native": [person["name"] for person in _native("GET", "people")["people"]],
    }


def enrolled_with_boto3() -> dict[str, Any]:
    """Enrol with boto3, find everywhere, delete natively."""
    rekognition = boto3.client("rekognition")
    rekognition.create_collection(CollectionId=COLLECTION)
    for name in ("kofi", "kofi-turned"):
        rekognition.index_faces(CollectionId=COLLECTION, Image={"Bytes": photo(name)}, ExternalImageId="Kofi_Annan")
    found = {"found": _found("kofi-again"), "listed": _listed()}
    (person,) = _native("GET", "people")["people"]
    found["person"] = person
    found["deleted"] = _native("DELETE", f"people/{person['id']}")
    found.update(listed_later=_listed(), found_later=_found("kofi-again"))
    rekognition.delete_collection(CollectionId=COLLECTION)
    return found


def enrolled_natively() -> dict[str, Any]:
    """Enrol natively, find everywhere, delete with a CompreFace client."""
    requests.put(f"{URL}collections/{COLLECTION}", headers={"X-Api-Key": ADMIN_KEY}, timeout=60)
    enrolled = _native("POST", "people", data={"name": "Serena Williams"}, files={"file": photo("serena")})
    found = {"enrolled": enrolled, "found": _found("serena-turned"), "listed": _listed()}
    subjects = CompreFace(DOMAIN, PORT).init_face_recognition(KEY).get_subjects()
    found["deleted"] = subjects.delete("serena williams")
    found["listed_later"] = _listed()
    boto3.client("rekognition").delete_collection(CollectionId=COLLECTION)
    return found

"""boto3: users, to whom faces are associated."""

from __future__ import annotations

from typing import Any

from tests.clients.programs.rekognition_client import client, code, image
from tests.clients.programs.rekognition_faces import NOBODY

PLACE = {"CollectionId": "users"}


def life_cycle() -> dict[str, Any]:
    """Create users, list them and delete them."""
    rekognition, place = client(), {"CollectionId": "listed-users"}
    rekognition.create_collection(**place)
    found: dict[str, Any] = {"made": []}
    for name in ("kofi", "serena:1", "tony"):
        made = rekognition.create_user(**place, UserId=name, ClientRequestToken=f"create-{name}".replace(":", "-"))
        found["made"].append(sorted(set(made) - {"ResponseMetadata"}))
    found["again"] = code(rekognition.create_user, **place, UserId="kofi")
    found["pages"] = list(rekognition.get_paginator("list_users").paginate(**place, PaginationConfig={"PageSize": 1}))
    found["described"] = rekognition.describe_collection(**place)
    rekognition.delete_user(**place, UserId="tony", ClientRequestToken="delete-tony")
    found["deleted_again"] = code(rekognition.delete_user, **place, UserId="tony")
    found["left"] = rekognition.list_users(**place)["Users"]
    found["nowhere"] = code(rekognition.create_user, CollectionId="nowhere", UserId="kofi")
    rekognition.delete_collection(**place)
    return found


def faces() -> dict[str, Any]:
    """Associate faces with users, search for users and disassociate the faces."""
    rekognition = client()
    rekognition.create_collection(**PLACE)
    ids = {}
    for name in ("kofi", "kofi-turned", "serena", "serena-turned"):
        (record,) = rekognition.index_faces(**PLACE, Image=image(name))["FaceRecords"]
        ids[name] = record["Face"]["FaceId"]
    for user in ("user-kofi", "user-serena"):
        rekognition.create_user(**PLACE, UserId=user)
    found: dict[str, Any] = {"ids": ids, **_associate(rekognition, ids), **_search(rekognition, ids)}
    kofi = {**PLACE, "UserId": "user-kofi"}
    found["deleted_face"] = rekognition.delete_faces(**PLACE, FaceIds=[ids["kofi"]])
    found["disassociated"] = rekognition.disassociate_faces(**kofi, FaceIds=[ids["kofi-turned"], NOBODY])
    found["faces_left"] = rekognition.list_faces(**kofi)["Faces"]
    found["deleted_face_later"] = rekognition.delete_faces(**PLACE, FaceIds=[ids["kofi-turned"]])
    rekognition.delete_user(**kofi)
    found["users_left"] = rekognition.list_users(**PLACE)["Users"]
    found["faces_of_nobody"] = rekognition.list_faces(**PLACE)["Faces"]
    rekognition.delete_collection(**PLACE)
    return found


def _associate(rekognition: Any, ids: dict[str, str]) -> dict[str, Any]:
    kofi, serena = ({**PLACE, "UserId": user} for user in ("user-kofi", "user-serena"))
    return {
        "first": rekognition.associate_faces(**kofi, FaceIds=[ids["kofi"]], ClientRequestToken="associate-kofi"),
        "more": rekognition.associate_faces(**kofi, FaceIds=[ids["kofi-turned"]], UserMatchThreshold=80),
        "unlike": rekognition.associate_faces(**kofi, FaceIds=[ids["serena"]], UserMatchThreshold=75),
        "serena": rekognition.associate_faces(**serena, FaceIds=[ids["serena"], ids["serena-turned"]]),
        "taken": rekognition.associate_faces(**serena, FaceIds=[ids["kofi"]], UserMatchThreshold=0),
        "unknown": rekognition.associate_faces(**kofi, FaceIds=[NOBODY]),
        "to_nobody": code(rekognition.associate_faces, **PLACE, UserId="nobody", FaceIds=[ids["kofi"]]),
        "faces": rekognition.list_faces(**kofi)["Faces"],
        "described": rekognition.describe_collection(**PLACE),
    }


def _search(rekognition: Any, ids: dict[str, str]) -> dict[str, Any]:
    def by_image(name: str, **options: Any) -> dict[str, Any]:
        return rekognition.search_users_by_image(**PLACE, Image=image(name), **options)

    return {
        "by_image": by_image("kofi-again"),
        "by_image_everybody": by_image("kofi-again", UserMatchThreshold=0, MaxUsers=500, QualityFilter="NONE"),
        "by_largest_face": by_image("pair"),
        "by_stranger": by_image("jennifer"),
        "by_no_face": by_image("wall"),
        "by_face": rekognition.search_users(**PLACE, FaceId=ids["kofi"]),
        "by_user": rekognition.search_users(**PLACE, UserId="user-kofi", UserMatchThreshold=0, MaxUsers=1),
        "by_nobody": code(rekognition.search_users, **PLACE, UserId="nobody"),
        "by_unknown_face": code(rekognition.search_users, **PLACE, FaceId=NOBODY),
    }

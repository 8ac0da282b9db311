"""`python -m training people`: on a folder, in S3 and behind an endpoint, with networks that recognize nobody."""

from __future__ import annotations

import json
import unicodedata
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, Iterator, NamedTuple

import pytest
from PIL import Image

from api.errors import BadParameter
from api.parameters import check_text
from app import create_app
from model.embedding import GENERIC
from service.names import clean
from settings import Settings
from testing.emulator import Emulator
from testing.events import request as event_of
from testing.events import upload
from testing.paths import SAMPLES
from tests import versions as tiny
from tests.gateway import serving
from training.__main__ import main
from training.publishing.collections import Access

KEY = "administrator"
KOFI, TONY = SAMPLES / "Kofi_Annan_0006.jpg", SAMPLES / "Tony_Blair_0007.jpg"
NAMES = ["Zoë Müller", "山田\u3000太郎", "क्\u200dषमा", "👩\u200d🔬", "O'Neill\u00a0", " Ada ", "x" * 255]
NO_NAMES = ["", " ", "Ada\nKing", "Ada\tKing", "Ada\x07", "Ada\x85King", "\u202eAda", "Ada\u2028", "\udc80", "x" * 256]
UNKNOWN = "Nobody in this collection has this ID."


class Place(NamedTuple):
    """A collection. options: of the command, without the collection's; galleries: folder or S3 prefix."""

    options: list[str]
    galleries: str
    model: str
    collection: str

    def access(self) -> Access:
        return Access(self.galleries, self.model, self.collection)


class Done(NamedTuple):
    code: int
    out: str
    err: str


People = Callable[..., Done]


@pytest.fixture(scope="module")
def endpoint(networks: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """URL of the function, and the folder of its collections."""
    folder = tmp_path_factory.mktemp("endpoint")
    galleries = str(folder / "galleries")
    emulator = Emulator(folder / "log", MODEL_URI=str(networks), GALLERY_URI=galleries, ADMIN_KEY=KEY)
    try:
        with serving(emulator.answer) as url:
            yield url, galleries
    finally:
        emulator.close()


def empty_collection(request: pytest.FixtureRequest) -> Place:
    """Create a collection at the place that the parameter names."""
    model = str(request.getfixturevalue("networks"))
    if request.param == "endpoint":
        url, galleries = request.getfixturevalue("endpoint")
        options = ["--url", url, "--key", KEY]
    else:
        fixture = request.getfixturevalue("uri" if request.param == "s3" else "tmp_path")
        galleries = str(fixture)
        options = ["--galleries", galleries, "--model", model]
    place = Place(options, galleries, model, uuid.uuid4().hex)
    assert place.access().galleries.create(place.collection)
    return place


@pytest.fixture(params=["folder", "s3", "endpoint"])
def place(request: pytest.FixtureRequest) -> Place:
    return empty_collection(request)


@pytest.fixture(params=["folder", "s3"])
def stored(request: pytest.FixtureRequest) -> Place:
    return empty_collection(request)


@pytest.fixture()
def people(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Runs an action of the command on a collection."""

    def run(place: Place, *action: object, collection: str | None = None) -> Done:
        options = [*place.options, "--collection", collection or place.collection]
        capsys.readouterr()
        code = main(["people", *map(str, action), *options])
        return Done(code, *capsys.readouterr())

    return run


@pytest.fixture()
def blank(tmp_path: Path) -> Path:
    """A photo without a face."""
    Image.new("RGB", (64, 64)).save(tmp_path / "blank.png")
    return tmp_path / "blank.png"


# Actions


def test_people_come_and_go(place: Place, people: People, blank: Path) -> None:
    assert people(place, "list") == (0, "There is nobody.\n", "")
    added = people(place, "add", unicodedata.normalize("NFD", " Zoë Müller"), KOFI)
    assert added == (0, "", "Zoë Müller: ID 0, 1 photo added\n")
    added = people(place, "add", "Ada Lovelace", TONY, blank)
    assert added.code == 0
    assert added.err.endswith("blank.png: left out, no face found\nAda Lovelace: ID 1, 1 photo added\n")
    assert people(place, "list").out == "0      1  Zoë Müller\n1      1  Ada Lovelace\n"

    assert people(place, "rename", 1, "Ada King") == (0, "", "")
    assert people(place, "list").out == "0      1  Zoë Müller\n1      1  Ada King\n"
    assert people(place, "merge", 1, 0) == (0, "", "")
    assert people(place, "list").out == "0      2  Zoë Müller\n"
    assert people(place, "delete", 0) == (0, "", "")
    assert people(place, "add", "Nobody Yet").err == "Nobody Yet: ID 2, 0 photos added\n"
    assert people(place, "list").out == "2      0  Nobody Yet\n"


def test_what_is_not_there(place: Place, people: People) -> None:
    people(place, "add", "Ada")
    for action in (("rename", 7, "Zoë"), ("merge", 7, 0), ("merge", 0, 7), ("delete", 7)):
        done = people(place, *action)
        assert (done.code, done.out) == (1, "")
        assert done.err.startswith("error: ")
        assert done.err.endswith(f"{UNKNOWN}\n")
        elsewhere = people(place, *action, collection="nowhere")
        assert elsewhere.code == 1
        assert elsewhere.err.endswith("There is no collection nowhere.\n")
    assert people(place, "list", collection="nowhere").code == 1
    assert people(place, "merge", 0, 0).err.endswith("`into` is the ID of another person.\n")
    assert people(place, "list").out == "0      0  Ada\n"


def test_photos_that_cannot_be_used(place: Place, people: People, blank: Path, tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "none.jpg", "No such file or directory"), (tmp_path, "Is a directory")):
        done = people(place, "add", "Ada", KOFI, path)
        assert done == (1, "", f"error: {path} cannot be read: {reason}.\n")
    (tmp_path / "broken.jpg").write_bytes(KOFI.read_bytes()[:3000])
    for photo, reason in (
        (tmp_path / "broken.jpg", "it is not an image that can be read"),
        (blank, "no face was found"),
    ):
        done = people(place, "add", "Ada", photo)
        assert done.code == 1
        assert done.err.endswith(f"No photo could be used. The first one: {reason}.\n")
    assert people(place, "list").out == "There is nobody.\n"
    assert people(place, "add", "Kofi Annan", KOFI).code == 0
    done = people(place, "add", "Ada", KOFI)
    assert (done.code, done.err.endswith("The first one: it is enrolled already.\n")) == (1, True)
    assert people(place, "list").out == "0      1  Kofi Annan\n"


def test_a_long_list(place: Place, people: People) -> None:
    """It has more people than one answer."""
    names = [f"Person {i}" for i in range(1001)]
    place.access().galleries.restore(tiny.gallery(names, faces=1, spec=tiny.SPECS[GENERIC]), None)
    lines = people(place, "list").out.splitlines()
    assert lines[0] == "   0      1  Person 0"
    assert lines[-1] == "2000      1  Person 1000"
    assert len(lines) == 1001


def test_the_published_collection_can_be_listed_and_not_changed(place: Place, people: People) -> None:
    assert len(people(place, "list", collection="lfw").out.splitlines()) == len(tiny.NAMES)
    for action in (("add", "Ada"), ("rename", 0, "Ada"), ("merge", 0, 2), ("delete", 0)):
        done = people(place, *action, collection="lfw")
        assert done.code == 1
        assert done.err.endswith(
            "The collection lfw was published with the model and does not change: name another one.\n"
        )


@pytest.mark.parametrize("text", [*NAMES, *NO_NAMES])
def test_names_are_those_of_the_api(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    if text in NAMES:
        assert clean(text) == check_text("name", text)
        return
    with pytest.raises(BadParameter):
        check_text("name", text)
    with pytest.raises(SystemExit) as caught:
        main(["people", "rename", "0", text])
    assert caught.value.code == 2
    assert "cannot be a person's name: it has 1 to 255 characters, without control" in capsys.readouterr().err


@pytest.mark.parametrize("action", [["rename", "one", "Ada"], ["delete"], ["list", "--collection", ".."], ["show"], []])
def test_wrong_options(action: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["people", *action])
    assert caught.value.code == 2


def test_a_running_service_sees_changes_with_its_next_request(
    people: People, networks: Path, tmp_path: Path, context: SimpleNamespace
) -> None:
    galleries = str(tmp_path / "galleries")
    place = Place(["--galleries", galleries, "--model", str(networks)], galleries, str(networks), "people")
    app = create_app(Settings(model_uri=str(networks), gallery_uri=galleries))

    def answer(event: dict[str, Any]) -> dict[str, Any]:
        return json.loads(app.handle(event, context)["body"])

    def seen() -> tuple[str, list[str]]:
        """Collection and names of the people that /people lists, and whom /classify compares a photo with."""
        listed, found = answer(event_of("GET", "/people")), answer(upload(KOFI.read_bytes()))
        assert {key: listed["gallery"][key] for key in listed["gallery"]} == found["gallery"]
        names = [person["name"] for person in listed["people"]]
        assert {candidate["name"] for candidate in found["candidates"]} <= set(names)
        return found["gallery"]["collection"], names

    assert seen() == ("lfw", list(tiny.NAMES))
    people(place, "add", "Kofi Annan", KOFI)
    assert seen() == ("people", ["Kofi Annan"])
    people(place, "add", "Tony Blair", TONY)
    people(place, "rename", 0, "K. Annan")
    assert seen() == ("people", ["K. Annan", "Tony Blair"])
    people(place, "merge", 0, 1)
    assert seen() == ("people", ["Tony Blair"])
    people(place, "delete", 1)
    assert seen() == ("people", [])


# Endpoints


def test_keys(endpoint: tuple[str, str], people: People, networks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url, galleries = endpoint
    known = Place(["--url", f"{url}/"], galleries, str(networks), uuid.uuid4().hex)
    known.access().galleries.create(known.collection)
    for key in ("wrong", "wröng", "ключ", ""):
        done = people(known._replace(options=["--url", url, "--key", key]), "add", "Ada")
        message = "error: POST /people: 401, This needs the administrator's key: send it as the header X-Api-Key.\n"
        assert done == (1, "", message)
    assert people(known, "add", "Ada").code == 1
    assert people(known, "list").out == "There is nobody.\n"  # reading needs no key here
    monkeypatch.setenv("ADMIN_KEY", KEY)
    assert people(known, "add", "Ada").code == 0


@pytest.mark.parametrize(
    ("status", "body", "found"),
    [
        (200, "<html>", "JSONDecodeError"),
        (200, "[]", "KeyError, 'people'"),
        (200, '"text"', "ValueError"),
        (200, '{"people": [{"id": 1}]}', "KeyError"),
        (502, "null", "TypeError"),
        (502, '{"error": "down"}', "TypeError"),
    ],
)
def test_an_address_of_something_else(people: People, status: int, body: str, found: str) -> None:
    with serving(lambda _: {"statusCode": status, "multiValueHeaders": {}, "body": body}) as url:
        done = people(Place(["--url", url], "", "", "people"), "list")
    assert done.code == 1
    assert done.err.startswith(f"error: {url} does not answer as the service does: {found}")


def test_an_endpoint_that_refuses_or_is_not_there(people: People) -> None:
    forbidden = {"statusCode": 403, "multiValueHeaders": {}, "body": '{"message": "Forbidden"}'}
    with serving(lambda _: forbidden) as url:
        assert people(Place(["--url", url], "", "", "people"), "list").err == "error: GET /people: 403, Forbidden\n"
    for place in (url, "localhost"):
        done = people(Place(["--url", place], "", "", "people"), "list")
        assert done.code == 1
        assert f"error: {place} does not answer as the service does: " in done.err


def test_an_endpoint_exports_nothing(people: People, tmp_path: Path) -> None:
    for action in ("export", "import"):
        done = people(Place(["--url", "http://localhost"], "", "", "people"), action, tmp_path / "file")
        assert done.code == 1
        assert done.err.startswith("error: An endpoint neither gives embeddings away nor takes them")

"""scripts/gateway.py: requests, events and responses as behind API Gateway's REST API."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, Iterator
from urllib.parse import urlsplit

import pytest

import handler
from scripts.gateway import MAX_BODY, MAX_PAYLOAD
from testing.events import recorded
from testing.paths import SAMPLES
from tests.gateway import serving

PHOTO = (SAMPLES / "Kofi_Annan_0006.jpg").read_bytes()
FORBIDDEN, FAILED = {"message": "Forbidden"}, {"message": "Internal server error"}


def echo(event: dict[str, Any]) -> dict[str, Any]:
    return {"statusCode": 200, "body": json.dumps(event)}


@contextmanager
def connected(url: str) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    try:
        yield connection
    finally:
        connection.close()


def ask(
    connection: http.client.HTTPConnection, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, Any]:
    """Send a request. headers: with underscores for hyphens. -> status and JSON of the response."""
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    return response.status, json.loads(response.read() or "null")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A gateway whose function returns the event."""
    with serving(echo, stage="dev") as found:
        yield found


@pytest.fixture()
def connection(url: str) -> Iterator[http.client.HTTPConnection]:
    with connected(url) as found:
        yield found


def send(url: str, request: bytes) -> socket.socket:
    """Send bytes. -> the connection."""
    host, port = urlsplit(url).netloc.split(":")
    client = socket.create_connection((host, int(port)), timeout=20)
    client.sendall(request)
    return client


def exchange(url: str, request: bytes) -> bytes:
    """Send bytes and read the response until the gateway closes the connection."""
    with send(url, request) as client:
        return b"".join(iter(lambda: client.recv(1 << 16), b""))


class TestEvents:
    def test_fields(self, connection: http.client.HTTPConnection) -> None:
        """The event has the fields of one from AWS."""
        _, event = ask(connection, "POST", "/dev/classify", b"photo", User_Agent="curl/8.5.0")
        expected = recorded("rest-stage-known-person")
        context, expected_context = event["requestContext"], expected["requestContext"]
        assert set(event) == set(expected)
        assert set(context) == set(expected_context) - {"deploymentId"}
        assert set(context["identity"]) == set(expected_context["identity"])
        assert (context["httpMethod"], context["path"], context["stage"]) == ("POST", "/dev/classify", "dev")
        assert context["resourcePath"] == event["resource"] == "/{proxy+}"
        assert context["identity"]["sourceIp"] == "127.0.0.1"
        assert context["identity"]["userAgent"] == "curl/8.5.0"
        assert event["stageVariables"] is None

    @pytest.mark.parametrize(
        ("target", "path", "proxy"),
        [
            ("/dev", "/", None),
            ("/dev/", "/", None),
            ("/dev/classify", "/classify", "classify"),
            ("/dev/classify?top=3", "/classify", "classify"),
            ("/dev/api/v1/recognition/faces/", "/api/v1/recognition/faces/", "api/v1/recognition/faces"),
            ("/dev/people/cl%61s%2Fs", "/people/cl%61s%2Fs", "people/cl%61s%2Fs"),
            ("/dev/dev/x", "/dev/x", "dev/x"),
        ],
    )
    def test_paths(self, connection: http.client.HTTPConnection, target: str, path: str, proxy: str | None) -> None:
        """They stay percent-encoded."""
        status, event = ask(connection, "GET", target)
        assert (status, event["path"], event["requestContext"]["path"]) == (200, path, target.partition("?")[0])
        assert event["pathParameters"] == (proxy and {"proxy": proxy})
        assert event["resource"] == ("/{proxy+}" if proxy else "/")

    def test_query(self, connection: http.client.HTTPConnection) -> None:
        _, event = ask(connection, "GET", "/dev/x?top=3&top=5&name=Kofi%20A+B&empty=&flag")
        assert event["multiValueQueryStringParameters"] == {
            "top": ["3", "5"],
            "name": ["Kofi A B"],
            "empty": [""],
            "flag": [""],
        }
        assert event["queryStringParameters"] == {"top": "5", "name": "Kofi A B", "empty": "", "flag": ""}
        _, event = ask(connection, "GET", "/dev/x")
        assert event["queryStringParameters"] is event["multiValueQueryStringParameters"] is None

    def test_headers(self, url: str) -> None:
        """Names keep their case. Headers about the connection are left out."""
        request = (
            b"GET /dev/x HTTP/1.1\r\nHost: local\r\nX-One: a\r\nX-One: b\r\nx-lower: c\r\nConnection: close\r\n\r\n"
        )
        event = json.loads(exchange(url, request).partition(b"\r\n\r\n")[2])
        assert event["headers"] == {"Host": "local", "X-One": "b", "x-lower": "c"}
        assert event["multiValueHeaders"] == {"Host": ["local"], "X-One": ["a", "b"], "x-lower": ["c"]}

    @pytest.mark.parametrize(
        "kind", ["image/jpeg", "application/x-www-form-urlencoded", "MULTIPART/Form-Data; Boundary=Aa", "text/plain"]
    )
    def test_bodies_are_bytes(self, connection: http.client.HTTPConnection, kind: str) -> None:
        _, event = ask(connection, "POST", "/dev/x", PHOTO, Content_Type=kind)
        assert event["headers"]["Content-Type"] == kind
        assert (base64.b64decode(event["body"]), event["isBase64Encoded"]) == (PHOTO, True)

    def test_no_body(self, connection: http.client.HTTPConnection) -> None:
        for method in ("GET", "POST"):
            _, event = ask(connection, method, "/dev/x")
            assert (event["body"], event["isBase64Encoded"]) == (None, False)

    def test_chunks(self, connection: http.client.HTTPConnection) -> None:
        for body in ([b"a" * 70_000, b"b"], []):
            _, event = ask(connection, "POST", "/dev/x", iter(body))
            assert base64.b64decode(event["body"] or "") == b"".join(body)
            assert "Transfer-Encoding" not in event["headers"]

    def test_extensions_of_chunks_and_trailers(self, url: str) -> None:
        head = b"POST /dev/x HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        response = exchange(url, head + b"2;name=value\r\nab\r\nA\r\n0123456789\r\n0\r\nX-Check: 1\r\n\r\n")
        assert base64.b64decode(json.loads(response.partition(b"\r\n\r\n")[2])["body"]) == b"ab0123456789"

    @pytest.mark.parametrize(
        "request_",
        [
            b"Content-Length: many\r\n\r\n",
            b"Content-Length: -1\r\n\r\n",
            b"Transfer-Encoding: chunked\r\n\r\nmany\r\n",
            b"Transfer-Encoding: chunked\r\n\r\n-5\r\n",
        ],
    )
    def test_broken_body(self, url: str, request_: bytes) -> None:
        response = exchange(url, b"POST /dev/x HTTP/1.1\r\n" + request_)
        assert response.startswith(b"HTTP/1.1 400 ")
        assert response.endswith(b'{"message": "Bad Request"}')

    def test_body_that_is_cut_short(self, capfd: pytest.CaptureFixture[str]) -> None:
        """The client has gone: the function is not called, and the next client is served."""
        methods: list[str] = []

        def answer(event: dict[str, Any]) -> dict[str, Any]:
            methods.append(event["httpMethod"])
            return {"statusCode": 200}

        with serving(answer, stage="dev") as url:
            send(url, b"POST /dev/x HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc").close()
            with connected(url) as connection:
                assert ask(connection, "GET", "/dev/x")[0] == 200
        assert methods == ["GET"]
        assert "Traceback" not in capfd.readouterr().err

    def test_body_after_permission(self, url: str) -> None:
        """curl asks for it before large bodies."""
        with send(url, b"POST /dev/x HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n") as client:
            assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.sendall(b"ab")
            assert client.recv(1 << 16).startswith(b"HTTP/1.1 200 OK\r\n")


class TestForgottenStage:
    @pytest.mark.parametrize("path", ["/classify", "/", "/developer/x", "/DEV/x"])
    def test_it_is_forbidden(
        self, connection: http.client.HTTPConnection, path: str, capfd: pytest.CaptureFixture[str]
    ) -> None:
        connection.request("POST", path, b"photo")
        response = connection.getresponse()
        assert (response.status, json.loads(response.read())) == (403, FORBIDDEN)
        assert response.headers["Content-Type"] == "application/json"
        # Outside the API, its settings of error responses have no effect.
        assert response.headers["Access-Control-Allow-Origin"] is None
        assert ask(connection, "GET", "/dev/x")[0] == 200  # the connection can still be used
        assert "403" in capfd.readouterr().err

    def test_the_terminal_shows_the_right_url(
        self, connection: http.client.HTTPConnection, url: str, capfd: pytest.CaptureFixture[str]
    ) -> None:
        ask(connection, "POST", "/classify?top=3")
        assert f"POST /classify: 403, the stage is missing: {url}/classify\n" in capfd.readouterr().err

    def test_without_a_stage(self) -> None:
        """As behind a domain of one's own."""
        with serving(echo) as url, connected(url) as connection:
            _, event = ask(connection, "GET", "/dev/x")
        assert (event["path"], event["requestContext"]["path"]) == ("/dev/x", "/dev/x")


class TestResponses:
    def test_connection_is_kept(self, connection: http.client.HTTPConnection) -> None:
        ask(connection, "GET", "/dev/x")
        before = connection.sock
        for method in ("HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"):
            connection.request(method, "/dev/x")
            response = connection.getresponse()
            body = response.read()
            assert (response.status, response.version, bool(body)) == (200, 11, method != "HEAD")
            assert body == b"" or json.loads(body)["httpMethod"] == method
        assert connection.sock is before is not None

    def test_old_clients(self, url: str) -> None:
        assert exchange(url, b"GET /dev/x HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 OK\r\n")

    def test_headers(self) -> None:
        """Both fields are merged. Headers that belong to the gateway get another name."""
        result = {
            "statusCode": "401",
            "headers": {"X-One": "a", "X-Both": "c", "X-Number": 5},
            "multiValueHeaders": {"Set-Cookie": ["a=1", "b=2"], "X-Both": ["b", "c"], "WWW-Authenticate": ["ApiKey"]},
            "body": "{}",
        }
        with serving(lambda _: result) as url, connected(url) as connection:
            connection.request("GET", "/")
            response = connection.getresponse()
            assert (response.status, response.read()) == (401, b"{}")
        headers = response.headers
        assert (headers["X-One"], headers["X-Number"]) == ("a", "5")
        assert sorted(headers.get_all("X-Both", [])) == ["b", "c"]
        assert headers.get_all("Set-Cookie") == ["a=1", "b=2"]
        assert headers["WWW-Authenticate"] is None
        assert headers["x-amzn-Remapped-WWW-Authenticate"] == "ApiKey"
        assert headers["Content-Type"] == "application/json"  # unless the function sets one

    def test_bytes(self) -> None:
        result = {
            "statusCode": 200,
            "multiValueHeaders": {"content-type": ["image/jpeg"]},
            "body": base64.b64encode(PHOTO).decode(),
            "isBase64Encoded": True,
        }
        with serving(lambda _: result) as url, connected(url) as connection:
            connection.request("GET", "/")
            response = connection.getresponse()
            assert response.read() == PHOTO
        assert response.headers.get_all("Content-Type") == ["image/jpeg"]

    def test_without_body(self) -> None:
        results: list[dict[str, Any]] = [
            {"statusCode": 204},
            {"statusCode": 204, "body": None},
            {"statusCode": 304, "body": ""},
        ]
        waiting = iter(results)
        with serving(lambda _: next(waiting)) as url, connected(url) as connection:
            for result in results:
                connection.request("GET", "/")
                response = connection.getresponse()
                assert (response.status, response.read()) == (result["statusCode"], b"")
                assert response.headers["Content-Length"] is None

    @pytest.mark.parametrize(
        "result",
        [
            None,
            [],
            "text",
            {},
            {"body": "no status"},
            {"statusCode": "many"},
            {"statusCode": 1000},
            {"statusCode": 200, "body": {"not": "text"}},
            {"statusCode": 200, "headers": ["a"]},
            {"statusCode": 200, "multiValueHeaders": {"a": "b"}},
            {"statusCode": 200, "body": "no base64", "isBase64Encoded": True},
            {"statusCode": 200, "body": b"no JSON"},
            {"errorType": "ValueError", "errorMessage": "of a function that failed"},
        ],
    )
    def test_malformed_result(self, result: Any, capfd: pytest.CaptureFixture[str]) -> None:
        with serving(lambda _: result) as url, connected(url) as connection:
            assert ask(connection, "GET", "/x") == (502, FAILED)
        assert "GET /x: 502, " in capfd.readouterr().err

    def test_function_that_fails(self, capfd: pytest.CaptureFixture[str]) -> None:
        answers = iter([1, 0])

        def answer(event: dict[str, Any]) -> dict[str, Any]:
            return {"statusCode": 200 // next(answers)}

        with serving(answer) as url, connected(url) as connection:
            assert ask(connection, "GET", "/x")[0] == 200
            connection.request("GET", "/x")
            response = connection.getresponse()
            assert (response.status, json.loads(response.read())) == (502, FAILED)
        # Pages may read the errors of the gateway, as deploy/front-rest.yml sets it.
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert response.headers["Cache-Control"] == "no-store"
        assert "GET /x: 502, ZeroDivisionError: integer division or modulo by zero\n" in capfd.readouterr().err

    def test_client_that_has_gone(self, capfd: pytest.CaptureFixture[str]) -> None:
        """The browser cancels requests."""
        started = threading.Event()

        def answer(event: dict[str, Any]) -> dict[str, Any]:
            started.set()
            time.sleep(0.2)
            return {"statusCode": 200, "body": "x" * 5_000_000}

        with serving(answer) as url:
            with send(url, b"GET /x HTTP/1.1\r\n\r\n"):
                started.wait(5)
            with connected(url) as connection:
                connection.request("GET", "/x")
                assert len(connection.getresponse().read()) == 5_000_000
        assert "Traceback" not in capfd.readouterr().err


class TestLimits:
    @pytest.mark.parametrize("size", [MAX_PAYLOAD * 3 // 4, MAX_BODY, MAX_BODY + 1, MAX_BODY + 5_000_000])
    def test_request_that_is_too_large(self, connection: http.client.HTTPConnection, size: int) -> None:
        """The response is that of deploy/too-large.vtl, with which tests/test_run.py compares it."""
        status, body = ask(connection, "POST", "/dev/x", bytes(size))
        assert (status, body["error"]["code"]) == (413, "too_large")
        assert "4.5 MB in a form" in body["message"]
        assert ask(connection, "GET", "/dev/x")[0] == 200

    def test_too_many_chunks(self, connection: http.client.HTTPConnection) -> None:
        assert ask(connection, "POST", "/dev/x", (bytes(1 << 20) for _ in range(11)))[0] == 413

    def test_largest_photo(self) -> None:
        """A form with a photo of 4.5 MB is passed on."""
        sizes: list[int] = []

        def answer(event: dict[str, Any]) -> dict[str, Any]:
            sizes.append(len(base64.b64decode(event["body"])))
            return {"statusCode": 200}

        with serving(answer, stage="dev") as url, connected(url) as connection:
            assert ask(connection, "POST", "/dev/x", bytes(4_501_000)) == (200, None)
        assert sizes == [4_501_000]

    def test_result_that_is_too_large(self) -> None:
        sizes = iter([MAX_PAYLOAD - 100, MAX_PAYLOAD])
        with serving(lambda _: {"statusCode": 200, "body": "x" * next(sizes)}) as url, connected(url) as connection:
            connection.request("GET", "/x")
            assert len(connection.getresponse().read()) == MAX_PAYLOAD - 100
            assert ask(connection, "GET", "/x") == (502, FAILED)

    def test_function_that_takes_too_long(self, capfd: pytest.CaptureFixture[str]) -> None:
        delays = iter([0.5, 0.0])

        def answer(event: dict[str, Any]) -> dict[str, Any]:
            time.sleep(next(delays))
            return {"statusCode": 200, "body": event["path"].replace("/", '"') + '"'}

        with serving(answer, seconds=0.3) as url, connected(url) as connection:
            assert ask(connection, "GET", "/slow") == (504, {"message": "Endpoint request timed out"})
            assert ask(connection, "GET", "/next") == (200, "next")  # and not the late result
        assert "GET /slow: 504, no result within 0.3 s\n" in capfd.readouterr().err

    def test_one_request_at_a_time(self) -> None:
        """As a runtime of Lambda. Connections wait for each other only while the function runs."""
        running, most = 0, 0

        def answer(event: dict[str, Any]) -> dict[str, Any]:
            nonlocal running, most
            running += 1
            most = max(most, running)
            time.sleep(0.02)
            running -= 1
            return {"statusCode": 200}

        statuses: list[int] = []

        def ask_once(url: str) -> None:
            with connected(url) as connection:
                statuses.append(ask(connection, "GET", "/x")[0])

        with serving(answer) as url, connected(url) as idle:
            idle.connect()
            threads = [threading.Thread(target=ask_once, args=(url,)) for _ in range(10)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert (most, statuses) == (1, [200] * 10)


class TestService:
    """The real handler behind the gateway."""

    @pytest.fixture(scope="class")
    def service(self) -> Iterator[http.client.HTTPConnection]:
        def answer(event: dict[str, Any]) -> dict[str, Any]:
            return handler.handle(event, SimpleNamespace(aws_request_id="request-1"))

        with serving(answer, stage="dev") as url, connected(url) as connection:
            yield connection

    @pytest.mark.parametrize("kind", ["image/jpeg", "application/x-www-form-urlencoded", "application/octet-stream"])
    def test_raw_photo(self, service: http.client.HTTPConnection, kind: str) -> None:
        status, found = ask(service, "POST", "/dev/classify", PHOTO, Content_Type=kind)
        assert (status, found["predicted_name"]) == (200, "Kofi Annan")

    @pytest.mark.parametrize(
        "kind",
        ["multipart/form-data; boundary=Aa", "MULTIPART/FORM-DATA; boundary=Aa", 'Multipart/Form-Data;BOUNDARY="Aa"'],
    )
    def test_form(self, service: http.client.HTTPConnection, kind: str) -> None:
        head = b'--Aa\r\nContent-Disposition: form-data; name="file"; filename="kofi.jpg"\r\n\r\n'
        status, found = ask(service, "POST", "/dev/classify", head + PHOTO + b"\r\n--Aa--\r\n", Content_Type=kind)
        assert (status, found["predicted_name"], found["file"]) == (200, "Kofi Annan", "kofi.jpg")

    def test_form_without_boundary(self, service: http.client.HTTPConnection) -> None:
        status, found = ask(service, "POST", "/dev/classify", b"--Aa\r\n", Content_Type="multipart/form-data")
        assert (status, found["error"]["code"]) == (400, "bad_request")
        assert "boundary" in found["error"]["message"]

    def test_preflight(self, service: http.client.HTTPConnection) -> None:
        service.request("OPTIONS", "/dev/classify", headers={"Origin": "http://localhost:3001"})
        response = service.getresponse()
        assert (response.status, response.read()) == (204, b"")
        assert response.headers.get_all("Access-Control-Allow-Origin") == ["*"]

    def test_root(self, service: http.client.HTTPConnection) -> None:
        for path in ("/dev", "/dev/"):
            assert ask(service, "GET", path)[0] == 404
            found = ask(service, "POST", path, b"{}", X_Amz_Target="RekognitionService.ListCollections")
            assert found[1]["CollectionIds"] == ["lfw"]

"""Build the Docker image, print the size of its layers, and classify a photo with it: `make image`.

Uses Docker if its engine is running. Otherwise uses buildah and debootstrap, as root and without a registry: the base
image is then Debian with the Python 3.8 of .venv. That image checks the Dockerfile and is not meant to be published.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Iterator

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "image"
EMULATOR = ROOT / ".venv" / "bin" / "aws-lambda-rie"
EVENT, EXPECTED_NAME = ROOT / "tests" / "events" / "rest-known-person.json", "Kofi Annan"
TAG = "face-recognition"

# The Dockerfile's build arguments that the environment sets.
ARGUMENTS = {name: os.environ[name] for name in ("BASE", "TORCH", "WHEELS", "WEIGHTS", "MODEL") if name in os.environ}

# Maximum size of the layers on top of the base image, in MB. CUDA's libraries are 1,087 MB of the larger limit.
LIMIT = 520 if ARGUMENTS.get("TORCH", "+cpu").endswith("+cpu") else 1600
LAYERS = ("packages", "model", "code")  # the last layers of the Dockerfile, in its order


class ImageError(Exception):
    """The image cannot be built or is not as expected; the message is a sentence for the user."""


def output(*command: object) -> str:
    """Run a command and return its standard output. Raises ImageError if it fails."""
    done = subprocess.run([*map(str, command)], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise ImageError(f"this command failed: {' '.join(map(str, command))}")
    return done.stdout.strip()


def pip_settings() -> Path:
    """Write a pip.conf with the package index of this machine's pip, which may be a private one."""
    lines = output(sys.executable, "-m", "pip", "config", "list").splitlines()
    settings = [line.partition("=") for line in lines if line.startswith(("global.", ":env:."))]
    index = [f"{name.partition('.')[2]} = {value[1:-1]}" for name, _, value in settings if "index-url" in name]
    file = BUILD / "pip.conf"
    file.write_text("\n".join(["[global]", *(line for line in index if "file:" not in line), ""]))
    return file


def build(*command: str, **overrides: str) -> None:
    """Run a build command. overrides: build arguments that replace those of the environment."""
    arguments = [f"--build-arg={name}={value}" for name, value in {**ARGUMENTS, **overrides}.items()]
    output(*command, f"--tag={TAG}", f"--secret=id=pip,src={pip_settings()}", *arguments, ".")


class Docker:
    """Builds and runs the image with a Docker engine."""

    def build(self) -> None:
        build("docker", "build", "--platform=linux/amd64")

    def layers(self) -> list[float]:
        """Sizes of the layers in MB, uncompressed, from the first one of the base image on."""
        form = "--format={{.Size}}\t{{.CreatedBy}}"
        lines = output("docker", "history", "--human=false", form, TAG).splitlines()
        steps = [line.split("\t") for line in reversed(lines)]
        return [int(size) / 1e6 for size, step in steps if int(size) or step.startswith("COPY")]

    @contextlib.contextmanager
    def running(self, port: int) -> Iterator[None]:
        options = [f"--publish={port}:8080", f"--volume={EMULATOR}:/emulator:ro", "--entrypoint=/emulator"]
        limits = ["--read-only", "--tmpfs=/tmp", "--memory=1769m"]
        command = ["python", "-m", "awslambdaric", "handler.handle"]
        name = output("docker", "run", "--detach", *options, *limits, TAG, *command)
        try:
            yield
        finally:
            output("docker", "rm", "--force", name)


class Buildah:
    """Builds and runs the image without a Docker engine."""

    def build(self) -> None:
        if not output("buildah", "images", "--quiet", "--filter", f"reference={TAG}-base"):
            self._make_base()
        build("buildah", "build", "--isolation=chroot", "--layers", "--quiet", BASE=f"{TAG}-base")

    def _make_base(self) -> None:
        root = BUILD / "debian"
        if not (root / "usr/bin/env").exists():
            packages = "ca-certificates,libbz2-1.0,libffi8,libgomp1,liblzma5,libreadline8,libsqlite3-0,libssl3,zlib1g"
            log = BUILD / "debootstrap.log"
            with log.open("w") as file:
                command = ["debootstrap", "--variant=minbase", f"--include={packages}", "bookworm", str(root)]
                if subprocess.run(command, stdout=file, stderr=file, check=False).returncode:
                    shutil.rmtree(root, ignore_errors=True)
                    raise ImageError(f"debootstrap failed: its log is {log}")
        # The certificates of this machine, because a company's proxy may need its own.
        certificates = Path(os.environ.get("SSL_CERT_FILE") or "/etc/ssl/certs/ca-certificates.crt")
        shutil.copyfile(certificates, root / "etc/ssl/certs/ca-certificates.crt")
        container = output("buildah", "from", "scratch")
        output("buildah", "add", "--quiet", container, root, "/")
        output("buildah", "add", "--quiet", container, sys.base_prefix, "/usr/local")
        cleanup = (
            "rm -rf /usr/local/lib/python3.8/test /var/cache/apt; ldconfig; ln -sf python3.8 /usr/local/bin/python"
        )
        output("buildah", "run", "--isolation=chroot", container, "--", "sh", "-ec", cleanup)
        output("buildah", "commit", "--quiet", "--rm", container, f"{TAG}-base")

    def layers(self) -> list[float]:
        """Sizes of the layers in MB, uncompressed, from the first one of the base image on."""
        blobs = BUILD / "blobs"
        shutil.rmtree(blobs, ignore_errors=True)
        output("buildah", "push", "--quiet", "--disable-compression", TAG, f"dir:{blobs}")
        manifest = json.loads((blobs / "manifest.json").read_text())
        shutil.rmtree(blobs)
        return [layer["size"] / 1e6 for layer in manifest["layers"]]

    @contextlib.contextmanager
    def running(self, port: int) -> Iterator[None]:
        container = output("buildah", "from", TAG)
        config = json.loads(output("buildah", "inspect", container))["OCIv1"]["config"]
        command = ["/emulator", f"--runtime-interface-emulator-address=127.0.0.1:{port}", "/usr/local/bin/python"]
        command += [*config["Entrypoint"][1:], *config["Cmd"]]
        run = ["buildah", "run", "--isolation=chroot", f"--volume={EMULATOR}:/emulator:ro", container, "--", *command]
        with (BUILD / "run.log").open("wb") as log:
            process = subprocess.Popen(run, stdout=log, stderr=log, start_new_session=True)
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()
            output("buildah", "rm", container)


def find_engine() -> Docker | Buildah:
    """Select Docker or buildah. Raises ImageError if neither can be used."""
    if shutil.which("docker") and not subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        return Docker()
    if shutil.which("buildah") and shutil.which("debootstrap"):
        if os.geteuid():
            raise ImageError("without a Docker engine this needs root: sudo make image")
        return Buildah()
    raise ImageError(
        "this needs a running Docker engine, or buildah and debootstrap: apt-get install buildah debootstrap"
    )


def invoke(port: int) -> dict:
    """Send a recorded upload event to a new runtime and return its response. Raises ImageError."""
    url = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, EVENT.read_bytes(), timeout=60) as response:
                return json.load(response)
        except OSError:
            if time.monotonic() > deadline:
                raise ImageError("the runtime in the image does not respond") from None
            time.sleep(0.2)


def check_size(sizes: list[float]) -> None:
    """Print the sizes and check them. sizes: see Docker.layers. Raises ImageError."""
    base, added = sum(sizes[: -len(LAYERS)]), sizes[-len(LAYERS) :]
    for layer, size in zip(("base", *LAYERS), (base, *added)):
        print(f"{layer:8} {size:8.1f} MB")
    total = sum(added)
    print(f"{total:.0f} MB on top of the base image; the limit is {LIMIT} MB\n")
    if total > LIMIT:
        raise ImageError("the image is too large")


def check_response(response: dict) -> None:
    """Check that the response names the expected person, or reports a missing model. Raises ImageError."""
    body = json.loads(response.get("body") or "{}")
    if ARGUMENTS.get("WEIGHTS") == "none":
        as_expected = body.get("error", {}).get("code") == "model_unavailable"
    else:
        as_expected = body.get("predicted_name") == EXPECTED_NAME or (
            "MODEL" in ARGUMENTS and response["statusCode"] == 200
        )
    if not as_expected:
        raise ImageError(f"the response is wrong: {json.dumps(response)[:1000]}")
    print(f"response under the Lambda emulator: {body.get('predicted_name')}, {body.get('timings_ms')}")


def main() -> int:
    BUILD.mkdir(parents=True, exist_ok=True)
    try:
        engine = find_engine()
        start = time.monotonic()
        engine.build()
        print(f"built with {type(engine).__name__.lower()} in {time.monotonic() - start:.0f} s\n")
        check_size(engine.layers())
        port = int(os.environ.get("PORT") or 9101)
        with engine.running(port):
            check_response(invoke(port))
    except KeyboardInterrupt:
        print("\nstopped")
        return 130
    except ImageError as error:
        print(f"image: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

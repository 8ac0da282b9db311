"""Build the Dockerfile's image, show what it weighs by layer, and ask it who is on a photo: `make image`.

With Docker where an engine runs. Else with buildah and debootstrap, as root, without an engine or a registry: on a
Debian with the Python 3.8 of .venv, which shows that the Dockerfile is right, and is not for pushing.
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
EVENT, NAME = ROOT / "tests" / "events" / "rest-known-person.json", "Kofi Annan"
TAG = "face-recognition"

# The Dockerfile's build arguments that are set in the environment.
ARGUMENTS = {name: os.environ[name] for name in ("BASE", "TORCH", "WHEELS", "WEIGHTS", "MODEL") if name in os.environ}

# Of what comes upon the base image, in MB. The libraries for CUDA are 1,087 MB of the larger one.
LIMIT = 520 if ARGUMENTS.get("TORCH", "+cpu").endswith("+cpu") else 1600
LAYERS = ("packages", "model", "code")  # the last ones of the Dockerfile


class Failed(Exception):
    """With a sentence for whoever runs this."""


def output(*command: object) -> str:
    done = subprocess.run([*map(str, command)], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise Failed(f"this failed: {' '.join(map(str, command))}")
    return done.stdout.strip()


def pip_settings() -> Path:
    """The package index that this machine's pip asks, for where it is a private one."""
    found = output(sys.executable, "-m", "pip", "config", "list").splitlines()
    settings = [line.partition("=") for line in found if line.startswith(("global.", ":env:."))]
    wanted = [f"{name.partition('.')[2]} = {value[1:-1]}" for name, _, value in settings if "index-url" in name]
    file = BUILD / "pip.conf"
    file.write_text("\n".join(["[global]", *(line for line in wanted if "file:" not in line), ""]))
    return file


def build(*command: str, **more: str) -> None:
    """more: build arguments that count for more than those of the environment."""
    arguments = [f"--build-arg={name}={value}" for name, value in {**ARGUMENTS, **more}.items()]
    output(*command, f"--tag={TAG}", f"--secret=id=pip,src={pip_settings()}", *arguments, ".")


class Docker:
    def build(self) -> None:
        build("docker", "build", "--platform=linux/amd64")

    def layers(self) -> list[float]:
        """Megabytes, uncompressed."""
        form = "--format={{.Size}}\t{{.CreatedBy}}"
        lines = output("docker", "history", "--human=false", form, TAG).splitlines()
        steps = [line.split("\t") for line in reversed(lines)]
        return [int(size) / 1e6 for size, what in steps if int(size) or what.startswith("COPY")]

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
    """Where there is no Docker engine."""

    def build(self) -> None:
        if not output("buildah", "images", "--quiet", "--filter", f"reference={TAG}-base"):
            self._make_base()
        build("buildah", "build", "--isolation=chroot", "--layers", "--quiet", BASE=f"{TAG}-base")

    def _make_base(self) -> None:
        root = BUILD / "debian"
        if not (root / "usr/bin/env").exists():
            needed = "ca-certificates,libbz2-1.0,libffi8,libgomp1,liblzma5,libreadline8,libsqlite3-0,libssl3,zlib1g"
            log = BUILD / "debootstrap.log"
            with log.open("w") as file:
                command = ["debootstrap", "--variant=minbase", f"--include={needed}", "bookworm", str(root)]
                if subprocess.run(command, stdout=file, stderr=file, check=False).returncode:
                    shutil.rmtree(root, ignore_errors=True)
                    raise Failed(f"debootstrap failed: its log is {log}")
        # The certificates of this machine: a company's proxy may have its own.
        ours = Path(os.environ.get("SSL_CERT_FILE") or "/etc/ssl/certs/ca-certificates.crt")
        shutil.copyfile(ours, root / "etc/ssl/certs/ca-certificates.crt")
        made = output("buildah", "from", "scratch")
        output("buildah", "add", "--quiet", made, root, "/")
        output("buildah", "add", "--quiet", made, sys.base_prefix, "/usr/local")
        tidy = "rm -rf /usr/local/lib/python3.8/test /var/cache/apt; ldconfig; ln -sf python3.8 /usr/local/bin/python"
        output("buildah", "run", "--isolation=chroot", made, "--", "sh", "-ec", tidy)
        output("buildah", "commit", "--quiet", "--rm", made, f"{TAG}-base")

    def layers(self) -> list[float]:
        """Megabytes, uncompressed."""
        blobs = BUILD / "blobs"
        shutil.rmtree(blobs, ignore_errors=True)
        output("buildah", "push", "--quiet", "--disable-compression", TAG, f"dir:{blobs}")
        manifest = json.loads((blobs / "manifest.json").read_text())
        shutil.rmtree(blobs)
        return [layer["size"] / 1e6 for layer in manifest["layers"]]

    @contextlib.contextmanager
    def running(self, port: int) -> Iterator[None]:
        made = output("buildah", "from", TAG)
        config = json.loads(output("buildah", "inspect", made))["OCIv1"]["config"]
        command = ["/emulator", f"--runtime-interface-emulator-address=127.0.0.1:{port}", "/usr/local/bin/python"]
        command += [*config["Entrypoint"][1:], *config["Cmd"]]
        run = ["buildah", "run", "--isolation=chroot", f"--volume={EMULATOR}:/emulator:ro", made, "--", *command]
        with (BUILD / "run.log").open("wb") as log:
            process = subprocess.Popen(run, stdout=log, stderr=log, start_new_session=True)
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()
            output("buildah", "rm", made)


def engine() -> Docker | Buildah:
    if shutil.which("docker") and not subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        return Docker()
    if shutil.which("buildah") and shutil.which("debootstrap"):
        if os.geteuid():
            raise Failed("without a Docker engine this needs root: sudo make image")
        return Buildah()
    raise Failed("this needs a running Docker engine, or buildah and debootstrap: apt-get install buildah debootstrap")


def ask(port: int) -> dict:
    """What a new runtime answers to the event of an upload."""
    url = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, EVENT.read_bytes(), timeout=60) as reply:
                return json.load(reply)
        except OSError:
            if time.monotonic() > deadline:
                raise Failed("nothing answers in the image") from None
            time.sleep(0.2)


def weigh(sizes: list[float]) -> None:
    """sizes: of the layers, from the base image's first one on. Raises Failed."""
    base, ours = sum(sizes[: -len(LAYERS)]), sizes[-len(LAYERS) :]
    for what, size in zip(("base", *LAYERS), (base, *ours)):
        print(f"{what:8} {size:8.1f} MB")
    total = sum(ours)
    print(f"{total:.0f} MB come upon the base image; {LIMIT} MB are allowed\n")
    if total > LIMIT:
        raise Failed("that is too much")


def check(answer: dict) -> None:
    """Raises Failed."""
    body = json.loads(answer.get("body") or "{}")
    if ARGUMENTS.get("WEIGHTS") == "none":
        as_expected = body.get("error", {}).get("code") == "model_unavailable"
    else:
        as_expected = body.get("predicted_name") == NAME or ("MODEL" in ARGUMENTS and answer["statusCode"] == 200)
    if not as_expected:
        raise Failed(f"the answer is wrong: {json.dumps(answer)[:1000]}")
    print(f"under the Lambda emulator it answers: {body.get('predicted_name')}, {body.get('timings_ms')}")


def main() -> int:
    BUILD.mkdir(parents=True, exist_ok=True)
    try:
        chosen = engine()
        start = time.monotonic()
        chosen.build()
        print(f"built with {type(chosen).__name__.lower()} in {time.monotonic() - start:.0f} s\n")
        weigh(chosen.layers())
        port = int(os.environ.get("PORT") or 9101)
        with chosen.running(port):
            check(ask(port))
    except KeyboardInterrupt:
        print("\nstopped")
        return 130
    except Failed as error:
        print(f"image: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

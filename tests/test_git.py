"""Files that must not get into the repository by accident."""

from __future__ import annotations

import subprocess

import pytest

from testing.paths import ROOT


@pytest.mark.parametrize(
    "path",
    [
        *("photos/Ada/1.jpg", "photos-2026/Ada/1.jpg", "people/Ada/1.jpg", "faces/Ada/1.jpg", "strangers/x/1.jpg"),
        *("galleries/people/manifest.json", "models/latest.json", "runs/mine/crops.npy", "lfw-deepfunneled.tgz"),
        *("me.jpg", "me.JPG", "photos.zip", "collection.npz", ".admin-key"),
    ],
)
def test_biometric_data_is_ignored(path: str) -> None:
    command = ["git", "-C", str(ROOT), "check-ignore", "--no-index", "-q", path]
    assert subprocess.run(command, check=False).returncode == 0


def test_no_file_of_the_repository_is_ignored() -> None:
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--ignored", "--exclude-standard"]
    assert subprocess.run(command, check=True, capture_output=True).stdout == b""

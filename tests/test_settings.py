"""Settings that are read from the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from settings import download_folder_from_env, torch_home_from_env


def test_folder_for_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert download_folder_from_env() == Path("/somewhere/face-recognition")
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert download_folder_from_env() == Path("/home/someone/.cache/face-recognition")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert download_folder_from_env() == Path("/home/someone/.cache/face-recognition")


def test_folder_of_pretrained_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    monkeypatch.setenv("TORCH_HOME", "/weights")
    assert torch_home_from_env() == Path("/weights")
    monkeypatch.delenv("TORCH_HOME")
    assert torch_home_from_env() == Path("/somewhere/torch")

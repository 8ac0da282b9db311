from __future__ import annotations

import pytest

from training.__main__ import main


@pytest.mark.parametrize(("command", "option", "value"), [("prepare", "--seed", "-1"), ("align", "--margin", "160")])
def test_numbers_out_of_range(command: str, option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each step would end with a traceback, after the photos have been read."""
    with pytest.raises(SystemExit) as caught:
        main([command, "--out", "run", option, value])
    assert caught.value.code == 2
    assert f"argument {option}: {value} is not between 0 and" in capsys.readouterr().err

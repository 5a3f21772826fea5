"""What is shown of work that takes a while."""

from __future__ import annotations

import re
import sys
import time

import pytest

from datasets.readers.files import at_work


def test_work_that_does_not_tell_how_far_it_is_has_its_seconds_counted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with at_work("thinking"):  # into a file: nothing
        pass
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with at_work("thinking"):
        time.sleep(1.1)
    assert re.search(r"thinking: [1-9]\d*s", capsys.readouterr().err)


def test_what_goes_wrong_meanwhile_is_not_kept_back() -> None:
    with pytest.raises(ValueError, match="wrong"), at_work("thinking"):
        raise ValueError("wrong")

"""`make check` runs the tests that mirror what changed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / ".ci" / "check.py"


@pytest.mark.parametrize(
    ("changed", "chosen"),
    [
        (["losses/triplet.py"], {"tests/losses/test_triplet.py"}),
        (["utils/logs.py", "tests/utils/test_files.py"], {"tests/utils/test_logs.py", "tests/utils/test_files.py"}),
        (["utils/signals.py"], set()),  # its tests start processes
        (["setup.py"], set()),
    ],
)
def test_a_changed_module_has_the_tests_of_its_folder_that_import_it(changed, chosen):
    spec = importlib.util.spec_from_file_location("check", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    check = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(check)
    names = set(check.tests_of(changed))
    assert chosen | check.ALWAYS <= names
    assert {Path(name).parent.name for name in names - check.ALWAYS} == {Path(name).parent.name for name in chosen}
    assert not {Path(name).stem for name in names} & check.SLOW

"""Check what changed since main: style, types, and the tests of the same folder that import it.

Tests that start processes or train for long, and those of other folders, are left to `make test`.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ALWAYS = {"tests/test_architecture.py"}
SLOW = {"test_pairs", "test_kills", "test_signals", "test_exact_resume", "test_write_faults", "test_sweep_on_ray"}
"""Test files that take longer than a minute by themselves."""


def changed_files() -> list[str]:
    """Return the Python files that differ from main's newest common commit, or on main from the last one."""
    base = git("merge-base", "HEAD", "main") or git("merge-base", "HEAD", "origin/main")
    if not base or (base == git("rev-parse", "HEAD") and not git("status", "--porcelain")):
        base = "HEAD~1"
    names = (
        git("diff", "--name-only", base).splitlines() + git("ls-files", "--others", "--exclude-standard").splitlines()
    )
    return sorted({name for name in names if name.endswith(".py") and Path(ROOT, name).is_file()})


def git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True).stdout.strip()


def tests_of(changed: list[str]) -> list[str]:
    """Return the test files that changed, and those in the folder that mirrors a changed module and that import it."""
    chosen = {name for name in changed if Path(name).name.startswith("test_")} | ALWAYS
    for name in changed:
        folder, *_ = Path(name).parts
        module = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        tests = Path(ROOT, "tests", folder).glob("test_*.py")
        chosen |= {str(path.relative_to(ROOT)) for path in tests if module in imported(path)}
    return sorted(name for name in chosen if Path(name).stem not in SLOW)


def imported(path: Path) -> set[str]:
    """Return the modules that a file imports at its top, with the names taken from them."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def main() -> int:
    changed = changed_files()
    commands = [["ruff", "check", "."], ["ruff", "format", "--check", "."]]
    if changed:
        commands.append(["pyright", "--pythonpath", sys.executable, *changed])
    fast = ["--numprocesses", "logical", "--maxprocesses", "8", "--dist", "worksteal", "--maxfail", "5"]
    commands.append(["pytest", *fast, *tests_of(changed)])
    failures = [words[0] for words in commands if subprocess.run([sys.executable, "-m", *words], cwd=ROOT).returncode]
    if failures:
        print(f"failed: {', '.join(failures)}", file=sys.stderr)
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())

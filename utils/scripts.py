"""How a script at the root ends: what went wrong in a line or a few, and the exit status for it."""

from __future__ import annotations

import argparse
import errno
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from utils.files import CannotWrite
from utils.logs import presentable, print_traceback, say
from utils.secrets import HIDDEN
from utils.types import ConfigError, TrainingError, UserError

_VALUE_OF_SECRET = re.compile(r"(?i)((?:token|key|password|secret)[\w.-]*)(?:=|: *| +)\S+")


def without_values_of_secrets(text: str) -> str:
    """Cover what seems to be the value of a token in words that were typed."""
    return _VALUE_OF_SECRET.sub(rf"\1={HIDDEN}", text)


class Parser(argparse.ArgumentParser):
    """Argparse's, whose complaints leave out what may be the value of a token."""

    def error(self, message: str) -> NoReturn:
        super().error(without_values_of_secrets(message))


def output_problems(outputs: Mapping[str, Path | None]) -> list[str]:
    """Return which files could not be written, a line each: found before the work whose results go there.

    Args: outputs: option -> file, or None where it is not given.
    """
    given = {option: path for option, path in outputs.items() if path is not None}
    by_file: dict[str, list[str]] = {}
    for option, path in given.items():
        by_file.setdefault(os.path.realpath(path), []).append(option)
    twice = [f"{' and '.join(each)}: name one file, {given[each[0]]}" for each in by_file.values() if len(each) > 1]
    folders = [f"{option} {path}: is a folder, not a file" for option, path in given.items() if path.is_dir()]
    return (
        twice
        + folders
        + [
            f"{option} {path}: no such folder: {path.parent}"
            for option, path in given.items()
            if not path.parent.is_dir()
        ]
    )


def show(text: str) -> None:
    """Print a text, and see that it arrived. Raises: CannotWrite if standard output has no room for it."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        _give_up_output()
        raise CannotWrite(error.errno, error.strerror, "standard output") from None


def _give_up_output() -> None:
    """Let what is still to be printed vanish: Python would try again when it ends, and fail once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def choose_file(files: Sequence[str]) -> str:
    """Return the one file named, else config.yml, else the template."""
    if len(files) > 1:  # which are not told: a word may be the value of a key, such as a token
        raise ConfigError(f"one configuration file at a time, got {len(files)} words that are no key=value")
    if files:
        if (covered := without_values_of_secrets(files[0])) != files[0] and not Path(files[0]).is_file():
            raise ConfigError(f"{covered}: no such file; what is to be changed is given as key=value")
        return files[0]
    if os.path.lexists("config.yml"):
        return "config.yml"
    template = Path(__file__).parents[1].joinpath("config_template.yml")
    say("no config.yml here: running config_template.yml; copy it to config.yml and edit it", sys.stdout)
    return os.path.relpath(template)


def leave(status: int) -> NoReturn:
    """End a script. A Ctrl-C that comes while Python tidies up ends it there, instead of showing what Python does.

    A SIGUSR1, which asks for a save, then has nothing to save.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if hasattr(signal, "SIGUSR1"):
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    sys.exit(status)


def _open_what_is_closed() -> None:
    """Let standard streams that a shell has closed lead nowhere: else the next file takes their number, and is hurt."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))  # noqa: SIM115


def exit_status(story: Callable[[], int | None]) -> int:
    """Do what a script does and return its exit status: the story's own, or 0.

    2 for a mistake that the user can mend, 1 for what stopped it otherwise, 130 after Ctrl-C, 141 where nobody reads
    its output any more. Errors that nobody expected keep their traceback, secrets covered.
    """
    sys.excepthook = print_traceback
    _open_what_is_closed()
    try:
        return story() or 0
    except UserError as error:
        print(presentable(error), file=sys.stderr)
        return 2
    except (TrainingError, CannotWrite) as error:
        print(presentable(error), file=sys.stderr)
        return 1
    except BrokenPipeError:  # `| head`
        _give_up_output()
        return 141
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        print(presentable(f"{str(error.filename)[:80]}...: {error.strerror}"), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130

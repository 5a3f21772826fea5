"""The command line of the root scripts: arguments, error messages, exit statuses."""

from __future__ import annotations

import argparse
import errno
import gc
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from utils.files import CannotWrite
from utils.logs import presentable, print_traceback, say
from utils.secrets import HIDDEN
from utils.types import ConfigError, TrainingError, UserError

_VALUE_OF_SECRET = re.compile(r"(?i)((?:token|key|password|secret)[\w.-]*)(?:=|: *| +)\S+")


def without_values_of_secrets(text: str) -> str:
    """Cover anything in command-line arguments that looks like the value of a token."""
    return _VALUE_OF_SECRET.sub(rf"\1={HIDDEN}", text)


class Parser(argparse.ArgumentParser):
    """An argument parser whose messages cover anything that may be the value of a token."""

    def error(self, message: str) -> NoReturn:
        super().error(without_values_of_secrets(message))


@contextmanager
def importing() -> Iterator[None]:
    """Import libraries without collecting garbage in between, which takes a fifth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def output_problems(outputs: Mapping[str, Path | None]) -> list[str]:
    """Return the output files that cannot be written, a line for each, before any work is done for them.

    Args: outputs: option -> file, or None if the option is not used.
    """
    paths = {option: path for option, path in outputs.items() if path is not None}
    by_file: dict[str, list[str]] = {}
    for option, path in paths.items():
        by_file.setdefault(os.path.realpath(path), []).append(option)
    several = (options for options in by_file.values() if len(options) > 1)
    twice = [f"{' and '.join(options)}: name one file, {paths[options[0]]}" for options in several]
    folders = [f"{option} {path}: is a folder, not a file" for option, path in paths.items() if path.is_dir()]
    homeless = [(option, path) for option, path in paths.items() if not path.parent.is_dir()]
    return twice + folders + [f"{option} {path}: no such folder: {path.parent}" for option, path in homeless]


def show(text: str) -> None:
    """Print a text. Raises: CannotWrite if standard output has no room for it."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        _give_up_output()
        raise CannotWrite(error.errno, error.strerror, "standard output") from None


def _give_up_output() -> None:
    """Discard pending output: Python would try to write it again at exit, and fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def choose_file(files: Sequence[str]) -> str:
    """Return the one file named, else config.yml, else the template."""
    if len(files) > 1:  # not shown: one may be the value of a key, such as a token
        raise ConfigError(f"expected one configuration file, got {len(files)} arguments without '='")
    if files:
        if (covered := without_values_of_secrets(files[0])) != files[0] and not Path(files[0]).is_file():
            raise ConfigError(f"{covered}: no such file; to change a setting, write key=value")
        return files[0]
    if os.path.lexists("config.yml"):
        return "config.yml"
    template = Path(__file__).parents[1].joinpath("config_template.yml")
    say("no config.yml here: running config_template.yml; copy it to config.yml and edit it", sys.stdout)
    return os.path.relpath(template)


def leave(status: int) -> NoReturn:
    """End a script: a Ctrl-C while Python shuts down shows no traceback, and a SIGUSR1 has nothing left to save."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if hasattr(signal, "SIGUSR1"):
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    sys.exit(status)


def _open_closed_streams() -> None:
    """Point closed standard streams at the null device: otherwise the next file opened takes their number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))  # noqa: SIM115


def exit_status(story: Callable[[], int | None]) -> int:
    """Run a script's story and return its exit status: the story's own, or 0.

    2 for a mistake that the user can correct, 1 for any other failure, 130 after Ctrl-C, 141 if the reader of the
    output has gone. Unexpected errors keep their traceback, with secrets covered.
    """
    sys.excepthook = print_traceback
    _open_closed_streams()
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

"""How a script at the root ends: what went wrong in a line or a few, and the exit status for it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from utils.files import CannotWrite
from utils.logs import presentable, print_traceback
from utils.types import TrainingError, UserError


def exit_status(story: Callable[[], int | None]) -> int:
    """Do what a script does and return its exit status: the story's own, or 0.

    2 for a mistake that the user can mend, 1 for what stopped it otherwise, 130 after Ctrl-C, 141 where nobody reads
    its output any more. Errors that nobody expected keep their traceback, secrets covered.
    """
    sys.excepthook = print_traceback
    try:
        return story() or 0
    except UserError as error:
        print(presentable(error), file=sys.stderr)
        return 2
    except (TrainingError, CannotWrite) as error:
        print(presentable(error), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141

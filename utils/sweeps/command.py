"""What `python train.py` does with a file that has a sweep."""

from __future__ import annotations

from utils.schema import Configuration
from utils.sweeps.cells import load_sweep
from utils.sweeps.checking import check_parameters, check_together
from utils.sweeps.running import Shard, run_here


def run_sweep(config: Configuration, shard: Shard, *, check: bool = False, fresh: bool = False) -> None:
    """Check all runs of a sweep; then describe them (`check`) or train those of a part.

    Raises: ConfigError for a sweep that cannot be run; TrainingError naming the runs that failed.
    """
    sweep = load_sweep(config)
    check_together(sweep)
    check_parameters(sweep)  # with torch and Lightning, whose loggers are there to be configured then
    from utils import logs

    logs.configure(config.loglevel, config.logging_dir)
    if check:
        from utils.sweeps.describing import describe

        print(describe(sweep, shard))
    else:
        run_here(sweep, shard, fresh)

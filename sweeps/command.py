"""What `python train.py` does with a file that has a sweep."""

from __future__ import annotations

from configuration.schema import Configuration
from runs.code import OnChange
from sweeps.cells import Sweep, load_sweep
from sweeps.checking import check_data, check_parameters, check_ranges, check_together
from sweeps.jobs import EveryCombination, Jobs
from sweeps.running import Shard, refuse_several_devices, run_here


def run_sweep(
    config: Configuration,
    shard: Shard | None,
    *,
    check: bool = False,
    fresh: bool = False,
    changed_code: OnChange = None,
) -> None:
    """Check all runs of a sweep; then describe them (`check`), train those of a part here, or all with Ray.

    Raises: ConfigError for a sweep that cannot be run; TrainingError naming the runs that failed.
    """
    sweep = load_sweep(config)
    refuse_several_devices(sweep)
    check_together(sweep)
    check_parameters(sweep)
    check_ranges(sweep)
    if sweep.block.search is not None and shard is not None:
        raise sweep.base.error({("sweep", "search"): "its trials learn of one another: leave --shard out"})
    from sweeps.data import SweepData  # with the data sets

    data = SweepData()
    try:
        check_data(sweep, data, fresh)
    finally:
        if check:  # whoever plans a sweep need not have its data yet
            from sweeps.describing import describe

            print(describe(sweep, shard or Shard(), data.size), flush=True)
    if not fresh:
        from sweeps.changed_code import settle_changed_code

        settle_changed_code(sweep, shard or Shard(), changed_code, check)
    if check:
        return
    from utils import logs

    if shard is not None:
        import pytorch_lightning  # noqa: F401  sets the levels of its loggers, so before they are configured
    logs.configure(config.loglevel, config.logging_dir, only_complaints=True)
    if shard is not None:
        run_here(sweep, shard, fresh)
    else:
        from sweeps.on_ray import run_on_ray

        run_on_ray(sweep, _jobs(sweep), fresh)


def _jobs(sweep: Sweep) -> Jobs:
    if sweep.block.search is None:
        return EveryCombination(sweep)
    from sweeps.searching import SearchJobs  # with Optuna, which grids do without

    return SearchJobs(sweep)

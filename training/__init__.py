"""From a configuration to a finished run: built, trained, saved on the way, tested once, recorded.

`runner` tells the story. `building` checks a configuration (`checks`), builds what a run needs (`networks`,
`optimizers`, `learning_rates`, `schedules`) and tries it (`rehearsal`). `resumption` looks at what exists of a run.
`trainer` is Lightning's, with the `callbacks`, the `averaging` of weights and the `save_points` from which a run
resumes; `freezing` and `decays` treat parameters differently, `parameter_groups` shows how. `profile` measures which
settings of the machine are fastest, `range_test` which learning rate to take. Which epoch is the best, so becomes
best.ckpt and is tested, `callbacks.RunRecord` chooses, by `monitor`. `finishing` tests the selected weights, `tracking`
shows the run in its trackers, `report` describes it, `neighbours` names the nearest other run.
"""

from __future__ import annotations

from utils.lookup import Entry

MEASUREMENTS = {
    "--profile": Entry("training.profile:profile", "measure for a minute which settings of the machine train fastest"),
    "--find-lr": Entry("training.range_test:find_learning_rate", "say at which learning rate the loss falls fastest"),
}
"""What train.py measures instead of training, by its option."""

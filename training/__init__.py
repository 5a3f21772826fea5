"""From a configuration to a finished run: built, trained, saved on the way, tested once, recorded.

`runner` tells the story. `building` checks a configuration (`checks`), builds what a run needs (`networks`,
`optimizers`, `learning_rates`, `schedules`) and tries it (`rehearsal`). `resumption` looks at what exists of a run.
`trainer` is Lightning's, with the `callbacks`, the `averaging` of weights and the `save_points` from which a run
resumes; `profile` measures which settings of the machine are fastest. Which epoch is the best, so becomes best.ckpt
and is tested, `callbacks.RunRecord` chooses, by `monitor`. `finishing` tests the selected weights, `tracking` shows the
run in its trackers, `report` describes it, `neighbours` names the nearest other run.
"""

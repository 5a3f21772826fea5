"""From a configuration to a finished run: built, trained, saved on the way, tested once, recorded.

`runner` tells the story. `building` checks parameters (`parameter_checks`), builds what a run needs (`networks`,
`optimization`, `schedules`) and puts an image through it (`trying_out`). Around the steps (`step_loop`) stand the
`callbacks`, `averaging`, `progress` and the `save_points` that a resume starts from. `finishing` tests the selected
weights, `tracking` shows the run in its trackers, `report` is what it says of itself, `neighbours` of other runs.
"""

"""Many runs from one file: what its `sweep:` means, and how the runs are executed.

Planned: the `block` with its axes, its `mistakes`, the `cells` that it means, `checks` of them and their `data`, a
`description` with the costs, and the `earlier_runs` that are there.
Executed: `jobs` in order, or drawn by a `search`; `execution` has a `worker` do each, in `processes` of this machine
or on a `ray_cluster`, whose `resources` they share, and shows them on a `board`.
"""

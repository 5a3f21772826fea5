"""Finished runs beside each other: read, grouped by configuration, tested, laid out as tables.

`sources` resolves arguments to runs, `reading` reads one; `groups`, `strata` and `layout` say what is compared with
what, `significance` (with `predictions` and `baselines`) whether a difference is more than noise, `papers` what a paper
prints there; `panels` makes one `Comparison` of it all. Outputs are functions of that: `tables` and `notes`, `formats`
and `latex` of these, `records` and `page`. `units` says how a number is written. None of it imports torch.
"""

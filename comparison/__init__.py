"""Finished runs beside each other: read, grouped by configuration, tested, laid out as tables.

`sources` resolves arguments to runs, `reading` reads one; `groups`, `strata` and `layout` say what is compared with
what, `verdicts` (with `noise`, `power`, `predictions`, `baselines`) what is known of a row, `significance` what two
tests say, `ranks` rows over data sets, `papers` what a paper prints there; `sequential` trains until verdicts are decided;
`panels` makes one `Comparison` of it all. Outputs are functions of that: `tables` and `notes`, `formats`
and `latex` of these, `records` and `page`. `units` says how a number is written. None of it imports torch.
"""

"""Finished runs beside each other: found, grouped by configuration, tested, laid out as tables.

`reading` finds runs, `grouping` and `layout` say what is compared with what, `statistics` and `testing` whether a
difference is more than noise, `papers` what a paper has there; `building` makes one `Comparison` of it all. Outputs are
functions of that: `tables` (with `significance_table` and `cost_table`) and `notes`, `formats` of these, and `records`.
`numbers` says how a number is written. None of it imports torch.
"""

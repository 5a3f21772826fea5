"""Many runs from one file: what its `sweep:` says, the runs that it means, and how they are run here.

A sweep is read with the file (`reading`, `block`), has axes (`axes`) whose combinations are its cells (`cells`), is
checked as a whole before anything is trained (`checking`, `cost`, `describing`), and run cell by cell (`running`).
"""

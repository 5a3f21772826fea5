"""From a YAML file and the command line to a checked configuration: every mistake at once, each with its place.

`reading` merges file and command line, whose text `yaml_text` reads and writes, and `checks` the result; `schema` has
the keys with their types, ranges and defaults, `settings` the part that a run folder keeps, `chains` the access to
entries of mappings and lists, `smoke` the changes that make a run one of seconds.
"""

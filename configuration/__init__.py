"""From a YAML file and the command line to a checked configuration: every mistake at once, each with its place.

`reading` merges file and command line, whose text `yaml_text` reads and writes; `schema` has the keys with their types,
ranges and defaults, `catalogue` the names that stand for something, `settings` what a run's folder keeps of it, `smoke`
what makes a run one of seconds.
"""

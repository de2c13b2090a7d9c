"""A grid of runs from one YAML file, with every epoch that runs share trained once."""

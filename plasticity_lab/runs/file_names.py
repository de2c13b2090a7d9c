"""Names in the directory of a run."""

CONFIG = "config.yaml"
"""The resolved config."""

MANIFEST = "manifest.json"
"""Everything needed to repeat the run."""

KEYS = ("seed_everything", "trainer", "model", "data")
"""The keys of a config that define a run."""

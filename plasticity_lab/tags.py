"""Names under which values are logged."""

GROUPS = {"estimated": "diagnostics", "running": "diagnostics_running"}
"""First part of a diagnostic's tags, by the batch-norm statistics that it measures with."""

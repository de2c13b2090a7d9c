"""Warnings of Lightning and torch that do not concern a run."""

import logging
import warnings

_KNOWN_WARNINGS = [
    # Of LightningCLI.
    r"\s*By default only one JsonargparseDeprecationWarning",
    # Of Lightning's own code.
    "`isinstance\\(treespec, LeafSpec\\)` is deprecated",
    # Values are logged per epoch.
    "The number of training batches .* is smaller than the logging interval",
    # Metrics are the same on all ranks.
    "It is recommended to use .*sync_dist=True",
    # Of Lightning's own code.
    "torch.distributed.nn.functional.all_gather is deprecated",
    # A batch holds them.
    "Couldn't infer the batch indices",
    # The order is then the same in every epoch.
    "You requested to overfit but enabled",
    # A resume keeps it.
    "Experiment logs directory .* exists and is not empty",
    # So it has, in a branch.
    "The dirpath has changed from",
    # So it is, on a resume.
    "Checkpoint directory .* exists and is not empty",
]
"""Patterns of warnings that do not concern a run."""


def silence_known_warnings() -> None:
    """Hide advertisements of Lightning, and warnings that do not concern a run."""
    logging.getLogger("pytorch_lightning.utilities.rank_zero").addFilter(
        lambda record: "Tip:" not in str(record.msg)
    )
    for pattern in _KNOWN_WARNINGS:
        warnings.filterwarnings("ignore", pattern)

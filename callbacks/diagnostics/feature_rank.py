"""Ranks of the last hidden features."""

from dataclasses import dataclass

from callbacks.diagnostics.base import Measured, ProbeDiagnostic
from callbacks.diagnostics.look import Look
from plasticity_lab.measurements.feature_rank import effective_rank, srank, stable_rank
from plasticity_lab.measurements.features import check_last_layer, last_features


@dataclass(repr=False, eq=False, kw_only=True)
class FeatureRank(ProbeDiagnostic):
    """Effective rank, stable rank and srank of the last hidden features.

    They say of how many dimensions the last layer makes use: Roy & Vetterli 2007; Kumar et al.
    2021, https://arxiv.org/abs/2010.14498. One forward pass over the probe and the singular values
    of its features. Values: `effective_rank`, `stable_rank`, `srank`.

    Batch norm: statistics are estimated on the probe, as `ProbeDiagnostic` says; the papers'
    convention is not known.

    Example:
        ```yaml
        class_path: callbacks.FeatureRank
        init_args: {every: 1ep}
        ```
    """

    charts = ("effective_rank", "stable_rank", "srank")
    tags = charts

    def check(self, look: Look) -> None:
        """Refuse a network without a last layer."""
        check_last_layer(look.network, look.probe.inputs)

    def measure(self, look: Look) -> Measured:
        """Return the three ranks."""
        features = last_features(look.network, look.probe.inputs)
        return {
            "effective_rank": effective_rank(features),
            "stable_rank": stable_rank(features),
            "srank": srank(features),
        }

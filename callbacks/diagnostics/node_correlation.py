"""Which units of a student do what its teacher's do."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from callbacks.diagnostics.base import Measured, ProbeDiagnostic
from callbacks.diagnostics.look import Look
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.node_correlation import (
    best_matches,
    match_ranks,
    outgoing_norms,
    unspecialised,
)
from plasticity_lab.measurements.teacher_layers import check_teacher, taught_layers
from plasticity_lab.surgery.units import Units, trace_units


@dataclass(repr=False, eq=False, kw_only=True)
class NodeCorrelation(ProbeDiagnostic):
    """Correlation of each unit of a teacher with its best student unit (Tian et al. 2019).

    https://arxiv.org/abs/1905.13405. Hidden layers of both are compared in their order, after the
    activation; the teacher is that of `datamodules.TeacherTargets`. For each hidden layer of the
    student: `nodes/correlation/<block>`, the best correlation of a teacher unit, mean over them,
    and `nodes/correlation_min/<block>`, that of the worst matched; `nodes/unspecialised/<block>`,
    the share of student units that correlate with no teacher unit by `threshold` or more;
    `nodes/outgoing_matched/<block>` and `nodes/outgoing_others/<block>`, the mean norm of the
    outgoing weights of the best students and of all others; `nodes/initial_rank/<block>`, how many
    students were better before training than the ones that are best now, as a share of all, the
    median over teacher units: near 0 if luck decides. A picture shows correlations against outgoing
    norms. The correlations before training are kept in checkpoints; a run that measures none has no
    ranks.

    Batch norm: statistics are estimated on the probe, as `ProbeDiagnostic` says; the paper's
    convention is not known.

    Args:
        threshold: in (0, 1].

    Raises:
        UserError: for another threshold, without a teacher, or if the networks do not have as many
            activations.

    Example:
        ```yaml
        class_path: callbacks.NodeCorrelation
        init_args: {every: 1ep, examples: 1000}
        ```
    """

    charts = (
        "nodes/correlation",
        "nodes/correlation_min",
        "nodes/unspecialised",
        "nodes/outgoing_matched",
        "nodes/outgoing_others",
        "nodes/initial_rank",
    )
    tags = tuple(f"{name}/<block>" for name in charts)

    threshold: float = 0.5

    def __post_init__(self) -> None:
        """Check the arguments."""
        super().__post_init__()
        if not 0 < self.threshold <= 1:
            raise UserError("threshold", self.threshold, fix="set a number in (0, 1]")

    def begin(self) -> None:
        """Know no initial correlations."""
        super().begin()
        self._initial: dict[str, Tensor] = {}

    def check(self, look: Look) -> None:
        """Refuse a run without a teacher, or one with other layers."""
        check_teacher(look.network, look.teacher, look.probe.inputs)

    @torch.no_grad()
    def measure(self, look: Look) -> Measured:
        """Return correlations, norms and ranks, and the picture."""
        assert look.teacher is not None
        layers = taught_layers(look.network, look.teacher, look.probe.inputs)
        if not self._initial and look.step == 0:
            self._initial = {layer.block: layer.correlation.cpu() for layer in layers}
        units = list(trace_units(look.network, look.probe.inputs[:1]).units.values())
        measured: dict[str, float | Figure] = {}
        points: dict[str, tuple[Tensor, Tensor]] = {}
        for layer in layers:
            correlation = layer.correlation.cpu()
            matches = best_matches(correlation)
            values = {
                "correlation": matches.correlation.mean(),
                "correlation_min": matches.correlation.min(),
                "unspecialised": unspecialised(correlation, self.threshold).double().mean(),
            }
            if layer.block in self._initial:
                ranks = match_ranks(self._initial[layer.block], matches.student)
                values["initial_rank"] = ranks.double().quantile(0.5) / correlation.shape[1]
            norms = _norms(look.network, units, layer.block, correlation.shape[1])
            if norms is not None:
                best = torch.zeros(len(norms), dtype=torch.bool)
                best[matches.student] = True
                values["outgoing_matched"] = norms[best].mean()
                if not best.all():
                    values["outgoing_others"] = norms[~best].mean()
                points[layer.block] = (correlation.amax(0), norms)
            measured |= {f"nodes/{name}/{layer.block}": float(one) for name, one in values.items()}
        if points:
            measured["nodes/matches"] = plot_matches(points, look.step)
        return measured

    def state_dict(self) -> dict[str, Any]:
        """Return the correlations before training."""
        return {"initial": self._initial}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a checkpoint's correlations."""
        self._initial = dict(state_dict["initial"])


def _norms(network: nn.Module, units: list[Units], block: str, count: int) -> Tensor | None:
    """Return the outgoing norms of a block's units; None where they cannot be traced."""
    of_block = [known for known in units if known.layer.startswith(f"{block}.")]
    if len(of_block) != 1 or of_block[0].count != count:
        return None
    return outgoing_norms(network, of_block[0])


def plot_matches(points: Mapping[str, tuple[Tensor, Tensor]], step: int) -> Figure:
    """Draw the outgoing norm of each student unit against its best correlation, a panel a layer."""
    figure = Figure(figsize=(3 * len(points), 3), layout="constrained")
    panels = figure.subplots(1, len(points), squeeze=False)[0]
    for axes, (block, (correlation, norms)) in zip(panels, points.items(), strict=True):
        axes.scatter(correlation, norms, s=8, alpha=0.6, linewidths=0)
        axes.set(
            xlabel="best correlation", title=f"{block}, after {step} steps", xlim=(-0.05, 1.05)
        )
        axes.set_ylim(bottom=0)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("norm of outgoing weights")
    return figure

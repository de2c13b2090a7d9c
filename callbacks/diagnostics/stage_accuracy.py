"""Accuracy on the present data stage, on earlier ones, and what has been forgotten."""

import json
from dataclasses import KW_ONLY, dataclass
from typing import Any

import torch
from torch import Tensor

from callbacks.diagnostics.base import Diagnostic, Measured
from callbacks.diagnostics.look import Look
from callbacks.diagnostics.probe import Probe
from callbacks.diagnostics.stage_probes import StageProbes
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.stage_accuracy import (
    average_accuracy,
    backward_transfer,
    forgetting,
)

_BATCH = 500
"""Examples that are evaluated at a time."""


@dataclass(repr=False, eq=False)
class StageAccuracy(Diagnostic):
    """Accuracy on each data stage: what is learned of the present one, and left of those before.

    Of classes that arrive in stages (`ClassStream`, `ClassGrowth` with `uniform_fraction: 0`) a
    stage is tested on validation images of the classes that it brought; of stages with transforms
    on the validation images as that stage has them. `stage_accuracy/present` is that of the present
    stage, `/stage<k>` of an earlier one, `/seen` that on all classes that have come so far, and
    `/average` the mean over stages. `/forgetting` (Chaudhry et al. 2018,
    https://arxiv.org/abs/1801.10112) is the mean over earlier stages of the best accuracy measured
    before less that of now, `/backward_transfer` (Lopez-Paz & Ranzato 2017,
    https://arxiv.org/abs/1706.08840) of that of now less that at the end of its stage. Means are
    over the stages that are measured.

    Args:
        earlier: how many earlier stages are measured, the latest ones; None is all, which takes
            longer with each stage.
        examples: images of a stage, at most.
        seen_classes_only: leave out the outputs of classes that have not come yet, as Dohare et al.
            2024 do.

    Raises:
        UserError: for data without stages, or whose stages have the same images to be tested on.

    Example:
        ```yaml
        class_path: callbacks.StageAccuracy
        init_args: {every: stages, earlier: 5}
        ```
    """

    charts = (
        "stage_accuracy/present",
        "stage_accuracy/seen",
        "stage_accuracy/average",
        "stage_accuracy/forgetting",
        "stage_accuracy/backward_transfer",
    )
    tags = (*charts, "stage_accuracy/stage<k>")

    _: KW_ONLY
    earlier: int | None = 10
    examples: int = 1000
    seen_classes_only: bool = False

    def __post_init__(self) -> None:
        """Check the arguments."""
        super().__post_init__()
        if self.earlier is not None and self.earlier < 0:
            raise UserError("earlier", value=self.earlier, fix="set 0 stages or more, or null")
        if self.examples < 1:
            raise UserError("examples", value=self.examples, fix="set 1 or more")

    def begin(self) -> None:
        """Remember no accuracy yet."""
        super().begin()
        self._own: dict[int, float] = {}  # accuracy of each stage when it was measured last in it
        self._best: dict[int, float] = {}  # the highest of each stage
        self._best_before: dict[int, float] = {}  # before the latest measurement
        self._step = -1  # of the latest measurement

    def check(self, look: Look) -> None:
        """Refuse data without stages of their own."""
        look.check_classification()
        if look.stage_probes is None or not look.stage_probes.differ:
            raise UserError(
                "growth",
                problem="its stages have the same images to be tested on",
                fix="use a ClassStream, a ClassGrowth with uniform_fraction: 0, or "
                "stage_transforms; else read val/accuracy",
            )
        if self.seen_classes_only and not look.stage_probes.by_class:
            raise UserError(
                "seen_classes_only",
                value="true",
                problem="all classes are there from the start",
                fix="remove it",
            )

    def measure(self, look: Look) -> Measured:
        """Return the accuracies and what they come to."""
        probes, stage = look.stage_probes, look.stage
        assert probes is not None
        hidden = self._hidden(probes, stage) if self.seen_classes_only else None

        # The accuracy of each stage.
        first = 0 if self.earlier is None else max(0, stage - self.earlier)
        now = {
            number: accuracy(look, probes.of_stage(number, self.examples), hidden)
            for number in range(first, stage + 1)
        }
        values = {f"stage{number}": share for number, share in now.items() if number < stage}
        values |= {"present": now[stage], "average": average_accuracy(now)}
        if probes.by_class:
            seen = probes.of_seen_classes(stage, self.examples)
            values["seen"] = accuracy(look, seen, hidden)

        # What has become of earlier stages since.
        if look.step != self._step:
            self._step, self._best_before = look.step, dict(self._best)
        best = {number: self._best_before[number] for number in now if number in self._best_before}
        best.pop(stage, None)
        own = {number: self._own[number] for number in now if number in self._own}
        own.pop(stage, None)
        for name, value in (
            ("forgetting", forgetting(now, best)),
            ("backward_transfer", backward_transfer(now, own)),
        ):
            if value is not None:
                values[name] = value
        for number, share in now.items():
            self._best[number] = max(share, self._best.get(number, share))
        self._own[stage] = now[stage]
        return {f"stage_accuracy/{name}": value for name, value in values.items()}

    @staticmethod
    def _hidden(probes: StageProbes, stage: int) -> Tensor | None:
        """Return which outputs are left out, bool (classes,)."""
        seen, relabelled = probes.seen_classes(stage), probes.data.num_outputs
        if seen is None or relabelled != len(probes.data.splits.train.classes):
            return None
        hidden = torch.ones(relabelled, dtype=torch.bool)
        hidden[seen] = False
        return hidden

    @property
    def needs_history(self) -> bool:
        """Whether it compares with earlier moments of the run."""
        return True

    def state_dict(self) -> dict[str, Any]:
        """Return what has been measured."""
        # As text: checkpoints with many small values take torch long to read.
        return {
            "own": json.dumps(self._own),
            "best": json.dumps(self._best),
            "best_before": json.dumps(self._best_before),
            "step": self._step,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a checkpoint's measurements."""
        self._own, self._best, self._best_before = (
            {int(stage): share for stage, share in json.loads(state_dict[name]).items()}
            for name in ("own", "best", "best_before")
        )
        self._step = state_dict["step"]


@torch.no_grad()
def accuracy(look: Look, probe: Probe, hidden: Tensor | None) -> float:
    """Return the share of a probe's examples that the network classifies rightly, in [0, 1].

    Args:
        look: at the network.
        probe: the examples.
        hidden: outputs that are left out, bool (classes,); None is none.
    """
    correct = torch.zeros((), dtype=torch.int64, device=probe.targets.device)
    parts = (torch.split(part, _BATCH) for part in (probe.inputs, probe.targets))
    for inputs, targets in zip(*parts, strict=True):
        logits: Tensor = look.network(inputs)
        if hidden is not None:
            logits = logits.masked_fill(hidden.to(logits.device), -torch.inf)
        correct += (logits.argmax(1) == targets).sum()
    return int(correct) / len(probe.targets)

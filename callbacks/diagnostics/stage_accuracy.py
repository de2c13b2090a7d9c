"""Accuracy on the present data stage, on earlier ones, and what has been forgotten."""

import json
from dataclasses import KW_ONLY, dataclass
from typing import Any

import torch
from torch import Tensor

from callbacks.diagnostics.base import Diagnostic, Measured
from callbacks.diagnostics.look import Look
from callbacks.diagnostics.stage_probes import StageProbes
from callbacks.probe import Probe
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
    stage, `/stage<k>` of an earlier one, `/seen` that on all classes that have come so far (where
    they keep their names), and `/average` the mean over stages. A stage that comes again has the
    number of its first time, and counts as the present one or as one of the earlier.

    `/forgetting` (Chaudhry et al. 2018, https://arxiv.org/abs/1801.10112) is the mean over earlier
    stages of the best accuracy measured before less that of now, `/backward_transfer` (Lopez-Paz &
    Ranzato 2017, https://arxiv.org/abs/1706.08840) of that of now less that when it was measured
    last in its own stage. Means are over the stages that are measured.

    Args:
        earlier: how many earlier stages are measured, the latest ones; None is all, which takes
            longer with each stage.
        examples: images of a stage, at most.
        seen_classes_only: leave out the outputs of classes that have not come yet, as Dohare et al.
            2024 do.

    Raises:
        UserError: for data without stages, or whose stages have the same images to be tested on, a
            class without validation images, or `seen_classes_only` where classes have other names
            in other stages.

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
        self._kinds: dict[tuple[Any, ...], int] = {}  # the first stage of each kind
        self._firsts: list[int] = []  # of each stage, the first of its kind

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
        data = look.stage_probes.data
        stages = data.stages.count((data.trainer and data.trainer.max_epochs) or 1)
        if name := look.stage_probes.without_examples(stages):
            raise UserError(
                "validation",
                problem=f"has no example of class {name}, which comes in a stage",
                fix="hold out more, or use validation: test",
            )
        if self.seen_classes_only and not look.stage_probes.by_class:
            raise UserError(
                "seen_classes_only",
                value="true",
                problem="all classes are there from the start",
                fix="remove it",
            )
        if self.seen_classes_only and look.stage_probes.relabelled:
            raise UserError(
                "seen_classes_only",
                value="true",
                problem="classes have other names in other stages",
                fix="remove it",
            )

    def measure(self, look: Look) -> Measured:
        """Return the accuracies and what they come to."""
        probes, stage = look.stage_probes, look.stage
        assert probes is not None
        hidden = self._hidden(probes, stage) if self.seen_classes_only else None

        # The accuracy of each stage.
        present = self._first_alike(probes, stage)
        now = {
            number: accuracy(look, probes.of_stage(number, self.examples), hidden)
            for number in self._measured(probes, stage)
        }
        values = {f"stage{number}": share for number, share in now.items() if number != present}
        values |= {"present": now[present], "average": average_accuracy(now)}
        if probes.by_class and not probes.relabelled:
            seen = probes.of_seen_classes(stage, self.examples)
            values["seen"] = accuracy(look, seen, hidden)

        # What has become of earlier stages since.
        if look.step != self._step:
            self._step, self._best_before = look.step, dict(self._best)
        best = {number: self._best_before[number] for number in now if number in self._best_before}
        best.pop(present, None)
        own = {number: self._own[number] for number in now if number in self._own}
        own.pop(present, None)
        for name, value in (
            ("forgetting", forgetting(now, best)),
            ("backward_transfer", backward_transfer(now, own)),
        ):
            if value is not None:
                values[name] = value
        for number, share in now.items():
            self._best[number] = max(share, self._best.get(number, share))
        self._own[present] = now[present]
        return {f"stage_accuracy/{name}": value for name, value in values.items()}

    def _measured(self, probes: StageProbes, stage: int) -> list[int]:
        """Return the stages that are measured, sorted: the present one and the latest before."""
        most = stage if self.earlier is None else self.earlier
        found = [self._first_alike(probes, stage)]
        for earlier in range(stage - 1, -1, -1):
            if len(found) > most:
                break
            number = self._first_alike(probes, earlier)
            if number not in found:
                found.append(number)
        return sorted(found)

    def _first_alike(self, probes: StageProbes, stage: int) -> int:
        """Return the first stage that is tested on the images and labels of a stage."""
        for number in range(len(self._firsts), stage + 1):
            self._firsts.append(self._kinds.setdefault(probes.kind(number), number))
        return self._firsts[stage]

    @staticmethod
    def _hidden(probes: StageProbes, stage: int) -> Tensor:
        """Return which outputs are left out, bool (classes,)."""
        hidden = torch.ones(probes.data.num_outputs, dtype=torch.bool)
        hidden[probes.seen_classes(stage)] = False
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

"""A stream of classes."""

import torch
from torch import Tensor

from datamodules.growth.class_growth import CLASS_ORDER
from datamodules.growth.stage_criterion import StageCriterion
from datamodules.growth.stages import Stages
from datamodules.growth.stream import Passes, Recurrence, Stream, check_overlap
from plasticity_lab.errors import UserError
from plasticity_lab.timing import Time


class ClassStream(Stream):
    """Each stage has other classes: class-incremental learning without the classes before.

    Classes come in the order in which `ClassGrowth` adds them, which is keyed by the seed.
    (`ClassGrowth` keeps the classes before, as Dohare et al. 2024 do on CIFAR-100.)

    Args:
        classes_per_stage: classes of a stage; the number of all is the identity.
        overlap: how many of them the stage before has, too.
        recurrence: what follows once all have been there: `none`, `cycle` (the same stages again)
            or `redraw` (the classes dealt anew).
        relabel: number the classes of a stage 0, 1, …: the network has `classes_per_stage` outputs.
            With 2 these are the binary tasks of Dohare et al. 2024 on ImageNet.
        at: as `DataStages`.
        until: as `DataStages`.
        every: as `DataStages`.

    Raises:
        UserError: for numbers that do not divide the classes up, or more stages than there are
            classes for, without recurrence.

    Example:
        ```yaml
        class_path: datamodules.ClassStream
        init_args: {classes_per_stage: 2, recurrence: redraw, relabel: true, every: 10ep}
        ```
    """

    def __init__(
        self,
        classes_per_stage: int,
        overlap: int = 0,
        recurrence: Recurrence = "none",
        relabel: bool = False,
        at: list[Time] | None = None,
        until: StageCriterion | None = None,
        every: Time | None = None,
    ) -> None:
        super().__init__(at, until, every)
        if classes_per_stage < 1:
            raise UserError("classes_per_stage", value=classes_per_stage, fix="set 1 or more")
        check_overlap(overlap, classes_per_stage)
        self.classes_per_stage, self.overlap = classes_per_stage, overlap
        self.recurrence, self.relabel = recurrence, relabel

    def num_classes(self, classes: int | None) -> int | None:
        """Return the classes of a stage, if they are relabelled."""
        return self.classes_per_stage if self.relabel else classes

    def arrange(self, targets: Tensor, classes: int | None, seed: int) -> Stages:
        """Deal the classes out."""
        if classes is None:
            raise UserError(
                "growth",
                value=repr(self),
                problem="the data have no classes",
                fix="use ExampleStream",
            )
        size, stride = self.classes_per_stage, self.classes_per_stage - self.overlap
        if size > classes:
            raise UserError(
                "classes_per_stage", value=size, problem=f"there are {classes} classes to deal"
            )
        if (classes - size) % stride:
            left_out = (classes - size) % stride
            raise UserError(
                "classes_per_stage",
                value=size,
                problem=f"{left_out} of {classes} classes would never be there",
                fix="set a number that divides them up, or another overlap",
            )
        passes = Passes(CLASS_ORDER, classes, size, self.overlap, self.recurrence, seed)
        return _Classes(passes, targets, self.relabel)


class _Classes(Stages):
    """Classes of one stage each.

    Args:
        passes: deals the classes out.
        targets: int64 (examples,), of the training split.
        relabel: whether a stage's classes are numbered anew.
    """

    def __init__(self, passes: Passes, targets: Tensor, relabel: bool) -> None:
        self.passes, self.count, self.relabel = passes, passes.count, relabel
        self._frequencies = torch.bincount(targets, minlength=passes.things)
        self._of_class = torch.split(targets.argsort(stable=True), self._frequencies.tolist())
        self._window = -1, torch.empty(0, dtype=torch.int64)

    def members(self, stage: int) -> Tensor:
        parts = [self._of_class[number] for number in self.classes(stage).tolist()]
        return torch.cat(parts).sort().values

    def size(self, stage: int) -> int:
        return int(self._frequencies[self.classes(stage)].sum())

    def classes(self, stage: int) -> Tensor:
        if self._window[0] != stage:
            self._window = stage, self.passes.window(stage)
        return self._window[1]

    def relabelled(self, targets: Tensor, stage: int) -> Tensor:
        if not self.relabel:
            return targets
        places = torch.full((self.passes.things,), -1)
        places[self.classes(stage)] = torch.arange(self.passes.size)
        return places.to(targets.device)[targets]

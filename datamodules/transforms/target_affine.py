"""Real-valued targets shifted and scaled from stage to stage."""

from datamodules.datasets.split import Split
from datamodules.loading.batch import Batch
from datamodules.transforms.context import BatchContext
from datamodules.transforms.stage_transform import StageTransform
from plasticity_lab.errors import UserError


class TargetAffine(StageTransform):
    """Targets times a scale plus an offset, other ones in each stage.

    Targets of growing magnitude take plasticity away (Lyle et al. 2024,
    https://arxiv.org/abs/2402.18762).

    Args:
        offsets: what stages 0, 1, … add to their targets, the last value for all stages after it;
            None is `[0.0]`, the identity.
        scales: what they multiply them by before, likewise; None is `[1.0]`, the identity.
        cycle: as `StageTransform`.

    Raises:
        UserError: for no values, a scale of 0, or data with classes.

    Example:
        ```yaml
        class_path: datamodules.TargetAffine
        init_args: {offsets: [0, 10], scales: [1, 2]}
        ```
    """

    def __init__(
        self,
        offsets: list[float] | None = None,
        scales: list[float] | None = None,
        cycle: int | None = None,
    ) -> None:
        super().__init__(cycle)
        for name, values in (("offsets", offsets), ("scales", scales)):
            if values == []:
                raise UserError(name, value="[]", fix="set a number for each stage")
        self.offsets, self.scales = offsets or [0.0], scales or [1.0]
        if 0 in self.scales:
            raise UserError("scales", value=self.scales, problem="0 leaves nothing to learn")

    def check(self, train: Split) -> None:
        """Refuse classes."""
        if train.classes or not train.targets.dtype.is_floating_point:
            raise UserError(
                "stage_transforms",
                value=repr(self),
                problem="changes real-valued targets, and the data have classes",
                fix="use TeacherTargets, or remove it",
            )

    def __call__(self, batch: Batch, context: BatchContext) -> Batch:
        """Scale and shift."""
        task = context.level
        scale = self.scales[min(task, len(self.scales) - 1)]
        offset = self.offsets[min(task, len(self.offsets) - 1)]
        return batch._replace(targets=batch.targets * scale + offset)

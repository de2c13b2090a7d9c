"""What a run's data must allow, asked before training begins."""

from collections.abc import Sequence

from pytorch_lightning import Trainer
from pytorch_lightning.utilities import rank_zero_warn
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from datamodules.datasets.split import Split
from datamodules.epoch_plan import EpochPlan
from plasticity_lab.errors import UserError


def check_run(plan: EpochPlan, trainer: Trainer, module: nn.Module, classes: Sequence[str]) -> None:
    """Raise UserError for what the run could not train on, and for stages that it never reaches.

    Args:
        plan: the epochs of the run.
        trainer: the run's.
        module: what is trained.
        classes: names of the classes.
    """
    if trainer.reload_dataloaders_every_n_epochs != 1:  # type: ignore[attr-defined]  # set by a helper of Trainer
        raise UserError(
            "reload_dataloaders_every_n_epochs",
            problem="must be 1, or a resumed run would see another epoch's order",
        )
    if plan.stages.growth and plan.max_epochs < 1:
        raise UserError(
            "max_epochs",
            value=trainer.max_epochs,
            problem="data that change over time need the number of epochs",
            fix="set it",
        )
    if trainer.overfit_batches and plan.stages.stages.replaced:  # type: ignore[attr-defined]  # set by a helper of Trainer
        raise UserError(
            "overfit_batches",
            value=trainer.overfit_batches,  # type: ignore[attr-defined]
            problem="are those of the first epoch, and each stage of a stream has its own",
            fix="remove one of the two",
        )
    # A fast_dev_run ends after one batch.
    if not trainer.fast_dev_run:  # type: ignore[attr-defined]  # set by a helper of Trainer
        plan.stages.check_times(plan.max_epochs)
    check_batches(plan, module)
    if len(classes) == 1:
        rank_zero_warn(
            f"the data hold one class only, {classes[0]!r}: accuracy is 100 % by definition; "
            f"add the classes it is told from"
        )


def check_shown(plan: EpochPlan, name: str, split: Split) -> None:
    """Raise UserError if a split has no example of a stage of a stream.

    Args:
        plan: the epochs of the run.
        name: of the split.
        split: one that is evaluated.
    """
    for stage in range(plan.stages.count(plan.max_epochs)):
        shown = plan.stages.shown(split.targets, stage)
        if shown is None:
            return
        if not len(shown):
            raise UserError(
                name,
                problem=f"has no example of the classes of stage {stage}",
                fix="hold out more, or use validation: test",
            )


def check_batches(plan: EpochPlan, module: nn.Module) -> None:
    """Raise UserError if an epoch has no batch, or a last one that batch norm cannot take."""
    for size in sorted({*plan.stages.sizes(plan.max_epochs)}):
        batches = plan.batches(size)
        if not batches:
            raise UserError(
                "batch_size",
                value=plan.batch_size,
                problem=f"no full batch in {size} training examples",
                fix="choose a smaller one",
            )
        if len(batches[-1]) == 1 and _has_batch_norm(module):
            if plan.batch_size == 1:
                raise UserError(
                    "batch_size",
                    value="1",
                    problem="batch norm needs more than one example in a batch",
                    fix="set 2 or more",
                )
            raise UserError(
                "batch_size",
                value=plan.batch_size,
                problem=(
                    f"an epoch's last batch would hold one example, too few for batch norm, "
                    f"with {size} training examples"
                ),
                fix="set drop_last: true, or another batch_size",
            )


def _has_batch_norm(module: nn.Module) -> bool:
    return any(isinstance(layer, _BatchNorm) for layer in module.modules())

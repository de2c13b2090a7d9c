"""A look at the network of a running Trainer."""

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer

from callbacks.clock import Clock, run_schedule, run_seed
from callbacks.diagnostics.look import Look
from callbacks.diagnostics.novel_examples import novel_examples
from callbacks.diagnostics.stage_probes import StageProbes
from callbacks.network import unwrap
from callbacks.probe import Probe, loader_probe, test_probe, training_probe
from datamodules import ImageDataModule
from lightning_modules import TrainingRule
from lightning_modules.build_optimizer import build_optimizer_for
from plasticity_lab.errors import UserError
from plasticity_lab.surgery.norm_statistics import frozen_batch_norms
from plasticity_lab.timing import Position


def choose_probe(
    trainer: Trainer,
    module: LightningModule,
    examples: int,
    with_deficits: bool,
    stage: int | None = None,
) -> Probe:
    """Choose the examples on which a run is measured.

    Args:
        trainer: of the run.
        module: what is trained.
        examples: how many.
        with_deficits: with the deficits that are active now.
        stage: the data stage that they are of; None is the present.
    """
    data: Any = getattr(trainer, "datamodule", None)
    if isinstance(data, ImageDataModule):
        return training_probe(data, examples, with_deficits, data.now, stage)
    if with_deficits:
        raise UserError(
            "impaired", value="true", problem="only ImageDataModule has deficits", fix="remove it"
        )
    return loader_probe(trainer, module, examples, run_seed(trainer, module))


def look_at_module(module: LightningModule, probe: Probe, **look_fields: Any) -> Look:
    """Return a look at what a module trains.

    Args:
        module: its `objective` and `rule` are used if it has them.
        probe: the examples.
        **look_fields: what else is known, as `Look` takes it.
    """
    network = unwrap(module)
    rule = getattr(module, "rule", None)
    return Look(
        network,
        probe,
        getattr(module, "objective", None),
        frozen_norms=frozenset(frozen_batch_norms(network)),
        rule=rule if isinstance(rule, TrainingRule) else None,
        optimizer_for=partial(build_optimizer_for, module, network),
        holder=module,
        **look_fields,
    )


def run_look(trainer: Trainer, module: LightningModule, probe: Probe) -> Look:
    """Return a look at the network that is trained, as it is now."""
    rate = None
    if trainer.optimizers:
        rate = float(trainer.optimizers[0].param_groups[0]["lr"])
    look = look_at_module(
        module,
        probe,
        seed=run_seed(trainer, module),
        epoch=trainer.current_epoch,
        step=trainer.global_step,
        optimizers=trainer.optimizers,
        learning_rate=multiplied(rate, trainer, Clock.of(trainer).now),
    )
    data: Any = getattr(trainer, "datamodule", None)
    return with_data(look, data, data.now.stage) if isinstance(data, ImageDataModule) else look


def with_data(look: Look, data: ImageDataModule, stage: int) -> Look:
    """Return a look that knows what the network has been shown."""
    return replace(
        look,
        stage=stage,
        stage_members=data.stages.members,
        test_probe=partial(test_probe, data, stage),
        stage_probes=StageProbes(data),
        teacher=getattr(data.dataset, "teacher", None),
        novel_examples=partial(novel_examples, data, stage),
    )


def blank_look(trainer: Trainer, module: LightningModule) -> Look:
    """Return a look at a network before training, with a probe of two examples.

    They are zeros; of a data module that is not ours they are real, so that its loader must be
    there: it is once training has begun.
    """
    data: Any = getattr(trainer, "datamodule", None)
    if not isinstance(data, ImageDataModule):
        return look_at_module(module, loader_probe(trainer, module, 2, run_seed(trainer, module)))
    train = data.splits.train
    device = next(module.parameters()).device
    inputs = torch.zeros(2, *train.shape, device=device)
    targets = torch.zeros_like(train.targets[:2], device=device)
    return with_data(look_at_module(module, Probe(inputs, targets, torch.arange(2))), data, 0)


def multiplied(rate: float | None, trainer: Trainer, now: Position) -> float | None:
    """Return a learning rate times what callbacks such as `LearningRateFactor` multiply it by."""
    if rate is None:
        return None
    schedule = run_schedule(trainer)
    for part in schedule.parts:
        factor = getattr(part, "learning_rate_factor", None)
        if factor:
            rate *= factor(schedule.active(part, None, now))
    return rate

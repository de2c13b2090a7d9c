"""Trainability in a run, in any Trainer and on a checkpoint."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Trainer
from pytorch_lightning.loggers import TensorBoardLogger
from torch import nn

from callbacks import Trainability
from callbacks.diagnostics.look import Look
from callbacks.diagnostics.run_look import look_at_module, run_look
from callbacks.probe import Probe
from lightning_modules import Classification, Regression
from plasticity_lab.analysis.measure import measure
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.preserve_state import preserve_state
from plasticity_lab.measurements.trainability import TrainingBudget, trainability
from plasticity_lab.surgery.construction import construct
from plasticity_lab.surgery.initialisation import init_parameters
from plasticity_lab.surgery.norm_statistics import estimate_norm_statistics
from plasticity_lab.timing import Time
from tests.callbacks.diagnostics.measured import as_measured, fragment, run
from tests.callbacks.test_any_trainer import INPUTS, LABELS, Plain, PlainData
from tests.runs import fit, logged, tiny
from tests.test_bad_input import refused

ARGUMENTS: dict[str, Any] = {"examples": 40, "steps": 6, "batch_size": 10, "repeats": 2}

BUDGET = TrainingBudget(steps=6, batch_size=10, repeats=2)
NAMES = ("loss", "accuracy", "steps", "reached")


def of_tiny(network: nn.Module) -> torch.optim.Optimizer:
    """Return the optimizer of the tiny run as it is configured, whatever its schedule did."""
    return torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)


def test_a_run_logs_what_the_function_returns_by_its_own_optimizer() -> None:
    finished, values = run("trainability.Trainability", **ARGUMENTS)
    with as_measured(finished, 40) as (network, probe):
        comparison = trainability(
            network,
            probe.inputs,
            of_tiny,
            "labels",
            TrainingBudget(6, 10, 2),
            seed=finished.model.seed,
        )
    found = {name.removeprefix("trainability/labels/"): value for name, value in values.items()}
    assert found.keys() == {
        "gap",
        "gap/error",
        *(f"{name}/{which}" for name in NAMES for which in ("aged", "fresh")),
    }
    at_end = {name: value[-1][1] for name, value in found.items()}
    assert comparison.aged.accuracies is not None
    assert at_end["loss/aged"] == pytest.approx(float(comparison.aged.losses[:, -1].mean()))
    assert at_end["loss/fresh"] == pytest.approx(float(comparison.fresh.losses[:, -1].mean()))
    assert at_end["accuracy/aged"] == pytest.approx(float(comparison.aged.accuracies[:, -1].mean()))
    differences = comparison.aged.losses[:, -1] - comparison.fresh.losses[:, -1]
    assert at_end["gap"] == pytest.approx(float(differences.mean()), abs=1e-7)
    half_range = abs(float(differences[0] - differences[1])) / 2
    assert at_end["gap/error"] == pytest.approx(half_range, abs=1e-7)
    assert (at_end["steps/aged"], at_end["reached/aged"]) == (6, 0), "which is never reached"


@pytest.mark.parametrize(
    "arguments", [{"targets": "teacher"}, {"targets": "offset", "learning_rate": 0.01}]
)
def test_a_checkpoint_has_the_values_of_its_run(arguments: dict[str, Any]) -> None:
    finished = fit(*tiny(fragment("trainability.Trainability", **ARGUMENTS, **arguments)))
    measurement = measure(finished.place.directory / "checkpoints/last.ckpt")
    (callback,) = [c for c in finished.trainer.callbacks if isinstance(c, Trainability)]
    probe = callback.choose_probe(finished.trainer, finished.model)
    again = callback.look_at(run_look(finished.trainer, finished.model, probe))
    assert {f"diagnostics/{tag}": value for tag, value in again.items()} == measurement.values
    assert {tag.split("/")[3] for tag in measurement.values} == {"gap", "loss", "steps", "reached"}


class Scheduled(Plain):
    """Trains by a schedule that begins where nothing is learned."""

    def configure_optimizers(self) -> Any:
        optimizer = super().configure_optimizers()
        return [optimizer], [torch.optim.lr_scheduler.LinearLR(optimizer, 1e-4, total_iters=9)]


def test_any_trainer_measures_by_the_modules_own_optimizer_and_its_first_rate() -> None:
    module, logger = Scheduled(), TensorBoardLogger(".", name="", version="")
    callback = Trainability(Time("1ep"), **ARGUMENTS)
    trainer = Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=logger,
        callbacks=[callback],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    trainer.fit(module, datamodule=PlainData())
    inputs = callback.choose_probe(trainer, module).inputs
    with preserve_state(module):
        estimate_norm_statistics(module.body, inputs)
        comparison = trainability(module.body, inputs, of_tiny, "labels", BUDGET)
    ((_, _), (_, _), (step, value)) = logged(Path())["diagnostics/trainability/labels/loss/aged"]
    assert step == 5
    assert value == pytest.approx(float(comparison.aged.losses[:, -1].mean()))


def test_another_rate_may_be_given() -> None:
    def slower(network: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-3)

    module = Plain()
    look = look_at_module(module, Probe(INPUTS, LABELS, torch.arange(96)))
    values = Trainability(Time("1ep"), **ARGUMENTS, learning_rate=0.01).look_at(look)
    with preserve_state(module):
        estimate_norm_statistics(module.body, INPUTS)
        comparison = trainability(module.body, INPUTS, slower, "labels", BUDGET)
    expected = float(comparison.aged.losses[:, -1].mean())
    assert values["trainability/labels/loss/aged"] == expected


class Several(Plain):
    """Trains by two optimizers."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def configure_optimizers(self) -> Any:
        return [torch.optim.SGD(self.parameters(), lr=0.1) for _ in range(2)]


def test_a_module_without_one_optimizer_is_refused() -> None:
    module = Several()
    look = look_at_module(module, Probe(INPUTS, LABELS, torch.arange(96)))
    with pytest.raises(UserError, match="optimizer: Several: configures none that a copy of its"):
        Trainability(Time("1ep")).check(look)


def test_a_look_by_hand_needs_an_optimizer() -> None:
    network = construct(nn.Linear, 5, 3)
    init_parameters(network, 0)
    look = Look(network, Probe(INPUTS, LABELS, torch.arange(96)), Classification())
    with pytest.raises(UserError, match="optimizer: is not known; give optimizer_for to Look"):
        Trainability(Time("1ep")).check(look)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, "steps: 0: set 1 or more"),
        ({"batch_size": 1}, "batch_size: 1: set 2 or more"),
        ({"repeats": 0}, "repeats: 0: set 1 or more"),
        ({"learning_rate": 0.0}, "learning_rate: 0.0: set a number above 0"),
        ({"level": 1.5}, r"level: 1.5: set an accuracy in \(0, 1\]"),
        ({"targets": "noise"}, "targets"),
    ],
)
def test_arguments_out_of_range_are_refused(
    arguments: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(["fit", *tiny(fragment("trainability.Trainability", **arguments))], message, capsys)


def test_labels_are_refused_where_there_are_no_classes() -> None:
    module: Any = Plain()
    module.objective = Regression()
    look = look_at_module(module, Probe(INPUTS, INPUTS[:, :3], torch.arange(96)))
    with pytest.raises(UserError, match="targets: labels: the task has no classes; set targets: t"):
        Trainability(Time("1ep")).check(look)
    Trainability(Time("1ep"), targets="teacher").check(look)


def test_a_single_repeat_has_no_error() -> None:
    _, values = run("trainability.Trainability", **{**ARGUMENTS, "repeats": 1, "level": 0.01})
    assert "trainability/labels/gap/error" not in values
    assert values["trainability/labels/steps/fresh"][-1][1] == 0
    assert values["trainability/labels/reached/fresh"][-1][1] == 1

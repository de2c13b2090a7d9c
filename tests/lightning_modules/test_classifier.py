"""The classifier's loss, metrics and schedule."""

import pytest
import torch
from torch.nn import functional as F
from torchmetrics.classification import MulticlassAccuracy

from lightning_modules import Classification, Objective, Regression
from lightning_modules.epoch_metrics import EpochMetrics
from tests.runs import fit, logged, tiny


def test_metrics_are_means_over_examples_however_they_are_batched() -> None:
    logits, labels = torch.randn(50, 7), torch.randint(0, 7, (50,))
    metrics = EpochMetrics(Classification().metrics())
    accuracy = MulticlassAccuracy(7, average="micro")
    for part in torch.split(torch.arange(50), 16):
        loss = F.cross_entropy(logits[part], labels[part])
        metrics.update(loss, logits[part], labels[part])
        accuracy.update(logits[part], labels[part])
    values = metrics.compute()
    assert torch.allclose(values["loss"], F.cross_entropy(logits, labels))
    assert values["accuracy"] == accuracy.compute()


@pytest.mark.parametrize("objective", [Classification(), Regression()])
def test_metrics_go_on_from_their_state(objective: Objective) -> None:
    outputs = torch.randn(9, 3)
    targets = torch.randint(0, 3, (9,)) if isinstance(objective, Classification) else outputs * 0.9
    first, restored = EpochMetrics(objective.metrics()), EpochMetrics(objective.metrics())
    first.update(objective.loss(outputs, targets), outputs, targets)
    restored.restore(first.state())
    for metrics in (first, restored):
        metrics.update(objective.loss(outputs, targets) / 3, outputs, targets)
    assert first.compute() == restored.compute()
    assert set(first.compute()) == {"loss", *objective.metrics()}


def test_label_smoothing_is_for_training_only() -> None:
    smooth, plain = (
        logged(fit(*tiny({"model": {"init_args": {"label_smoothing": value}}})).place.directory)
        for value in (0.9, 0.0)
    )
    assert smooth["train/loss"][0] != plain["train/loss"][0]
    assert abs(smooth["val/loss"][0][1] - 2.3) < 0.3


def test_a_schedule_steps_once_an_epoch_and_a_plateau_watches_the_training_loss() -> None:
    finished = fit(*tiny())
    assert finished.trainer.optimizers[0].param_groups[0]["lr"] == 0.1 * 0.8**3
    plateau = {
        "class_path": "pytorch_lightning.cli.ReduceLROnPlateau",
        "init_args": {"monitor": "train/loss", "patience": 0, "threshold": 0.5},
    }
    finished = fit(*tiny({"model": {"init_args": {"lr_scheduler": plateau}}}))
    assert abs(finished.trainer.optimizers[0].param_groups[0]["lr"] - 0.001) < 1e-12, (
        "never better by half: cut twice in three epochs"
    )


def test_channels_last_changes_the_layout_alone() -> None:
    last = fit(*tiny(), "--trainer.max_epochs", "1").model
    first = fit(
        *tiny({"model": {"init_args": {"channels_last": False}}}), "--trainer.max_epochs", "1"
    ).model
    assert last.network.conv.weight.is_contiguous(memory_format=torch.channels_last)
    for name, value in first.state_dict().items():
        assert torch.allclose(value, last.state_dict()[name], atol=1e-5), name

"""The classifier's loss, metrics and schedule."""

import torch
from torch.nn import functional as F
from torchmetrics.classification import MulticlassAccuracy

from lightning_modules.tally import Tally
from tests.runs import fit, logged, tiny


def test_a_tally_is_the_mean_over_examples_however_they_are_batched() -> None:
    logits, labels = torch.randn(50, 7), torch.randint(0, 7, (50,))
    tally, accuracy = Tally(), MulticlassAccuracy(7, average="micro")
    for part in torch.split(torch.arange(50), 16):
        tally.update(F.cross_entropy(logits[part], labels[part]), logits[part], labels[part])
        accuracy.update(logits[part], labels[part])
    values = tally.compute()
    assert torch.allclose(values["loss"], F.cross_entropy(logits, labels))
    assert values["accuracy"] == accuracy.compute()


def test_a_tally_goes_on_from_its_state() -> None:
    logits, labels = torch.randn(9, 3), torch.randint(0, 3, (9,))
    one, other = Tally(), Tally()
    one.update(F.cross_entropy(logits, labels), logits, labels)
    other.restore(one.state())
    for tally in (one, other):
        tally.update(F.cross_entropy(logits, labels), logits, labels)
    assert one.compute() == other.compute()


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

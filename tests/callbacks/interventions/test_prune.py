"""Weights that are pruned in a run, and what iterates it to lottery tickets."""

from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from callbacks import Prune
from tests.callbacks.interventions.arms import intervention, run
from tests.probes import BatchStarts
from tests.processes import run_ranks
from tests.runs import BRIEF, fit, tiny

RECORD = {"class_path": "tests.probes.BatchStarts"}
WEIGHTS = ("conv.weight", "head.weight")
ADAM = {"optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.01}}}


def weights_of(*interventions: dict[str, Any], **arguments: Any) -> list[dict[str, torch.Tensor]]:
    """Return the weights with which each batch is trained, and the last ones."""
    finished = run(*interventions, RECORD, **arguments)
    starts = [one for one in finished.trainer.callbacks if isinstance(one, BatchStarts)][-1]
    last = {name: value.clone() for name, value in finished.model.network.state_dict().items()}
    return [*starts.weights, last]


def zeros(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: weights[name] == 0 for name in WEIGHTS}


def count(weights: dict[str, torch.Tensor]) -> int:
    return sum(int(part.sum()) for part in zeros(weights).values())


@pytest.mark.parametrize("model", [None, ADAM])
def test_the_smallest_are_removed_and_are_zero_from_then_on(model: dict[str, Any] | None) -> None:
    prune = intervention("Prune", at=["4st", "8st"], share=0.25)
    steps = weights_of(RECORD, prune, model=model)
    # 36 weights of the kernels and 40 of the head; a quarter of 76, then of 57.
    assert [count(step) for step in steps] == [0] * 4 + [19] * 4 + [33] * 5
    removed = zeros(steps[4])
    for step in steps[4:]:
        for name in WEIGHTS:
            assert not step[name][removed[name]].any()

    # What is left is larger than what went: both as they were before the batch.
    before = weights_of(RECORD, model=model)[4]
    magnitudes = torch.cat([before[name].abs().flatten() for name in WEIGHTS])
    gone = torch.cat([removed[name].flatten() for name in WEIGHTS])
    assert magnitudes[gone].max() < magnitudes[~gone].min()


def test_layers_have_shares_of_their_own_and_can_be_left_out() -> None:
    layerwise = intervention(
        "Prune", at=["4st"], share=0.5, scope="layerwise", shares={"head": 0.1}
    )
    assert {name: int(part.sum()) for name, part in zeros(weights_of(layerwise)[5]).items()} == {
        "conv.weight": 18,
        "head.weight": 4,
    }
    without = intervention("Prune", at=["4st"], share=0.5, exclude=["head"])
    assert {name: int(part.sum()) for name, part in zeros(weights_of(without)[5]).items()} == {
        "conv.weight": 18,
        "head.weight": 0,
    }


def test_random_pruning_is_another_draw_each_time_and_with_each_seed() -> None:
    prune = intervention("Prune", at=["4st"], share=0.5, by="random")
    magnitude = intervention("Prune", at=["4st"], share=0.5)
    first, second = zeros(weights_of(prune)[5]), zeros(weights_of(magnitude)[5])
    assert sum(int(part.sum()) for part in first.values()) == 38
    assert not torch.equal(first["head.weight"], second["head.weight"])


def test_other_interventions_do_not_revive_what_is_pruned() -> None:
    """Whichever stands first in the list, at the same moment and later."""
    prune = intervention("Prune", at=["4st"], share=0.5)
    others = [
        intervention("ShrinkPerturb", at=["4st", "6st"], shrink=0.5, perturb=0.1),
        intervention("LayerReset", at=["7st"], layers=["*"]),
        intervention("StepwiseShrinkPerturb", levels={"5st": 0.01}),
        intervention("L2Init", levels={"0ep": 0.1}),
        intervention("NormaliseAndProject", levels={"8st": 1}),
    ]
    for callbacks in ([prune, *others], [*others, prune]):
        steps = weights_of(*callbacks)
        removed = zeros(steps[5])
        assert sum(int(part.sum()) for part in removed.values()) == 38
        for step in steps[5:]:
            assert all(torch.equal(part, removed[name]) for name, part in zeros(step).items())


def test_survivors_rewind_to_what_they_were_bit_for_bit() -> None:
    """Two levels of iterative magnitude pruning: each starts from the same values and moments."""
    tickets = [
        intervention("Prune", every="4st", share=0.5),
        intervention("Rewind", every="4st", to="1st", optimizer_state="rewind"),
    ]
    steps = weights_of(RECORD, *tickets)
    for level in (4, 8):
        removed = zeros(steps[level])
        for name, value in steps[level].items():
            expected = steps[1][name].clone()
            if name in WEIGHTS:
                expected[removed[name]] = 0
            if "num_batches" not in name:
                assert torch.equal(value, expected), name
    assert [count(steps[step]) for step in (3, 4, 8)] == [0, 38, 57]


def test_a_shuffled_mask_keeps_other_weights_at_their_initial_values() -> None:
    shuffled = [
        intervention("Prune", at=["4st"], share=0.5),
        intervention("ShuffleMasks", at=["4st"]),
        intervention("Rewind", at=["4st"], to="0ep"),
    ]
    ticket = weights_of(shuffled[0], shuffled[2])
    control = weights_of(*shuffled)
    for name in WEIGHTS:
        assert zeros(control[4])[name].sum() == zeros(ticket[4])[name].sum()
        assert not torch.equal(zeros(control[4])[name], zeros(ticket[4])[name])
        surviving = ~zeros(control[4])[name]
        assert torch.equal(control[4][name][surviving], control[0][name][surviving])


def test_several_prune_what_the_others_have_left() -> None:
    steps = weights_of(
        intervention("Prune", at=["2st"], share=0.5, by="random"),
        intervention("Prune", at=["4st"], share=0.25),
        intervention("Prune", at=["4st"], share=0.5, scope="layerwise", exclude=["conv"]),
    )
    # 38 of 76, a quarter of the other 38, and half of what is left of the head.
    left = 40 - int(zeros(steps[3])["head.weight"].sum())
    assert [count(steps[step]) for step in (1, 2)] == [0, 38]
    head = 40 - int(zeros(steps[4])["head.weight"].sum())
    conv = int(zeros(steps[4])["conv.weight"].sum())
    assert head < left
    assert count(steps[4]) == conv + 40 - head
    assert count(steps[4]) >= 38 + round(0.25 * 38)


@pytest.mark.parametrize("first", [True, False])
def test_gradients_of_pruned_weights_are_zero_before_clipping_whatever_is_added(
    first: bool,
) -> None:
    prune = intervention("Prune", at=["4st"], share=0.5)
    pull = intervention("L2Init", levels={"0ep": 1.0})
    seen = {"class_path": "tests.callbacks.interventions.test_prune.Gradients"}
    finished = run(*([prune, pull] if first else [pull, prune]), seen)
    gradients = next(one for one in finished.trainer.callbacks if isinstance(one, Gradients))
    assert [bool(left) for left in gradients.pruned] == [True] * 4 + [False] * 8


class Gradients(Callback):
    """Records whether weights that are 0 at the end had a gradient before it was clipped."""

    def __init__(self) -> None:
        self.steps: list[dict[str, torch.Tensor]] = []
        self.pruned: list[bool] = []

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Any
    ) -> None:
        network: Any = pl_module.network
        self.steps.append({name: network.get_parameter(name).grad.clone() for name in WEIGHTS})

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        network: Any = pl_module.network
        removed = {name: network.get_parameter(name) == 0 for name in WEIGHTS}
        for step in self.steps:
            self.pruned.append(any(bool(step[name][removed[name]].any()) for name in WEIGHTS))


def test_a_checkpoint_with_masks_is_not_resumed_without_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    prune = {"trainer": {"callbacks+": [intervention("Prune", at=["1ep"], share=0.5)]}}
    finished = fit(*tiny(BRIEF, prune), "--run_dir", "pruned")
    last = str(finished.place.directory.absolute() / "checkpoints/last.ckpt")
    longer = ("--trainer.max_epochs", "4", "--ckpt_path", last)
    with pytest.raises(SystemExit):
        fit(*tiny(BRIEF), *longer, "--run_dir", "without")
    assert "still acts, and this run does not have it" in capsys.readouterr().err
    again = fit(*tiny(BRIEF, prune), *longer, "--run_dir", "with")
    assert count(again.model.network.state_dict()) == 38


def test_a_mask_stays_when_its_weight_is_frozen_later() -> None:
    steps = weights_of(
        intervention("Prune", at=["2st", "6st"], share=0.5),
        {"class_path": "tests.callbacks.interventions.test_prune.FreezeHead"},
        intervention("LayerReset", at=["8st"], layers=["conv"]),
    )
    removed = zeros(steps[2])
    for step in steps[2:]:
        assert not any(step[name][removed[name]].any() for name in WEIGHTS)


class FreezeHead(Callback):
    """Freezes the head after five steps."""

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        network: Any = pl_module.network
        if trainer.global_step == 5:
            network.head.requires_grad_(False)


def test_averaged_weights_are_pruned_too() -> None:
    average = {
        "class_path": "pytorch_lightning.callbacks.EMAWeightAveraging",
        "init_args": {"decay": 0.9, "use_buffers": True},
    }
    finished = run(average, intervention("Prune", at=["4st"], share=0.5))
    # Training ends in the average.
    network = finished.model.network.state_dict()
    assert count(network) == 38
    pruned = next(one for one in finished.trainer.callbacks if isinstance(one, Prune))
    masks = pruned.state_dict()["masks"]
    for name, part in zeros(network).items():
        assert torch.equal(part, ~masks[name])


@pytest.mark.slow
def test_ranks_prune_the_same_weights() -> None:
    nodes = [
        intervention("Prune", at=["3st"], share=0.3, by="random"),
        intervention("Prune", at=["5st"], share=0.3),
        {"class_path": "tests.probes.RankRecord"},
    ]
    devices = {"trainer": {"devices": 2, "strategy": "ddp", "callbacks+": nodes}}
    run_ranks(2, "fit", *tiny(devices))
    first, second = (torch.load(f"rank{rank}.pt") for rank in range(2))
    assert first["state"] == second["state"]
    zeros = sum(int((first["weights"][f"network.{name}"] == 0).sum()) for name in WEIGHTS)
    # A random 23 of 76, then the smallest 16 of the other 53.
    assert zeros == 39

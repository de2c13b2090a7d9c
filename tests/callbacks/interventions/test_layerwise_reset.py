"""Layerwise reinitialisation in a run."""

from typing import Any

import pytest
import torch
from torch import nn

from callbacks.interventions.base import Draws
from callbacks.probe import training_probe
from lightning_modules.networks import MLP
from plasticity_lab.studies.state_hash import state_hash
from plasticity_lab.surgery import construct, init_parameters
from tests.callbacks.interventions.arms import intervention, run
from tests.callbacks.interventions.test_layer_reset import PEEK, remembered
from tests.networks import SmallNet
from tests.probes import BatchStarts
from tests.runs import state

OPTIONS = {"widths": [12, 10, 8], "norm": "none"}
PLAIN = {"network": {"class_path": "lightning_modules.networks.MLP", "init_args": OPTIONS}}


def normed(norm: str = "none") -> dict[str, Any]:
    """Return a network with boundaries, and the layers that normalise in its blocks."""
    options = {"network": "lightning_modules.networks.MLP", "options": {**OPTIONS, "norm": norm}}
    kind = "lightning_modules.networks.BoundaryNormNetwork"
    return {"network": {"class_path": kind, "init_args": options}}


RECORD = {"class_path": "tests.probes.BatchStarts"}
BLOCKS = ["hidden1", "hidden2", "hidden3", "head"]


def rounds(model: dict[str, Any], **arguments: Any) -> tuple[Any, Any]:
    """Return the weights before and after it acts, at each batch start."""
    reset = intervention("LayerwiseReset", every="3st", examples=40, **arguments)
    finished = run(RECORD, reset, RECORD, model=model)
    before, after = [
        callback.weights
        for callback in finished.trainer.callbacks
        if isinstance(callback, BatchStarts)
    ]
    return before, after


def test_each_round_rescales_what_it_keeps_and_draws_the_rest_anew() -> None:
    before, after = rounds(PLAIN, normalise=False)
    initial = construct(MLP, in_channels=1, num_classes=10, image_size=16, **OPTIONS)
    init_parameters(initial, 0)
    drawn: list[dict[str, torch.Tensor]] = [initial.state_dict()]
    for number, step in enumerate((3, 6, 9), 1):
        for name, value in after[step].items():
            if BLOCKS.index(name.split(".")[0]) < number:
                old = before[step][name]
                expected = old * initial.state_dict()[name].norm() / old.norm()
                torch.testing.assert_close(value, expected, atol=1e-6, rtol=1e-5)
            else:
                assert not any(torch.equal(value, earlier[name]) for earlier in drawn), name
                assert not torch.equal(value, before[step][name])
        drawn.append(after[step])
    # Between rounds all of it is trained.
    assert not torch.equal(before[6]["hidden1.linear.weight"], after[3]["hidden1.linear.weight"])
    for step in (1, 2, 4, 5):
        assert all(torch.equal(before[step][name], value) for name, value in after[step].items())


def test_without_rescaling_what_is_kept_stays() -> None:
    before, after = rounds(PLAIN, normalise=False, rescale=False, blocks=["hidden2"])
    for step in (3, 6, 9):
        for name, value in after[step].items():
            kept = BLOCKS.index(name.split(".")[0]) < 2
            assert torch.equal(value, before[step][name]) == kept, name


def test_a_boundary_has_as_many_rounds_as_asked_for() -> None:
    before, after = rounds(PLAIN, normalise=False, rescale=False, repetitions=2)
    kept = [
        sorted(
            {
                name.split(".")[0]
                for name, value in after[step].items()
                if torch.equal(value, before[step][name])
            }
        )
        for step in (3, 6, 9)
    ]
    assert kept == [["hidden1"], ["hidden1"], ["hidden1", "hidden2"]]


def test_what_leaves_the_kept_blocks_is_normalised_from_then_on() -> None:
    before, after = rounds(normed())
    name = "network.hidden1.boundary"
    assert torch.equal(before[3][f"{name}.mean"], torch.zeros(12))
    assert not torch.equal(after[3][f"{name}.mean"], torch.zeros(12))
    assert torch.equal(after[11][f"{name}.mean"], after[3][f"{name}.mean"]), "is fixed"
    assert torch.equal(after[3]["network.hidden2.boundary.mean"], torch.zeros(10))
    assert not torch.equal(after[6]["network.hidden2.boundary.mean"], torch.zeros(10))


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_the_statistics_are_those_of_the_training_data_in_training_mode(norm: str) -> None:
    reset = intervention("LayerwiseReset", at=["11st"], examples=100)
    finished = run(reset, RECORD, model=normed(norm))
    network, data = finished.model.network.train(), finished.trainer.datamodule
    (record,) = [one for one in finished.trainer.callbacks if isinstance(one, BatchStarts)]
    network.load_state_dict(record.weights[11])
    inputs = training_probe(data, 100, False, data.now).inputs
    made = network.network.hidden1(inputs.flatten(1))
    living = made.std(0) > 0.1
    assert int(living.sum()) > 5
    expected = torch.zeros(int(living.sum()))
    torch.testing.assert_close(made.mean(0)[living], expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(made.std(0)[living], expected + 1)


@pytest.mark.parametrize("statistics", ["reset", "keep"])
def test_gains_are_rescaled_and_statistics_of_kept_blocks_stay(statistics: str) -> None:
    before, after = rounds(normed("batch"), norm_statistics=statistics)
    fresh = {"running_mean": 0.0, "running_var": 1.0, "num_batches_tracked": 0.0}
    for number, step in enumerate((3, 6, 9), 1):
        for place, block in enumerate(BLOCKS[:-1]):
            name, kept = f"network.{block}.block.norm", place < number
            gain = before[step][f"{name}.weight"]
            assert not torch.equal(gain, torch.ones_like(gain)), "is trained"
            # It began as ones; shifts began as zeros, and become zeros.
            expected = gain * len(gain) ** 0.5 / gain.norm() if kept else torch.ones_like(gain)
            torch.testing.assert_close(after[step][f"{name}.weight"], expected)
            assert before[step][f"{name}.bias"].any()
            assert not after[step][f"{name}.bias"].any()
            for part, value in fresh.items():
                old, new = before[step][f"{name}.{part}"], after[step][f"{name}.{part}"]
                assert (old != value).any()
                stays = kept or statistics == "keep"
                assert torch.equal(new, old) if stays else (new == value).all(), (step, name, part)


def test_what_the_optimizer_holds_goes_for_all_parameters_or_stays() -> None:
    plain = remembered(run(PEEK, model=PLAIN))
    assert state_hash({}) not in plain.values()
    for kind, expected in (("reset", dict.fromkeys(plain, state_hash({}))), ("keep", plain)):
        reset = intervention("LayerwiseReset", at=["11st"], normalise=False, optimizer_state=kind)
        assert remembered(run(reset, PEEK, model=PLAIN)) == expected, kind


def test_a_round_that_only_draws_is_a_reset_of_the_layers_above(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Their draws, which the classes' names key, are made alike."""
    monkeypatch.setattr(Draws, "key", lambda draws, name: (draws.where.step, name))
    network = {"network": {**PLAIN["network"], "init_args": {**OPTIONS, "norm": "batch"}}}
    kept: dict[str, Any] = {"at": ["5st"], "optimizer_state": "keep"}
    layerwise = intervention("LayerwiseReset", rescale=False, normalise=False, **kept)
    reset = intervention("LayerReset", last=3, **kept)
    assert state(run(layerwise, model=network)) == state(run(reset, model=network))


class Weightless(nn.Sequential):
    """Its children between and after the layers have no weights."""

    def __init__(self, num_classes: int, image_size: int) -> None:
        first, head = nn.Linear(image_size**2, 8), nn.Linear(8, num_classes)
        super().__init__(nn.Flatten(), first, nn.ReLU(), head, nn.Identity())


def test_a_child_without_weights_has_no_boundary() -> None:
    """There is one boundary, below the head."""
    kind = f"{__name__}.Weightless"
    before, after = rounds({"network": {"class_path": kind}}, normalise=False, rescale=False)
    for step in (3, 6, 9):
        assert torch.equal(before[step]["1.weight"], after[step]["1.weight"])
        assert not torch.equal(before[step]["3.weight"], after[step]["3.weight"])


def test_a_layer_of_no_block_goes_with_the_block_before_it() -> None:
    initial = construct(SmallNet, 1, 10).state_dict()
    before, after = rounds({"network": {"class_path": "tests.networks.SmallNet"}}, normalise=False)
    for step in (3, 6, 9):
        gains = before[step]["norm.weight"]
        expected = gains * initial["norm.weight"].norm() / gains.norm()
        assert not torch.equal(expected, gains)
        torch.testing.assert_close(after[step]["norm.weight"], expected)

"""Noise before activations, in runs."""

from typing import Any
from unittest.mock import PropertyMock, patch

import pytest
import torch
from pytorch_lightning import Callback, LightningModule
from torch import Tensor, nn
from torch.nn import functional as F

from callbacks import PreActivationNoise
from lightning_modules import LossTerm
from plasticity_lab.errors import UserError
from plasticity_lab.randomness import generator
from plasticity_lab.runs.build import build
from plasticity_lab.runs.parse import parse
from tests.callbacks.interventions.arms import intervention, run
from tests.callbacks.interventions.steps import RATE, first_step, step, task_alone
from tests.callbacks.interventions.test_refused_and_shown import BORING
from tests.runs import logged, tiny
from tests.test_bad_input import refused

STD = 0.4
NOISE = intervention("PreActivationNoise", levels={"0ep": STD})


@pytest.mark.parametrize(("accumulate", "sam"), [(1, False), (2, True)])
def test_two_steps_are_those_of_the_noisy_network(accumulate: int, sam: bool) -> None:
    """Each batch has a draw of its own, the same in both passes of SAM."""
    network, batches, ended = first_step(NOISE, accumulate, sam, steps=2)
    number = {id(batch): place for place, batch in enumerate(batches)}

    def loss(network: Any, batch: Any) -> Tensor:
        draws = generator(0, "PreActivationNoise", 0, number[id(batch)], 0)
        sums = network.norm(network.conv(batch.inputs))
        hidden = (sums + STD * torch.randn(sums.shape[2:], generator=draws)).clamp(min=0)
        return F.cross_entropy(network.head(hidden.mean((2, 3))), batch.targets)

    weights = step(network, batches[:accumulate], loss, sam)
    nn.utils.vector_to_parameters(weights, network.parameters())
    plain = step(network, batches[accumulate:], task_alone, sam)
    expected = step(network, batches[accumulate:], loss, sam)
    assert torch.allclose(ended, expected, atol=1e-5 * RATE)
    assert (plain - expected).norm() > 100 * (ended - expected).norm(), "the noise is there"


def test_no_measurement_sees_it() -> None:
    """Where weights are held still, only what is logged of training differs."""
    plain_net = {"class_path": "tests.networks.SmallNet", "init_args": {"norm": False}}
    parts = [
        intervention("LearningRateFactor", levels={"0ep": 0.0}),
        intervention("GradientNorms", every="1ep", examples=12, batch_size=4),
        intervention("Trainability", every="1ep", examples=12, steps=2, batch_size=6, repeats=1),
    ]
    plain, noisy = (
        logged(run(*parts, *noise, model={"network": plain_net}).place.directory)
        for noise in ([], [NOISE])
    )
    differing = {tag for tag in noisy if noisy[tag] != plain.get(tag)}
    assert differing - {"train/accuracy"} == {"train/loss", "interventions/PreActivationNoise"}
    for part in ("val/loss", "diagnostics/gradient_norm/", "diagnostics/trainability/"):
        assert any(tag.startswith(part) for tag in plain), part


class Again(Callback, LossTerm):
    """Calls the network once more in training mode, as some terms of the loss do."""

    def __init__(self) -> None:
        self.passes: list[Tensor] = []

    def term(self, module: LightningModule, batch: Any, outputs: Tensor) -> None:
        self.passes = [module(batch[0]), outputs, module.network(batch[0])]  # type: ignore[operator]


def test_a_pass_for_a_term_of_the_loss_has_none() -> None:
    again = Again()
    still = {"class_path": "tests.networks.SmallNet", "init_args": {"dropout": 0.0}}
    settings = {
        "trainer": {"callbacks+": [NOISE], "max_steps": 1},
        "model": {"init_args": {"network": still}},
    }
    built = build(parse(["fit", *tiny(settings)]), extra=[again])
    built.fit()
    own, noisy, network = again.passes
    assert torch.equal(own, network)
    assert not torch.allclose(own, noisy, atol=1e-3)


def test_every_rank_has_the_same() -> None:
    """So that ranks which train the network together train it under one noise."""
    settings = {"trainer": {"callbacks+": [NOISE], "max_steps": 1}}
    built = build(parse(["fit", *tiny(settings)]))
    built.fit()
    model, trainer = built.model, built.trainer
    callbacks: Any = trainer.callbacks  # type: ignore[attr-defined]  # set by a helper of Trainer
    (noise,) = [one for one in callbacks if isinstance(one, PreActivationNoise)]
    outputs = []
    for rank in (0, 1):
        one = patch.object(type(model), "global_rank", PropertyMock(return_value=rank))
        with one, noise.forward_pass(model):
            outputs.append(torch.relu(torch.ones(2, 3, 4, 4)))
    assert torch.equal(*outputs)
    assert outputs[0].std() > 0


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a module of somebody else's": (
        BORING,
        "PreActivationNoise: BoringModel lets no callback change its forward pass; use",
    ),
    "a compiled network": (
        {"model": {"init_args": {"compile": True}}},
        "PreActivationNoise: a compiled network hides its activations; set compile: false",
    ),
    "a network without activations": (
        {"model": {"init_args": {"network": {"class_path": "lightning_modules.networks.Linear"}}}},
        "PreActivationNoise: network: calls no activation .* before which noise",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_it_cannot_work_with(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    fragment, message = REFUSED[case]
    refused(["fit", *tiny({"trainer": {"callbacks+": [NOISE]}}, fragment)], message, capsys)


def test_a_deviation_is_0_or_more() -> None:
    with pytest.raises(UserError, match=r"levels: -0.1: a strength is 0 or more"):
        PreActivationNoise({"0ep": -0.1})

"""Angles between what a rule passes back and true gradients, during training."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from plasticity_lab.randomness import generator
from plasticity_lab.surgery import direct_feedback, feedback_matrix
from tests.callbacks.diagnostics.measured import as_measured
from tests.lightning_modules.test_training_rules import rule
from tests.registry import DIAGNOSTICS
from tests.runs import fit, logged, tiny

DFA = rule("lightning_modules.DirectFeedbackAlignment")
BLOCKS = ("", "conv", "norm.weight", "norm.bias", "head")
PREFIX = "diagnostics/alignment_angle"


def angles(*fragments: dict[str, Any]) -> tuple[Any, dict[str, list[float]]]:
    finished = fit(*tiny(DIAGNOSTICS["GradientAlignment"], *fragments))
    found = {
        tag.removeprefix(PREFIX).removeprefix("/"): [value for _, value in points]
        for tag, points in logged(finished.place.directory).items()
        if tag.startswith(PREFIX)
    }
    return finished, found


@pytest.mark.parametrize("fragments", [(), (rule("lightning_modules.SAM", rho=0),)])
def test_backpropagation_is_aligned_with_itself(fragments: tuple[dict[str, Any], ...]) -> None:
    _, found = angles(*fragments)
    assert found == {name: [0.0] * 4 for name in BLOCKS}


def degrees(first: Tensor, second: Tensor) -> float:
    cosine = first @ second / first.norm() / second.norm()
    return math.degrees(math.acos(float(cosine)))


def test_angles_are_those_of_the_gradients() -> None:
    finished, found = angles(DFA)
    with as_measured(finished, 30) as (network, examples):
        parameters = dict(network.named_parameters())

        def gradients(*names: str) -> dict[str, Tensor]:
            def matrix(name: str, outputs: int, hidden: Tensor) -> Tensor:
                draws = generator(0, "DirectFeedbackAlignment", name)
                return feedback_matrix(outputs, hidden[0].numel(), draws)

            with direct_feedback(network, names, matrix):
                loss = F.cross_entropy(network(examples.inputs), examples.targets)
            values = torch.autograd.grad(loss, list(parameters.values()))
            return dict(zip(parameters, values, strict=True))

        true, signals = gradients(), gradients("conv")

    def vector(parts: dict[str, Tensor], prefix: str) -> Tensor:
        return torch.cat(
            [part.flatten() for name, part in parts.items() if name.startswith(prefix)]
        )

    for block in ("", "conv"):
        expected = degrees(vector(true, block), vector(signals, block))
        assert found[block][-1] == pytest.approx(expected, abs=1e-3)
        assert expected > 5
    assert found["head"] == [0.0] * 4, "its gradient is the true one"


def test_a_block_that_gets_no_signal_has_no_angle() -> None:
    _, found = angles(rule("lightning_modules.DirectFeedbackAlignment", feedback="zero"))
    assert "conv" not in found
    assert "head" in found


def test_other_diagnostics_measure_true_gradients() -> None:
    """At the beginning, where the weights are the same."""
    first = []
    for fragments in ((), (DFA,), (rule("lightning_modules.FeedbackAlignment"),)):
        names = ("FisherInformation", "HessianEigenvalues", "GradientNorms")
        nodes = [DIAGNOSTICS[name]["trainer"]["callbacks+"][0] for name in names]
        short = {"trainer": {"max_steps": 1, "callbacks+": nodes}}
        values = logged(fit(*tiny(*fragments, short)).place.directory)
        first.append({tag: points[0] for tag, points in values.items() if "diagnostics/" in tag})
    assert len(first[0]) > 5
    assert first[0] == first[1] == first[2]

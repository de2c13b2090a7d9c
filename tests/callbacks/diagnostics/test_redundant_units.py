"""Shares of redundant units in runs."""

from typing import Any

import pytest
import torch
from torch import nn

from callbacks import RedundantUnits
from callbacks.diagnostics.look import Look
from callbacks.probe import Probe
from plasticity_lab.errors import UserError
from plasticity_lab.timing import Time
from tests.callbacks.diagnostics.measured import check_invisible, end, fragment, last, run
from tests.runs import tiny
from tests.test_bad_input import refused


def test_a_run_logs_shares_of_its_units() -> None:
    finished, values = run("redundant_units.RedundantUnits", threshold=0.6, tau=0.5)
    network: Any
    network, examples = end(finished)
    with torch.no_grad():
        inner = network.norm(network.conv(examples.inputs))
        outputs = inner.relu().transpose(0, 1).flatten(1)
    cosines = torch.nn.functional.cosine_similarity(outputs[:, None], outputs[None], dim=2)
    shares = {
        "duplicate": [bool((cosines[unit, :unit].abs() >= 0.6).any()) for unit in range(4)],
        "saturated": ((inner <= 0).double().mean((0, 2, 3)) >= 0.5).tolist(),
        "linearised": ((inner > 0).double().mean((0, 2, 3)) >= 0.5).tolist(),
    }
    expected = {name: sum(marks) / 4 for name, marks in shares.items()}
    assert 0 < expected["duplicate"] < 1
    assert expected["saturated"] + expected["linearised"] == 1
    assert last(values) == {
        f"units/{name}{block}": share for name, share in expected.items() for block in ("", "/conv")
    }
    check_invisible(finished, RedundantUnits(Time("1ep")))


class Loop(nn.Module):
    """Runs its first block once more after the second."""

    blocks = ("first", "second")

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.ReLU(), nn.Tanh()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first: torch.Tensor = self.first(x)
        far: torch.Tensor = self.second(50 * x[:, :1])
        return torch.cat([first, self.first(x.abs()[:, :3] + 1), far], 1)


def test_layers_of_a_block_that_runs_again_are_told_apart_and_added() -> None:
    """By hand: of five units two are dead and one is another one's copy; then all three are on."""
    inputs = torch.randn(400, 5, generator=torch.Generator().manual_seed(0))
    inputs[:, 3:] = -1
    inputs[:, 0] = 1 + inputs[:, 0].abs()
    inputs[:, 2] = inputs[:, 1]
    probe = Probe(inputs, torch.zeros(400), torch.arange(400))
    found = RedundantUnits(Time("1ep")).look_at(Look(Loop(), probe))
    assert found == {
        "units/duplicate": pytest.approx((1 + 1) / 9),
        "units/duplicate/first": pytest.approx((1 + 1) / 8),
        "units/duplicate/second": 0,
        "units/saturated": pytest.approx((2 + 1) / 9),
        "units/saturated/first": pytest.approx(2 / 8),
        "units/saturated/second": 1,
        "units/linearised": pytest.approx((1 + 3) / 9),
        "units/linearised/first": pytest.approx((1 + 3) / 8),
        "units/linearised/second": 0,
    }


def test_a_network_without_activations_is_refused() -> None:
    probe = Probe(torch.randn(4, 5), torch.zeros(4), torch.arange(4))
    with pytest.raises(UserError, match="network: has no activation function"):
        RedundantUnits(Time("1ep")).check(Look(nn.Linear(5, 2), probe))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"threshold": 0.0}, r"threshold: 0.0: set a number in \(0, 1\]"),
        ({"tau": 1.0}, r"tau: 1.0: set a number in \[0, 1\)"),
    ],
)
def test_arguments_out_of_range_are_refused(
    arguments: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(
        ["fit", *tiny(fragment("redundant_units.RedundantUnits", **arguments))], message, capsys
    )

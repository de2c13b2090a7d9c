"""Dormant and dead units."""

import pytest
import torch

from callbacks.diagnostics.dormant_units import DormantUnits
from callbacks.diagnostics.run_look import blank_look
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.activations import rectified
from plasticity_lab.measurements.dormant_units import dead, dormant, magnitudes, redo_scores, shares
from plasticity_lab.timing import Time
from tests.callbacks.diagnostics.measured import check_invisible, end, fragment, last, run
from tests.runs import fit, tiny

ACTIVITY = torch.tensor([[0, 0, 1, 8], [0, 0.2, 3, 0]], dtype=torch.float64)


def test_scores_are_means_over_the_layers_mean() -> None:
    means = [0, 0.1, 2, 4]
    assert redo_scores(ACTIVITY).tolist() == pytest.approx(
        [mean / (6.1 / 4 + 1e-9) for mean in means], rel=1e-14
    )
    assert dormant(ACTIVITY, 0.1).tolist() == [True, True, False, False]
    assert dormant(ACTIVITY, 0.05).tolist() == [True, False, False, False]
    assert dead(ACTIVITY).tolist() == [True, False, False, False]


def test_a_score_of_tau_is_dormant() -> None:
    activity = torch.tensor([[2.0, 1.0, 0.0]])
    tau = float(redo_scores(activity)[1])
    assert dormant(activity, tau).tolist() == [False, True, True]


def test_a_layer_of_zeros_is_dormant_and_dead_throughout() -> None:
    zeros = torch.zeros(5, 3)
    assert redo_scores(zeros).tolist() == [0, 0, 0]
    assert dormant(zeros, 0).all()
    assert dead(zeros).all()


def test_channels_are_averaged_over_positions_and_features_over_tokens() -> None:
    maps = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    expected = [
        [sum(abs(float(value)) for value in maps[n, c].flatten()) / 20 for c in range(3)]
        for n in range(2)
    ]
    torch.testing.assert_close(
        magnitudes(maps), torch.tensor(expected, dtype=torch.float64), rtol=1e-14, atol=0
    )
    torch.testing.assert_close(
        magnitudes(maps.flatten(2).transpose(1, 2)), magnitudes(maps), rtol=1e-14, atol=0
    )
    assert magnitudes(torch.tensor([[-1.0, 2.0]])).tolist() == [[1, 2]]


def test_shares_count_units_in_all_layers_and_by_block() -> None:
    marks = {
        "one": [torch.tensor([True, False]), torch.tensor([True, True, True, False])],
        "two": [torch.tensor([False] * 4)],
    }
    assert shares(marks) == {"": 0.4, "one": 4 / 6, "two": 0}


def test_a_run_logs_shares_of_its_units() -> None:
    finished, values = run("dormant_units.DormantUnits", tau=0.9)
    network, examples = end(finished)
    (activity,) = rectified(network, examples.inputs, lambda number, output: magnitudes(output))[
        "conv"
    ]
    quiet, silent = (
        float(dormant(activity, 0.9).float().mean()),
        float(dead(activity).float().mean()),
    )
    assert 0 < quiet < 1
    assert last(values) == {
        "dormant": quiet,
        "dormant/conv": quiet,
        "dead": silent,
        "dead/conv": silent,
    }
    check_invisible(finished, DormantUnits(Time("1ep")))


def test_a_negative_tau_is_refused() -> None:
    with pytest.raises(UserError, match="tau: -1: set 0 or more"):
        DormantUnits(Time("1ep"), tau=-1)


def test_a_network_without_activations_is_refused() -> None:
    finished = fit(*tiny(fragment("dormant_units.DormantUnits"), {"trainer": {"max_epochs": 1}}))
    diagnostic = DormantUnits(Time("1ep"))
    diagnostic.check(blank_look(finished.trainer, finished.model))
    finished.model.network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(256, 10))
    with pytest.raises(UserError, match="network: has no activation"):
        diagnostic.check(blank_look(finished.trainer, finished.model))

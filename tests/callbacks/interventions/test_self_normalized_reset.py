"""Units that are silent for too long."""

from typing import Any

import pytest

from callbacks import SelfNormalizedReset
from plasticity_lab.errors import UserError
from tests.callbacks.interventions.arms import FROZEN, intervention, run
from tests.callbacks.interventions.test_continual_backprop import of_kind
from tests.runs import logged, state

SILENT: dict[str, Any] = {
    "network": {"class_path": "tests.networks.SilentNet"},
    "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.001}},
}


def test_units_that_never_fire_are_reset_once_they_reach_the_longest_silence() -> None:
    arguments = {"levels": {"0ep": 0.02}, "longest": 11}
    finished = run(intervention("SelfNormalizedReset", **arguments), FROZEN, model=SILENT)
    values = logged(finished.place.directory)
    assert values["interventions/SelfNormalizedReset/units"] == [
        (0, 0.0),
        (4, 0.0),
        (8, 0.0),
        (11, 3.0),
    ]
    network = finished.model.network
    assert (network.head.weight[:, 5:] == 0).all()
    assert (network.hidden.bias[5:] == 0).all()
    assert (network.head.weight[:, :5] != 0).any(0).all()


def test_units_that_always_fire_keep_their_threshold() -> None:
    """In the released code they get the lowest one with the first update."""
    arguments = {"levels": {"0ep": 0.02}, "longest": 50, "interval": 2}
    finished = run(intervention("SelfNormalizedReset", **arguments), model=SILENT)
    known = of_kind(finished, "SelfNormalizedReset")._silences["hidden"]
    assert (known.thresholds == 50).all()
    assert (known.ages[5:] == 11).all()
    assert state(finished) == state(run(model=SILENT))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"levels": {"0ep": 1}}, "levels: 1: a rejection rate is 0 or more, and below 1"),
        ({"levels": {"0ep": 0.1}, "interval": 0}, "interval: 0: set 1 or more steps"),
        ({"levels": {"0ep": 0.1}, "longest": 0}, "longest: 0: set 1 or more steps"),
    ],
)
def test_arguments_outside_their_range_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        SelfNormalizedReset(**arguments)

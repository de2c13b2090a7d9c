"""Units that are silent for too long."""

from typing import Any

import pytest
import torch
from pytorch_lightning import Callback
from torch import Tensor

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


class Fired(Callback):
    """Records which hidden units fire in each step, by a hook of its own."""

    def __init__(self) -> None:
        self.steps: list[Tensor] = []

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        def keep(part: Any, inputs: Any, output: Tensor) -> None:
            if part.training:
                self.steps.append((output > 0).any(0))

        pl_module.network.hidden1.activation.register_forward_hook(keep)


def test_thresholds_are_a_percentile_of_silences_those_that_a_reset_ends_included() -> None:
    longest, interval = 8, 20
    arguments = {"levels": {"0ep": 0.25}, "longest": longest, "interval": interval}
    network: dict[str, Any] = {"class_path": "lightning_modules.networks.MLP"}
    network["init_args"] = {"widths": [30], "norm": "none"}
    reset, record = intervention("SelfNormalizedReset", **arguments), f"{__name__}.Fired"
    finished = run(reset, {"class_path": record}, model={"network": network}, batch_size=2)
    known = of_kind(finished, "SelfNormalizedReset")._silences["hidden1.linear"]
    # The last step is followed by no other.
    steps = torch.stack(of_kind(finished, "Fired").steps)[:-1]
    resets = 0
    for unit, fired in enumerate(steps.T.tolist()):
        age, threshold, silences = 0, longest, []
        for number, fires in enumerate(fired, 1):
            age += not fires
            if fires or age >= threshold:
                resets += not fires
                silences += [age] if age else []
                age = 0
            if number % interval == 0 and silences:
                counted = range(1, len(silences) + 1)
                shares = [count / len(silences) for count in counted]
                length = sorted(silences)[[share >= 0.75 for share in shares].index(True)]
                threshold = length if length < threshold else min(2 * threshold, longest)
                silences = []
        assert (int(known.ages[unit]), int(known.thresholds[unit])) == (age, threshold), unit
    assert resets > 10
    assert len(known.thresholds.unique()) > 2


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

"""What holds for all interventions that recycle units."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import yaml

from callbacks import Clock, ContinualBackprop
from plasticity_lab.errors import UserError
from tests.callbacks.interventions.arms import intervention, run
from tests.runs import fit, logged, state
from tests.test_own_data_module import SIZES, own

RECYCLING = [
    intervention("ReDo", at=["5st"], tau=0.9, examples=20),
    intervention("ContinualBackprop", levels={"1st": 0.3}, maturity=1, utility="adaptable"),
    intervention("SelfNormalizedReset", levels={"1st": 0.1}, interval=2, longest=2),
]


@pytest.mark.parametrize("precision", ["32-true", "64-true"])
def test_it_works_with_data_of_ones_own(precision: str) -> None:
    Path("recycling.yaml").write_text(
        yaml.safe_dump({"trainer": {"callbacks+": RECYCLING, "precision": precision}})
    )
    finished = fit(*own(**SIZES), "--config", "recycling.yaml")
    values = logged(finished.place.directory)
    for name in ("ReDo", "ContinualBackprop", "SelfNormalizedReset"):
        assert values[f"interventions/{name}/units"]
    assert any(count for _, count in values["interventions/ContinualBackprop/units"])


def test_diagnostics_beside_it_are_not_followed() -> None:
    """They run the network between the start of a batch and its forward pass, and copies of it."""
    arguments = {"examples": 20, "steps": 1, "batch_size": 10, "repeats": 1}
    measuring = intervention("Trainability", every="2ep", **arguments)
    assert state(run(*RECYCLING, measuring)) == state(run(*RECYCLING))


def test_a_module_whose_training_bypasses_the_network_is_refused() -> None:
    callback = ContinualBackprop({"0ep": 0.1})
    trainer: Any = SimpleNamespace(callbacks=[Clock(), callback])
    with pytest.raises(UserError, match="training does not call the network as a whole"):
        callback.on_train_batch_end(trainer, pl.LightningModule(), None, None, 0)

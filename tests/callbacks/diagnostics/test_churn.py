"""Change of answers between measurements."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from callbacks import Churn
from callbacks.diagnostics.look import Look
from callbacks.probe import Probe
from lightning_modules import Regression
from plasticity_lab.analysis.measure import measure
from plasticity_lab.timing import Time
from tests.callbacks.diagnostics.measured import as_measured, fragment
from tests.runs import fit, logged, resume, tiny

KEEPING = {"trainer": {"callbacks+": [{"class_path": f"{__name__}.Keeping"}]}}


class Keeping(Callback):
    """Copies the network before the first batch and at ends of epochs."""

    def __init__(self) -> None:
        self.states: list[dict[str, torch.Tensor]] = []

    def keep(self, module: Any) -> None:
        state = module.network.state_dict()
        self.states.append({name: value.clone() for name, value in state.items()})

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.keep(pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.keep(pl_module)


def test_a_run_logs_what_changed_since_the_measurement_before() -> None:
    finished = fit(*tiny(fragment("churn.Churn", examples=40), KEEPING))
    values = logged(finished.place.directory)
    (keeping,) = [c for c in finished.trainer.callbacks if isinstance(c, Keeping)]
    answers = []
    for state in keeping.states:
        finished.model.network.load_state_dict(state)
        with as_measured(finished, 40) as (network, probe), torch.no_grad():
            answers.append(network(probe.inputs))
    pairs = list(zip(answers[1:], answers, strict=False))
    changed = [
        sum(int(a.argmax()) != int(b.argmax()) for a, b in zip(new, old, strict=True)) / 40
        for new, old in pairs
    ]
    assert any(changed)
    differences = [float((new - old).abs().mean()) for new, old in pairs]
    for name, expected in (("predictions", changed), ("outputs", differences)):
        steps, found = zip(*values[f"diagnostics/churn/{name}"], strict=True)
        assert steps == (3, 7, 11)
        assert list(found) == pytest.approx(expected, rel=1e-6)


def test_a_resume_compares_with_the_measurement_before_it_and_so_does_a_checkpoint() -> None:
    keeping = {"trainer": {"callbacks+": [{"class_path": "tests.probes.EpochEnd"}]}}
    finished = fit(*tiny(fragment("churn.Churn", examples=40), keeping))
    directory = finished.place.directory
    whole = logged(directory)["diagnostics/churn/outputs"]
    second = directory / "checkpoints/epochendepoch=1.ckpt"
    found = measure(second).values["diagnostics/churn/outputs"]
    assert isinstance(found, float)
    assert torch.tensor(found, dtype=torch.float32).item() == whole[1][1]
    again = logged(resume(finished.config, second).place.directory)
    assert Path(directory).is_dir()
    assert again["diagnostics/churn/outputs"][-1] == whole[2]


def test_a_regression_has_outputs_alone() -> None:
    network, churn = torch.nn.Linear(2, 1), Churn(Time("1ep"))
    probe = Probe(torch.ones(3, 2), torch.zeros(3), torch.arange(3))
    assert churn.look_at(Look(network, probe, Regression())) == {}
    with torch.no_grad():
        network.bias.add_(0.5)
    found = churn.look_at(Look(network, probe, Regression(), step=5))
    assert found == {"churn/outputs": pytest.approx(0.5)}

"""What a reset of layers, or of the optimizer, leaves behind."""

import copy
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback

from plasticity_lab.studies.state_hash import state_hash
from plasticity_lab.surgery.construction import construct
from plasticity_lab.surgery.initialisation import init_parameters
from tests.callbacks.interventions.arms import FROZEN, intervention, run
from tests.networks import SmallNet
from tests.runs import state

PEEK = {"class_path": "tests.probes.Peek"}
REWIND = {"optimizer_state": "rewind", "learning_rate": "rewind"}


def optimizer_of(name: str, **arguments: Any) -> dict[str, Any]:
    settings = {"lr": 0.01, **({"momentum": 0.9} if name == "SGD" else {}), **arguments}
    return {"optimizer": {"class_path": f"torch.optim.{name}", "init_args": settings}}


def remembered(finished: Any) -> dict[str, str]:
    """Hashes of each parameter's optimizer state in the last step, after interventions."""
    memory: dict[str, str] = next(
        callback for callback in finished.trainer.callbacks if type(callback).__name__ == "Peek"
    ).memory
    return memory


class Held(Callback):
    """Records what the optimizer holds of each parameter at the last batch's start."""

    def on_train_batch_start(self, trainer: Any, *args: Any) -> None:
        self.held = copy.deepcopy([*trainer.optimizers[0].state.values()])


def test_a_layer_reset_draws_the_chosen_layers_and_leaves_the_others() -> None:
    finished, plain = (
        run(intervention("LayerReset", at=["11st"], last=1, to="initial"), FROZEN),
        run(FROZEN),
    )
    fresh = construct(SmallNet, 1, 10)
    init_parameters(fresh, 0)
    for name, value in finished.model.network.named_parameters():
        expected = (
            fresh.get_parameter(name)
            if name.startswith("head")
            else plain.model.network.get_parameter(name)
        )
        assert torch.equal(value, expected), name


def test_a_reset_of_everything_is_a_fresh_start() -> None:
    everything = intervention("LayerReset", at=["11st"], layers=["*"], to="initial")
    finished, fresh = run(everything, FROZEN), construct(SmallNet, 1, 10)
    init_parameters(fresh, 0)
    for name, value in fresh.named_parameters():
        assert torch.equal(finished.model.network.get_parameter(name), value)
    assert int(finished.model.network.norm.num_batches_tracked) == 1


def test_a_fresh_draw_has_the_initial_distribution_and_another_value_each_time() -> None:
    drawn = [
        run(intervention("LayerReset", at=[at], layers=["conv"]), FROZEN).model.network.conv.weight
        for at in ("10st", "11st")
    ]
    assert not torch.equal(*drawn)
    bound = 1 / 3  # of PyTorch's: 1 / sqrt(fan in), 3 x 3 of one channel
    assert drawn[1].abs().max() <= bound
    assert drawn[1].abs().max() > bound / 2


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_what_the_optimizer_remembers_goes_where_said_and_stays_elsewhere(optimizer: str) -> None:
    by_kind = {
        kind: remembered(
            run(
                intervention("LayerReset", at=["11st"], last=1, optimizer_state=kind),
                PEEK,
                model=optimizer_of(optimizer),
            )
        )
        for kind in ("reset", "keep")
    }
    for name, memory in by_kind["keep"].items():
        assert memory != state_hash({})
        assert by_kind["reset"][name] == (state_hash({}) if name.startswith("head") else memory), (
            name
        )


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_an_optimizer_reset_clears_everything_but_rates(optimizer: str) -> None:
    model = optimizer_of(optimizer)
    finished, plain = (
        run(intervention("OptimizerReset", at=["11st"]), PEEK, model=model),
        run(model=model),
    )
    assert set(remembered(finished).values()) == {state_hash({})}
    assert state(finished)["schedulers"] == state(plain)["schedulers"]
    groups = [
        {**finished_run.trainer.optimizers[0].param_groups[0], "params": None}
        for finished_run in (finished, plain)
    ]
    assert groups[0] == groups[1]


@pytest.mark.parametrize(
    ("what", "cleared"), [("moments", ["exp_avg", "exp_avg_sq"]), ("steps", ["step"])]
)
def test_an_optimizer_reset_of_a_part_leaves_the_rest(what: str, cleared: list[str]) -> None:
    record = {"class_path": f"{__name__}.Held"}
    reset = intervention("OptimizerReset", at=["11st"], what=what)
    finished = run(record, reset, record, model=optimizer_of("Adam"))
    before, after = [one.held for one in finished.trainer.callbacks if isinstance(one, Held)]
    assert len(before) == len(after) == 6
    for old, new in zip(before, after, strict=True):
        assert set(old) == set(new) == {"step", "exp_avg", "exp_avg_sq"}
        for name, value in old.items():
            assert value.any()
            expected = torch.zeros_like(value) if name in cleared else value
            assert torch.equal(new[name], expected), name


@pytest.mark.parametrize(
    "way",
    [
        intervention("LayerReset", at=["9st"], last=1),
        intervention("Rewind", at=["9st"], to="0ep", last=1, **REWIND),
    ],
)
def test_a_fused_optimizer_is_as_another(way: dict[str, Any]) -> None:
    nets = [
        run(way, model=optimizer_of("SGD", fused=fused)).model.network for fused in (False, True)
    ]
    for name, value in nets[0].named_parameters():
        assert torch.allclose(value, nets[1].get_parameter(name), atol=1e-6), name

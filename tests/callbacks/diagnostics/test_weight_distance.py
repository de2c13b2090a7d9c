"""How far weights have come."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from callbacks.diagnostics.look import Look
from callbacks.diagnostics.weight_distance import WeightDistance
from callbacks.probe import NO_PROBE
from plasticity_lab.measurements.functional import norm
from plasticity_lab.measurements.weight_distance import angle, distance, relative_distance
from plasticity_lab.studies.state_hash import state_hash
from plasticity_lab.surgery.construction import construct
from plasticity_lab.surgery.initialisation import init_parameters
from plasticity_lab.timing import Time
from tests.networks import SmallNet, TokenNet
from tests.runs import fit, logged, tiny

ONE: dict[str, Any] = {
    "a": torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).double(),
    "b": torch.tensor([0.5]).double(),
}
OTHER = {
    name: part + torch.linspace(-1, 1, part.numel()).double().view_as(part)
    for name, part in ONE.items()
}
BLOCKS = {
    "": None,
    "/conv": "conv.",
    "/head": "head.",
    "/norm.weight": "norm.weight",
    "/norm.bias": "norm.bias",
}


def joined(parts: dict[str, torch.Tensor], block: str | None = None) -> Any:
    return np.concatenate(
        [
            part.double().numpy().ravel()
            for name, part in parts.items()
            if name.startswith(block or "")
        ]
    )


def test_functions_are_those_of_the_joined_vector() -> None:
    first, second = joined(ONE), joined(OTHER)
    assert float(norm(ONE.values())) == pytest.approx(np.linalg.norm(first), rel=1e-14)
    assert float(distance(ONE, OTHER)) == pytest.approx(np.linalg.norm(first - second), rel=1e-14)
    assert float(relative_distance(ONE, OTHER)) == pytest.approx(
        np.linalg.norm(first - second) / np.linalg.norm(second), rel=1e-14
    )
    cosine = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    assert float(angle(ONE, OTHER)) == pytest.approx(np.degrees(np.arccos(cosine)), rel=1e-12)


@pytest.mark.parametrize(
    ("vector", "degrees"),
    [([2, 0], 0), ([0, 3], 90), ([-5, 0], 180), ([1, 1], 45), ([1, 1e-9], 1e-9 * 180 / np.pi)],
)
def test_angles(vector: list[float], degrees: float) -> None:
    result = angle(
        {"w": torch.tensor(vector, dtype=torch.float64)}, {"w": torch.tensor([1.0, 0.0]).double()}
    )
    assert float(result) == pytest.approx(degrees, rel=1e-12, abs=0)
    assert float(angle(ONE, ONE)) == 0


class Path_(Callback):
    """Records the network around every optimizer step, by means of its own."""

    def __init__(self) -> None:
        self.networks: list[tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]] = []
        self.before: dict[str, torch.Tensor] = {}

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Any
    ) -> None:
        self.before = copied(pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.before:
            self.networks.append((self.before, copied(pl_module)))
        self.before = {}


def copied(module: Any) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in module.network.named_parameters()}


def run(*fragments: dict[str, Any], every: str = "1ep", arguments: tuple[str, ...] = ()) -> Any:
    weights = {
        "class_path": "callbacks.diagnostics.weight_distance.WeightDistance",
        "init_args": {"every": every},
    }
    recorder = {"class_path": f"{__name__}.Path_"}
    return fit(*tiny({"trainer": {"callbacks+": [weights, recorder]}}, *fragments), *arguments)


ACCUMULATION = {"trainer": {"accumulate_grad_batches": 3}}
SHRINK = {
    "trainer": {
        "callbacks+": [
            {"class_path": "callbacks.ShrinkPerturb", "init_args": {"at": ["2ep"], "shrink": 0.5}}
        ]
    }
}


@pytest.mark.parametrize(
    "fragments", [(), (ACCUMULATION,), (SHRINK,)], ids=["plain", "accumulation", "an intervention"]
)
def test_a_run_logs_what_its_networks_say(fragments: tuple[dict[str, Any], ...]) -> None:
    """The path follows optimizer steps: interventions add to the distance only.

    Batches without a step add nothing.
    """
    finished = run(*fragments)
    (recorder,) = [
        callback for callback in finished.trainer.callbacks if type(callback).__name__ == "Path_"
    ]
    steps, values = recorder.networks, logged(finished.place.directory)
    assert len(steps) == finished.trainer.global_step == (6 if fragments == (ACCUMULATION,) else 12)
    initial = construct(SmallNet, 1, 10)
    init_parameters(initial, 0)
    start = {name: value.detach() for name, value in initial.named_parameters()}
    for suffix, block in BLOCKS.items():
        measured = {
            quantity: dict(values.get(f"diagnostics/weights/{quantity}{suffix}", {}))
            for quantity in WHAT
        }
        assert measured["path_length"][0] == measured["distance"][0] == 0
        assert 0 not in measured["update_ratio"]
        begin = joined(start, block)
        for count in (len(steps) // 3, len(steps)):
            before, now = (joined(network, block) for network in steps[count - 1])
            expected = {
                "norm": np.linalg.norm(now),
                "distance": np.linalg.norm(now - begin),
                "path_length": sum(
                    np.linalg.norm(joined(later, block) - joined(earlier, block))
                    for earlier, later in steps[:count]
                ),
                "update_ratio": np.linalg.norm(now - before) / np.linalg.norm(before),
            }
            if np.linalg.norm(begin):
                expected["relative_distance"] = np.linalg.norm(now - begin) / np.linalg.norm(begin)
                expected["angle"] = np.degrees(
                    np.arccos(now @ begin / np.linalg.norm(now) / np.linalg.norm(begin))
                )
            for quantity in WHAT:
                assert measured[quantity].get(count - 1) == (
                    pytest.approx(expected[quantity], rel=1e-5) if quantity in expected else None
                ), quantity


WHAT = ("norm", "distance", "relative_distance", "angle", "path_length", "update_ratio")


def test_what_began_at_zero_or_is_frozen_is_left_out() -> None:
    finished = run({"model": {"init_args": {"network": {"class_path": "tests.networks.TokenNet"}}}})
    tags = logged(finished.place.directory)
    assert "diagnostics/weights/distance/token" in tags
    assert "diagnostics/weights/angle/token" not in tags
    assert "diagnostics/weights/relative_distance/token" not in tags
    module: Any = finished.model
    assert isinstance(module.network, TokenNet)
    module.network.token.requires_grad_(False)
    (weights,) = [
        callback for callback in finished.trainer.callbacks if isinstance(callback, WeightDistance)
    ]
    assert not [name for name in weights.measure(Look(module.network, NO_PROBE)) if "token" in name]


def test_a_resume_inside_an_epoch_has_bitwise_the_same_state(tmp_path: Path) -> None:
    node = {
        "class_path": "pytorch_lightning.callbacks.ModelCheckpoint",
        "init_args": {"filename": "step{step}", "every_n_train_steps": 3, "save_top_k": -1},
    }
    files = {"trainer": {"callbacks+": [node]}}
    uninterrupted = run(files, SHRINK, every="2st")
    expected, values = saved(uninterrupted), logged(uninterrupted.place.directory)
    assert len(expected["path"]) == 5
    resumed = run(
        files,
        SHRINK,
        every="2st",
        arguments=(
            "--ckpt_path",
            str(uninterrupted.place.directory / "checkpoints/stepstep=6.ckpt"),
        ),
    )
    assert state_hash(saved(resumed)) == state_hash(expected)
    assert logged(uninterrupted.place.directory) == values


def saved(finished: Any) -> Any:
    (weights,) = [
        callback for callback in finished.trainer.callbacks if isinstance(callback, WeightDistance)
    ]
    return weights.state_dict()


def test_a_batch_in_which_two_optimizers_step_is_one_step() -> None:
    weights, module = WeightDistance(Time("1ep")), torch.nn.Linear(2, 1, bias=False)
    torch.nn.init.ones_(module.weight)
    for _ in range(2):
        weights.on_before_optimizer_step(None, module, None)  # type: ignore[arg-type]
        torch.nn.init.constant_(module.weight, 5.0)
    assert weights._before["weight"].tolist() == [[1, 1]]


def test_a_state_is_a_copy_on_the_cpu() -> None:
    weights = WeightDistance(Time("1ep"))
    weights.load_state_dict({"initial": {"w": torch.ones(2)}, "path": {"": torch.tensor(1.0)}})
    weights.state_dict()["initial"]["w"].zero_()
    assert weights.state_dict()["initial"]["w"].tolist() == [1, 1]

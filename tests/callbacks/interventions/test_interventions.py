"""Interventions among each other, and beside what Lightning has."""

from typing import Any

import pytest
import torch

from plasticity_lab.surgery.construction import construct
from plasticity_lab.surgery.initialisation import init_parameters
from tests.callbacks.interventions.arms import (
    ALL,
    ALL_DRIFT,
    EVERYTHING,
    FROZEN,
    LOOKING_AT_ACTIVATIONS,
    REMEDIES,
    WITH_INJECTION,
    intervention,
    run,
)
from tests.networks import SmallNet
from tests.registry import VARIANTS
from tests.runs import fit, logged, state, tiny
from tests.test_contracts import FEW_OF_EVERY_KIND, check_resumes


def test_acts_happen_at_every_stage_once_and_after_the_data() -> None:
    growth = {
        "class_path": "datamodules.UniformGrowth",
        "init_args": {"counts": [40, 70, 100], "at": ["1ep", "2ep"]},
    }
    finished = run(intervention("ShrinkPerturb", at=["stages"], shrink=0.9), growth=growth)
    values = logged(finished.place.directory)
    assert values["interventions/ShrinkPerturb"] == [(2, 1), (5, 1)]
    assert values["data/stage"] == [(0, 0), (2, 1), (5, 2)]


def test_the_list_is_the_order() -> None:
    shrink, reset = (
        intervention("ShrinkPerturb", at=["11st"], shrink=0.5),
        intervention("LayerReset", at=["11st"], layers=["head"], to="initial"),
    )
    first, second = run(shrink, reset, FROZEN), run(reset, shrink, FROZEN)
    ratio = second.model.network.head.weight / first.model.network.head.weight
    assert torch.allclose(ratio, torch.full_like(ratio, 0.5))


def test_parameters_and_groups_stay_the_same_objects() -> None:
    nodes = [
        intervention("LayerReset", at=["1ep"], layers=["*"]),
        intervention("ShrinkPerturb", at=["5st"], shrink=0.5, perturb=0.5),
        intervention("Rewind", at=["7st"], to="1ep"),
    ]
    finished = run(*nodes)
    group = finished.trainer.optimizers[0].param_groups
    assert len(group) == 1
    assert [id(parameter) for parameter in group[0]["params"]] == [
        id(parameter) for parameter in finished.model.parameters()
    ]


def test_an_average_of_the_weights_follows_a_reset() -> None:
    average = {
        "class_path": "pytorch_lightning.callbacks.EMAWeightAveraging",
        "init_args": {"decay": 0.999},
    }
    finished = run(
        intervention("LayerReset", at=["11st"], layers=["head"], to="initial"), FROZEN, average
    )
    fresh = construct(SmallNet, 1, 10)
    init_parameters(fresh, 0)
    network = finished.model.network  # holds the average at the end
    assert torch.allclose(network.head.weight, fresh.head.weight)
    assert not torch.allclose(network.conv.weight, run(FROZEN).model.network.conv.weight)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "variant"),
    list(enumerate(name for name in VARIANTS if name not in ("plateau", "no validation"))),
)
def test_all_at_once_resume_bitwise_under(first: int, variant: str) -> None:
    """Each from an eighth of the checkpoints, by turns."""
    check_resumes(VARIANTS[variant], ALL, FEW_OF_EVERY_KIND, every=8, first=first % 8)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["bf16", "accumulation", "SAM"])
def test_all_that_holds_back_drift_resumes_bitwise_under(variant: str) -> None:
    check_resumes(VARIANTS[variant], ALL_DRIFT, FEW_OF_EVERY_KIND, every=4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "variant", "fragment"),
    [
        (1, "bf16", {"trainer": {"callbacks+": REMEDIES}}),
        (3, "accumulation", {"trainer": {"callbacks+": REMEDIES}}),
        (0, "bf16", WITH_INJECTION),
        (2, "accumulation", WITH_INJECTION),
    ],
)
def test_all_remedies_resume_bitwise_under(
    first: int, variant: str, fragment: dict[str, Any]
) -> None:
    check_resumes(VARIANTS[variant], fragment, FEW_OF_EVERY_KIND, every=4, first=first)


@pytest.mark.slow
def test_all_at_once_run_compiled() -> None:
    """All but those that look at activations in training, which refuse it."""
    nodes = [node for node in EVERYTHING if node["class_path"] not in LOOKING_AT_ACTIVATIONS]
    arms = {"trainer": {"callbacks+": nodes}, "data": ALL["data"]}
    fit(*tiny(arms, {"model": {"init_args": {"compile": True}}}), "--trainer.max_epochs", "3")


def test_the_same_seed_draws_the_same_and_another_another() -> None:
    first, again, reseeded = (
        fit(*tiny(ALL)),
        fit(*tiny(ALL)),
        fit(*tiny(ALL), "--seed_everything", "1"),
    )
    assert state(first) == state(again)
    assert state(first) != state(reseeded)


def test_they_act_beside_lightnings_own_callbacks() -> None:
    monitor = {
        "class_path": "pytorch_lightning.callbacks.LearningRateMonitor",
        "init_args": {"logging_interval": "step"},
    }
    stopping = {
        "class_path": "pytorch_lightning.callbacks.EarlyStopping",
        "init_args": {"monitor": "val/loss", "patience": 9},
    }
    monitoring = {"trainer": {"callbacks+": [monitor, stopping], "log_every_n_steps": 1}}
    finished, plain = fit(*tiny(ALL, monitoring)), fit(*tiny(ALL))
    assert state(finished) == state(plain)
    rates = [round(value, 6) for _, value in logged(finished.place.directory)["lr-SGD"]]
    assert rates[3:5] == [0.1, 0.08], "the scheduled rate, which a factor leaves alone"

"""Networks of a user's own: where training starts, and what resets of them do."""

import inspect
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from plasticity_lab.surgery.construction import construct, materialise
from plasticity_lab.surgery.initialisation import init_parameters, redraw
from tests import own_networks
from tests.callbacks.interventions.arms import FROZEN, intervention
from tests.networks import SmallNet
from tests.runs import BRIEF, fit, state, tiny
from tests.test_bad_input import refused

pytestmark = pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated")

KINDS = ["ZeroHead", "Attention", "Normed", "Lazy"]
SIZES = {"in_channels": 1, "num_classes": 10, "image_size": 16}


def network(kind: str, **model: Any) -> dict[str, Any]:
    return {
        "model": {"init_args": {"network": {"class_path": f"tests.own_networks.{kind}"}, **model}}
    }


def callbacks(*several: dict[str, Any]) -> dict[str, Any]:
    return {"trainer": {"callbacks+": list(several)}}


def taken(kind: str) -> dict[str, int]:
    """Return what a network's constructor takes."""
    return {name: SIZES[name] for name in inspect.signature(getattr(own_networks, kind)).parameters}


def initial(kind: str, seed: int = 0) -> nn.Module:
    """Return a network as a run of some seed begins."""
    model: nn.Module = construct(getattr(own_networks, kind), **taken(kind))
    materialise(model, (1, 16, 16))
    init_parameters(model, seed)
    return model


def values(finished: Any) -> dict[str, Tensor]:
    return {name: value.detach() for name, value in finished.model.network.named_parameters()}


@pytest.mark.parametrize("kind", KINDS)
def test_training_starts_from_what_the_constructor_sets_under_the_runs_seed(kind: str) -> None:
    still = intervention("LearningRateFactor", levels={"0ep": 0.0})
    begun = values(
        fit(
            *tiny(BRIEF, network(kind), callbacks(still)),
            "--trainer.max_epochs",
            "1",
            "--seed_everything",
            "3",
        )
    )
    expected = initial(kind, 3)
    for name, value in begun.items():
        assert torch.equal(value, expected.get_parameter(name)), name
    if kind == "ZeroHead":
        assert not begun["head.weight"].any()
    if kind == "Attention":
        assert not begun["attention.out_proj.bias"].any()


@pytest.mark.parametrize(("kind", "at"), [*((kind, "11st") for kind in KINDS), ("Normed", "2ep")])
def test_resets_draw_by_the_same_rule_at_whatever_moment(kind: str, at: str) -> None:
    hold = intervention("LearningRateFactor", levels={at: 0.0})
    for reset in (
        intervention("LayerReset", at=[at], layers=["*"], to="initial"),
        intervention("ShrinkPerturb", at=[at], shrink=0.0, perturb=1.0, noise="initial"),
        intervention("Rewind", at=[at], to="0ep"),
    ):
        expected = initial(kind)
        for name, value in values(fit(*tiny(BRIEF, network(kind), callbacks(reset, hold)))).items():
            assert torch.equal(value, expected.get_parameter(name)), (reset, name)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fresh_reset_is_another_draw_of_the_rule(kind: str) -> None:
    reset = values(
        fit(
            *tiny(
                BRIEF,
                network(kind),
                callbacks(intervention("LayerReset", at=["11st"], last=2), FROZEN),
            )
        )
    )
    model, plain = initial(kind), values(fit(*tiny(BRIEF, network(kind), callbacks(FROZEN))))
    drawn = redraw(
        model,
        [name for name, _ in model.named_modules()],
        lambda name: (0, "LayerReset", 2, 11, name),
    )
    chosen = getattr(own_networks, kind)(**taken(kind)).blocks[-2:]
    for name, value in reset.items():
        expected = drawn[name] if name.startswith(chosen) else plain[name]
        assert torch.equal(value, expected), name


@pytest.mark.parametrize("kind", KINDS)
def test_l2_init_pulls_to_where_training_began(kind: str) -> None:
    pulled = values(
        fit(*tiny(BRIEF, network(kind), callbacks(intervention("L2Init", levels={"0ep": 5.0}))))
    )
    free, start = values(fit(*tiny(BRIEF, network(kind)))), initial(kind)
    chosen = [name for name in pulled if name.endswith("weight") and not name.startswith("norm")]
    for name in chosen:
        initial_value = start.get_parameter(name)
        assert torch.linalg.norm(pulled[name] - initial_value) < 0.7 * torch.linalg.norm(
            free[name] - initial_value
        ), name


@pytest.mark.parametrize("kind", ["Normed", "Attention"])
def test_runs_with_resets_resume_bitwise(kind: str) -> None:
    checkpoints = {"every_n_train_steps": 6, "save_top_k": -1}
    run = tiny(
        network(kind),
        callbacks(
            intervention("LayerReset", at=["5st"], last=1),
            intervention("L2Init", levels={"1ep": 0.1}),
            intervention("ShrinkPerturb", at=["9st"], shrink=0.5, perturb=0.1),
            {"class_path": "pytorch_lightning.callbacks.ModelCheckpoint", "init_args": checkpoints},
        ),
    )
    uninterrupted = fit(*run)
    (middle,) = uninterrupted.place.directory.glob("checkpoints/*step=6.ckpt")
    assert state(fit(*run, "--ckpt_path", str(middle), "--run_dir", "again")) == state(
        uninterrupted
    )


def test_averages_of_weights_and_weight_norm() -> None:
    average = {"class_path": "pytorch_lightning.callbacks.EMAWeightAveraging"}
    fit(
        *tiny(
            network("Normed"), callbacks(average, intervention("LayerReset", at=["1ep"], last=1))
        ),
        "--trainer.max_epochs",
        "2",
    )


def test_lazy_networks_begin_under_the_runs_seed_alone() -> None:
    nets = [
        fit(*tiny(network("Lazy")), "--trainer.max_epochs", "1", "--seed_everything", str(seed))
        for seed in (0, 0, 1)
    ]
    assert state(nets[0]) == state(nets[1]) != state(nets[2])
    assert isinstance(nets[0].model.network.head, nn.Linear)


def test_a_lazy_part_takes_its_size_from_what_it_is_given() -> None:
    head = {"class_path": "tests.own_networks.LazyHead", "init_args": {"outputs": 10}}
    network_node = {"class_path": "tests.own_networks.WithLazyHead", "init_args": {"head": head}}
    nets = [
        fit(*tiny({"model": {"init_args": {"network": network_node}}}), "--trainer.max_epochs", "1")
        for _ in range(2)
    ]
    assert nets[0].model.network.head.linear.weight.shape == (10, 12)
    assert state(nets[0]) == state(nets[1])


@pytest.mark.parametrize("scheme", ["kaiming_fan_out", "kaiming_uniform_norm"])
def test_initialisation_is_an_argument(scheme: Any) -> None:
    frozen = callbacks(intervention("LearningRateFactor", levels={"0ep": 0.0}))
    plain, initialised = (
        fit(*tiny({"model": {"init_args": model}}, frozen), "--trainer.max_epochs", "1")
        for model in ({}, {"initialisation": scheme})
    )
    expected = construct(SmallNet, 1, 10)
    init_parameters(expected, 0, scheme)
    assert all(
        torch.equal(value, expected.get_parameter(name))
        for name, value in values(initialised).items()
    )
    assert not torch.equal(values(plain)["conv.weight"], values(initialised)["conv.weight"])


RESETS: dict[str, dict[str, Any]] = {
    "LayerReset": {"last": 1},
    "ShrinkPerturb": {"perturb": 0.1},
    "Rewind": {"to": "0ep"},
}


@pytest.mark.parametrize("name", RESETS)
def test_pruning_beside_a_reset_is_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = {"pruning_fn": "l1_unstructured", "amount": 0.5}
    pruning = {"class_path": "pytorch_lightning.callbacks.ModelPruning", "init_args": arguments}
    message = f"{name}: ModelPruning replaces the parameters that it acts on; remove one of the two"
    refused(
        ["fit", *tiny(callbacks(pruning, intervention(name, at=["1ep"], **RESETS[name])))],
        message,
        capsys,
    )


def test_networks_that_cannot_be_trained_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    refused(
        ["fit", *tiny(network("Frozen"))],
        "network: Frozen: has no parameter to train; let some require gradients",
        capsys,
    )
    double = (
        "network: Double: has parameters of torch.float64, and batches are of torch.float32; let "
        "trainer.precision convert it"
    )
    refused(["fit", *tiny(network("Double"))], double, capsys)
    fit(*tiny(network("Double")), "--trainer.precision", "64-true", "--trainer.max_epochs", "1")


class Broken(nn.Module):
    """Its constructor is wrong."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.widths = [in_channels, num_classes][7]


def test_a_constructor_that_fails_is_shown_with_its_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    network = {"model": {"init_args": {"network": {"class_path": f"{__name__}.Broken"}}}}
    refused(
        ["fit", *tiny(network)],
        r"list index out of range \(IndexError in test_own_networks.py, line \d+\)$",
        capsys,
    )

"""How gradients come about."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from lightning_modules import Backpropagation, TrainingRule
from plasticity_lab.errors import UserError
from plasticity_lab.runs.build import build
from plasticity_lab.runs.parse import parse
from tests.registry import VARIANTS
from tests.runs import fit, logged, state, tiny


def rule(name: str, **arguments: Any) -> dict[str, Any]:
    init_args = {
        "objective": {"class_path": "lightning_modules.Classification"},
        "rule": {"class_path": name, "init_args": arguments},
    }
    return {"model": {"class_path": "lightning_modules.Supervised", "init_args": init_args}}


SAM = rule("lightning_modules.SAM", rho=0.1)


@pytest.mark.parametrize("way", ["fp32", "bf16", "accumulation", "adam"])
@pytest.mark.parametrize(
    "identity", [rule("lightning_modules.SAM", rho=0), rule("lightning_modules.Backpropagation")]
)
def test_an_identity_is_bitwise_the_classifier(identity: dict[str, Any], way: str) -> None:
    """With dropout and batch norm, whose draws and statistics a second pass leaves alone."""
    with_identity, expected = fit(*tiny(VARIANTS[way], identity)), fit(*tiny(VARIANTS[way]))
    assert state(with_identity) == state(expected)
    assert logged(with_identity.place.directory) == logged(expected.place.directory)


@pytest.mark.parametrize("way", ["fp32", "bf16"])
def test_sam_acts(way: str) -> None:
    perturbed, plain = fit(*tiny(VARIANTS[way], SAM)), fit(*tiny(VARIANTS[way]))
    assert state(perturbed)["weights and buffers"] != state(plain)["weights and buffers"]


class Record(Callback):
    """Keeps batches, and buffers before and after each step."""

    def __init__(self) -> None:
        self.batches: list[Any] = []
        self.buffers: list[dict[str, Tensor]] = []

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.batches.append(batch)
        self.buffers.append({name: b.clone() for name, b in pl_module.named_buffers()})


def reference(network: nn.Module, batches: list[Any], rho: float, rate: float) -> None:
    """One step of SAM on accumulated batches, each with a perturbation of its own."""
    total: Any = 0
    w = nn.utils.parameters_to_vector(network.parameters()).detach()
    for batch in batches:
        point = w
        for last in (False, True):
            nn.utils.vector_to_parameters(point, network.parameters())
            loss = nn.functional.cross_entropy(network(batch.inputs), batch.targets)
            grads = torch.autograd.grad(loss, list(network.parameters()))
            slope = nn.utils.parameters_to_vector(grads)
            point = w + rho * slope / slope.norm()
            total = total + slope / len(batches) * last
    nn.utils.vector_to_parameters(w - rate * total, network.parameters())


@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_step_of_sam_is_that_of_ten_lines(accumulate: int) -> None:
    settings: dict[str, Any] = {
        "trainer": {"accumulate_grad_batches": accumulate, "max_steps": 1, "max_epochs": 1},
        "model": {
            "init_args": {
                "network": {"class_path": "tests.networks.SmallNet", "init_args": {"dropout": 0.0}},
                "optimizer": {
                    "class_path": "torch.optim.SGD",
                    "init_args": {"lr": 0.5, "weight_decay": 0},
                },
            }
        },
    }
    record = Record()
    run = build(parse(["fit", *tiny(SAM, settings)]), extra=[record])
    model: Any = run.model
    network = copy.deepcopy(model.network).train()
    before = nn.utils.parameters_to_vector(network.parameters()).detach()
    run.fit()
    reference(network, record.batches, rho=0.1, rate=0.5)
    vector = nn.utils.parameters_to_vector(model.network.cpu().parameters())
    expected = nn.utils.parameters_to_vector(network.parameters())
    assert torch.allclose(vector, expected, atol=2e-6)
    assert (vector - before).norm() > 100 * (vector - expected).norm()


def test_statistics_of_batch_norm_follow_the_first_pass() -> None:
    """Their first update is of the initial weights, as in backpropagation."""
    with_sam, plain = Record(), Record()
    for fragments, record in (((SAM,), with_sam), ((), plain)):
        build(parse(["fit", *tiny(*fragments)]), extra=[record]).fit()
    for name, value in with_sam.buffers[1].items():
        assert torch.equal(value, plain.buffers[1][name]), name
    assert int(with_sam.buffers[3]["network.norm.num_batches_tracked"]) == 3


class Counts(Callback):
    """Keeps how many examples the metrics have counted in an epoch."""

    def __init__(self) -> None:
        self.counts: list[int] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.counts.append(int(pl_module.train_metrics.loss.count))


def test_metrics_count_each_batch_once() -> None:
    counts = Counts()
    build(parse(["fit", *tiny(SAM)]), extra=[counts]).fit()
    assert counts.counts == [32, 64, 96, 100] * 3


class Negated(TrainingRule):
    """A rule of one's own, which notes when it is to give true gradients."""

    exact_calls = 0

    def backward(self, network: nn.Module, loss: Tensor, loss_again: Callable[[], Tensor]) -> None:
        (-loss).backward()  # type: ignore[no-untyped-call]

    def exact(self) -> Any:
        type(self).exact_calls += 1
        return super().exact()


def test_a_rule_of_ones_own() -> None:
    negated = rule(f"{__name__}.Negated")
    node = {
        "class_path": "callbacks.FisherInformation",
        "init_args": {"every": "1ep", "examples": 9},
    }
    finished = fit(*tiny(negated, {"trainer": {"callbacks+": [node]}}))
    losses = [value for _, value in logged(finished.place.directory)["train/loss"]]
    assert losses[0] < losses[1], "it climbs"
    assert Negated.exact_calls == 4, "before, and after each epoch"


class Silent(TrainingRule):
    """A rule that passes again without saying so."""

    def backward(self, network: nn.Module, loss: Tensor, loss_again: Callable[[], Tensor]) -> None:
        loss_again()


def test_a_second_pass_has_to_be_announced() -> None:
    with pytest.raises(TypeError, match="must say so by passes_again"):
        build(parse(["fit", *tiny(rule(f"{__name__}.Silent"))])).fit()


REFUSED = {
    "a negative radius": (rule("lightning_modules.SAM", rho=-1), {}, "rho: -1.0: set 0"),
    "several ranks": (
        SAM,
        {"trainer": {"devices": 2, "strategy": "ddp"}},
        "devices: 2: SAM is for one process; use --trainer.devices 1",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_sam_cannot_do_is_refused(name: str) -> None:
    *fragments, message = REFUSED[name]
    with pytest.raises(UserError, match=message):
        build(parse(["fit", *tiny(*fragments)])).check()


def test_scaled_losses_are_refused() -> None:
    from lightning_modules import SAM as Rule

    class Half:
        precision = "16-mixed"
        world_size = 1

    trainer: Any = Half()
    with pytest.raises(UserError, match="precision: 16-mixed: SAM would see losses"):
        Rule().check(trainer, LightningModule())
    Backpropagation().check(trainer, LightningModule())

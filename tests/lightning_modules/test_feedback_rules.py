"""Runs whose networks pass other signals back than gradients."""

from functools import cache
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_modules import DirectFeedbackAlignment, FeedbackAlignment
from lightning_modules.networks import MLP, ConvN
from plasticity_lab.errors import UserError
from plasticity_lab.randomness import generator
from plasticity_lab.runs.build import build
from plasticity_lab.runs.parse import parse
from plasticity_lab.surgery import feedback_matrix
from tests.callbacks.interventions.arms import intervention
from tests.lightning_modules.test_training_rules import rule
from tests.regressions import regression
from tests.runs import BRIEF, fit, state, tiny

DFA, FA = "lightning_modules.DirectFeedbackAlignment", "lightning_modules.FeedbackAlignment"


def network(name: str, **arguments: Any) -> dict[str, Any]:
    node = {"class_path": f"lightning_modules.networks.{name}", "init_args": arguments}
    return {"model": {"init_args": {"network": node}}}


SHALLOW = network("MLP", widths=[12], norm="none", activation="tanh")
CONVOLUTIONAL = network("ConvN", width=0.05)
SHORT = {"trainer": {"max_steps": 3, "limit_val_batches": 1, "limit_test_batches": 1}}
RULES = {
    "blocks": rule(DFA),
    "hybrid": rule(DFA, layers=["hidden*"]),
    "binary": rule(DFA, feedback="binary"),
    "random": rule(FA),
    "sign": rule(FA, feedback="sign"),
    "sign above": rule(FA, feedback="sign", layers=["h*"]),
}


@pytest.mark.parametrize("name", RULES)
def test_a_rule_acts_and_comes_again(name: str) -> None:
    first, second = (fit(*tiny(SHORT, RULES[name], CONVOLUTIONAL)) for _ in range(2))
    assert state(first) == state(second)
    weights, names = plain()
    assert state(first)["weights and buffers"] != weights
    assert {*first.model.state_dict()} == names


@cache
def plain() -> tuple[str, set[str]]:
    finished = fit(*tiny(SHORT, CONVOLUTIONAL))
    return state(finished)["weights and buffers"], {*finished.model.state_dict()}


class Batches(Callback):
    """Keeps batches, and the weights before the first of them."""

    def __init__(self) -> None:
        self.batches: list[Any] = []
        self.before: dict[str, Tensor] = {}

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.batches.append(batch)
        if not self.before:
            self.before = {name: value.clone() for name, value in pl_module.named_parameters()}


@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_step_is_that_of_the_paper(accumulate: int) -> None:
    """With label smoothing, in float64, on a matrix that is keyed by the run's seed."""
    optimizer = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.5, "weight_decay": 0.1}}
    objective = {
        "class_path": "lightning_modules.Classification",
        "init_args": {"label_smoothing": 0.1},
    }
    settings = {
        "seed_everything": 5,
        "trainer": {
            "accumulate_grad_batches": accumulate,
            "max_steps": 1,
            "max_epochs": 1,
            "precision": "64-true",
        },
        "model": {"init_args": {"optimizer": optimizer, "objective": objective}},
    }
    record = Batches()
    run = build(parse(["fit", *tiny(rule(DFA), SHALLOW, settings)]), extra=[record])
    run.fit()
    weights = {name.removeprefix("network."): value for name, value in record.before.items()}
    draws = generator(5, "DirectFeedbackAlignment", "hidden1")
    matrix = feedback_matrix(10, 12, draws).double()
    step: Any = 0
    for batch in record.batches:
        inputs = batch.inputs.double().flatten(1)
        below = F.linear(inputs, weights["hidden1.linear.weight"], weights["hidden1.linear.bias"])
        hidden = below.tanh()
        outputs = hidden @ weights["head.weight"].T + weights["head.bias"]
        targets = F.one_hot(batch.targets, 10).double() * 0.9 + 0.01
        error = (outputs.softmax(1) - targets) / len(targets)
        step += ((error @ matrix) * (1 - hidden**2)).T @ inputs / accumulate
    assert len(record.batches) == accumulate
    before = weights["hidden1.linear.weight"]
    expected = before - 0.5 * (step + 0.1 * before)
    model: Any = run.model
    assert torch.allclose(model.network.hidden1.linear.weight, expected, rtol=0, atol=1e-9)


def small(kind: type[nn.Module], **arguments: Any) -> nn.Module:
    torch.manual_seed(0)
    return kind(in_channels=1, num_classes=10, image_size=16, **arguments)


IMAGES = torch.randn(8, 1, 16, 16, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(8)


def gradients(trained: nn.Module, used: Any, scale: float = 1.0) -> dict[str, Tensor]:
    """Return what a rule adds to `.grad` in bfloat16, of a loss that is scaled."""
    trained.zero_grad()
    with torch.autocast("cpu", torch.bfloat16), used.forward_pass(trained):
        outputs = trained(IMAGES)
    used.backward(trained, scale * F.cross_entropy(outputs.float(), LABELS), outputs.sum)
    return {
        name: value.grad.clone()
        for name, value in trained.named_parameters()
        if value.grad is not None
    }


@pytest.mark.parametrize("used", [DirectFeedbackAlignment(), FeedbackAlignment()])
def test_a_scaled_loss_scales_all_gradients(used: Any) -> None:
    """As float16 needs it: a power of two leaves all bits of the mantissa alone."""
    trained = small(ConvN, width=0.05)
    plain, scaled = gradients(trained, used), gradients(trained, used, 1024.0)
    assert len(plain) == len(list(trained.parameters()))
    for name, gradient in plain.items():
        assert scaled[name].equal(1024 * gradient), name


def test_convolutions_below_the_hybrid_learn() -> None:
    """Unlike in the control in which nothing but the last layer does."""
    trained = small(ConvN, width=0.05)
    hybrid = gradients(trained, DirectFeedbackAlignment(["hidden*"]))
    assert all(gradient.any() for gradient in hybrid.values())
    control = gradients(trained, DirectFeedbackAlignment(["hidden*"], "zero"))
    assert {name for name, gradient in control.items() if gradient.any()} == {
        "head.weight",
        "head.bias",
    }


def test_signs_carry_signals_at_the_scale_of_initial_weights() -> None:
    trained: Any = small(MLP, widths=[12, 9], norm="none", activation="tanh")
    with FeedbackAlignment(feedback="sign").forward_pass(trained):
        hidden = trained.hidden1(IMAGES.flatten(1))
        hidden.retain_grad()
        trained.hidden2(hidden).sum().backward()
        trained.head(torch.ones(1, 9))
    slopes = 1 - trained.hidden2(hidden).detach() ** 2
    expected = slopes @ trained.hidden2.linear.weight.sign() / (3 * 12) ** 0.5
    assert torch.allclose(hidden.grad, expected, atol=1e-6)


def drawn(used: DirectFeedbackAlignment) -> list[Tensor]:
    return list(used._drawn.values())


def test_matrices_differ_by_layer_and_seed_alone() -> None:
    """A matrix is drawn once, and is no tensor of the network."""
    trained, used = small(MLP, widths=[12, 12]), DirectFeedbackAlignment()
    gradients(trained, used)
    first, second = drawn(used)
    assert not first.equal(second)
    gradients(trained, used)
    assert [id(one) for one in drawn(used)] == [id(first), id(second)], "the very same"
    again, other = DirectFeedbackAlignment(), DirectFeedbackAlignment()
    other.seed = 1
    for one in (again, other):
        gradients(trained, one)
    assert drawn(again)[0].equal(first)
    assert not drawn(other)[0].equal(first)


def test_targets_may_be_numbers() -> None:
    plain = regression("Vectors")
    with_rule = {"model": {"init_args": {"rule": {"class_path": DFA}}}}
    assert state(fit(*tiny(BRIEF, plain, with_rule))) != state(fit(*tiny(BRIEF, plain)))


def test_a_term_of_the_outputs_is_part_of_the_error() -> None:
    distilled = {"trainer": {"callbacks+": [intervention("SelfDistillation", at=["1st"])]}}
    fit(*tiny(BRIEF, rule(DFA), SHALLOW, distilled))


def callback(name: str) -> dict[str, Any]:
    return {"trainer": {"callbacks+": [intervention(name, levels={"0ep": 0.1})]}}


REFUSED = {
    "a layer that is not there": (rule(DFA, layers=["hiden*"]), {}, "layers: hiden.: matches not"),
    "no layer": (rule(DFA, layers=[]), {}, "layers: .*: name layers, or remove it"),
    "no layer at all": (rule(FA, layers=[]), {}, "layers: .*: name layers, or remove it"),
    "the last layer": (rule(DFA, layers=["head"]), {}, "layers: head: gives out the outputs of"),
    "everything": (rule(DFA, layers=["*"]), {}, "layers: head: gives out the outputs of"),
    "layers without weights": (rule(FA, layers=["hidden1.activation"]), {}, "have no linear lay"),
    "compilation": (
        rule(FA),
        {"model": {"init_args": {"compile": True}}},
        "FeedbackAlignment: a compiled network has no hooks; set compile: false",
    ),
    "features": (
        rule(DFA),
        callback("FeatureNormPenalty"),
        "FeatureNormPenalty: its term of the loss needs true gradients, and the rule is Direct",
    ),
    "other passes": (
        rule(FA),
        callback("ChurnPenalty"),
        "ChurnPenalty: its term of the loss needs",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused_before_training(name: str) -> None:
    *fragments, message = REFUSED[name]
    with pytest.raises(UserError, match=message):
        build(parse(["fit", *tiny(SHALLOW, *fragments)])).check()


def test_a_network_without_blocks_needs_names() -> None:
    with pytest.raises(UserError, match="layers: Sequential does not list its blocks; set names"):
        DirectFeedbackAlignment().forward_pass(nn.Sequential(nn.Linear(3, 2)))

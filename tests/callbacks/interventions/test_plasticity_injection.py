"""A head with fresh weights that changes nothing at first."""

from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import nn

from plasticity_lab.surgery.injectable_head import InjectableHead
from plasticity_lab.surgery.optimizer_state import reset_optimizer_state
from tests.callbacks.interventions.arms import FROZEN, intervention, run

RECORDS = [{"class_path": "tests.probes.BatchStarts"}, {"class_path": "tests.probes.Batches"}]
MOMENTUM: dict[str, Any] = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.0}
SGD = {"class_path": "torch.optim.SGD", "init_args": MOMENTUM}
ADAMW = {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.01}}
HALFWAY = intervention("PlasticityInjection", at=["6st"])


def model(norm: str = "none", optimizer: dict[str, Any] = SGD) -> dict[str, Any]:
    network = {
        "class_path": "lightning_modules.networks.InjectableNetwork",
        "init_args": {
            "network": "lightning_modules.networks.MLP",
            "options": {"widths": [12, 8], "norm": norm, "activation": "tanh"},
        },
    }
    return {"network": network, "optimizer": optimizer, "lr_scheduler": None}


def recorded(*callbacks: dict[str, Any], **arguments: Any) -> tuple[Any, Any]:
    """Return a run, and its weights before each batch."""
    finished = run(*callbacks, RECORDS[0], model=model(**arguments))
    (record,) = [part for part in finished.trainer.callbacks if hasattr(part, "weights")]
    return finished, record.weights


def outputs(finished: Any) -> torch.Tensor:
    images = torch.randn(8, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits: torch.Tensor = finished.model.network.eval()(images)
    return logits


class ForgottenHead(Callback):
    """Resets the optimizer state of the head, and no more, where another run injects it."""

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == 6:
            (head,) = [part for part in pl_module.modules() if isinstance(part, InjectableHead)]
            reset_optimizer_state(trainer.optimizers, head.parameters())


def test_it_is_no_optimizer_reset_of_the_head() -> None:
    reset = run({"class_path": f"{__name__}.ForgottenHead"}, model=model())
    difference = (outputs(run(HALFWAY, model=model())) - outputs(reset)).abs().max()
    assert difference > 0.1


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_an_injection_alone_changes_no_output(norm: str) -> None:
    """To the bit, after a training step without learning, which moves running statistics."""
    plain = run(FROZEN, model=model(norm))
    late = intervention("PlasticityInjection", at=["11st"])
    finished = run(late, FROZEN, model=model(norm))
    assert bool(finished.model.network.head.injected)
    assert torch.equal(outputs(finished), outputs(plain))


def test_the_output_stays_and_then_the_new_weights_alone_are_trained() -> None:
    """With AdamW, which decays whatever has a gradient."""
    _, plain = recorded(optimizer=ADAMW)
    finished, seen = recorded(HALFWAY, optimizer=ADAMW)
    layers = ("hidden2.linear", "head")
    parts = [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]
    for name, value in plain[6].items():
        if name.startswith(("encoder.", "head.base.")):
            assert torch.equal(seen[6][name], value), name
    last = finished.model.network.state_dict()
    for part in parts:
        trained, subtracted = (f"head.{which}.{part}" for which in ("trained", "subtracted"))
        assert torch.equal(seen[6][trained], seen[6][subtracted])
        assert not torch.equal(seen[6][trained], plain[6][trained]), "is not drawn anew"
        assert not torch.equal(last[trained], seen[6][trained]), part
        for still in (subtracted, f"head.base.{part}"):
            assert torch.equal(last[still], seen[6][still]), still
        for before in (trained, subtracted):
            assert torch.equal(plain[0][before], plain[11][before]), before
    below = "encoder.hidden1.linear.weight"
    assert not torch.equal(last[below], seen[6][below])


def test_it_is_the_formula_in_plain_torch() -> None:
    finished = run(HALFWAY, *RECORDS, model=model())
    (record,) = [part for part in finished.trainer.callbacks if hasattr(part, "weights")]
    (data,) = [part for part in finished.trainer.callbacks if hasattr(part, "batches")]
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(256, 12), nn.Tanh())
    h, added, subtracted = (
        nn.Sequential(nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 10)) for _ in range(3)
    )
    parts: dict[str, nn.Module] = {"encoder": encoder, "head.base": h, "head.trained": added}
    parts["head.subtracted"] = subtracted
    copy(record.weights[0], parts)
    everything = nn.ModuleList(parts.values())
    optimizer = torch.optim.SGD(everything.parameters(), **MOMENTUM)
    for step, (images, labels) in enumerate(data.batches):
        if step == 6:
            copy(record.weights[6], {name: parts[name] for name in list(parts)[2:]})
        for part, trained in ((h, step < 6), (added, step >= 6), (subtracted, False)):
            part.requires_grad_(trained)
        z = encoder(images)
        logits = h(z) if step < 6 else h(z) + added(z) - subtracted(z)
        optimizer.zero_grad()
        torch.autograd.backward(nn.functional.cross_entropy(logits, labels))
        optimizer.step()
    for name, expected_part in parts.items():
        final = finished.model.network.get_submodule(name).parameters()
        for value, expected in zip(final, expected_part.parameters(), strict=True):
            torch.testing.assert_close(value, expected, atol=1e-6, rtol=0)


def copy(weights: dict[str, torch.Tensor], parts: dict[str, nn.Module]) -> None:
    """Set parts to what the network's parts of these names hold."""
    for name, part in parts.items():
        values = [value for full, value in weights.items() if full.startswith(f"{name}.")]
        for parameter, value in zip(part.parameters(), values, strict=True):
            parameter.data.copy_(value)


@pytest.mark.parametrize(
    "reset",
    [
        intervention("LayerReset", at=["8st"], last=1),
        intervention("Rewind", at=["8st"], to="3st"),
        intervention("ShrinkPerturb", at=["8st"], shrink=0.0, norm_statistics="reset"),
    ],
)
def test_what_changes_the_head_later_leaves_the_new_weights_trained(reset: dict[str, Any]) -> None:
    """A resume would train others than the run, if the head forgot that it was injected."""
    finished, seen = recorded(intervention("PlasticityInjection", at=["4st"]), reset)
    last = finished.model.network.state_dict()
    assert bool(last["head.injected"])
    for part, moves in (("base", False), ("trained", True), ("subtracted", False)):
        name = f"head.{part}.hidden2.linear.weight"
        assert torch.equal(last[name], seen[9][name]) != moves, name

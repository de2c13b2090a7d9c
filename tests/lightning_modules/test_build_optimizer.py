"""Whatever form a module configures its optimizer in, it is found."""

from collections.abc import Callable
from typing import Any

import pytest
from pytorch_lightning import LightningModule
from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import StepLR

from lightning_modules.build_optimizer import Configured, build_optimizer


def configuring(configure: Callable[[nn.Module], Any]) -> LightningModule:
    class Own(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = nn.Linear(2, 2)

        def configure_optimizers(self) -> Any:
            return configure(self.network)

    return Own()


def sgd(network: nn.Module) -> SGD:
    return SGD(network.parameters(), lr=0.1)


def with_schedule(network: nn.Module) -> tuple[SGD, StepLR]:
    optimizer = sgd(network)
    return optimizer, StepLR(optimizer, 1)


FORMS: dict[str, tuple[Callable[[nn.Module], Any], bool]] = {
    "optimizer": (sgd, False),
    "list": (lambda network: [sgd(network)], False),
    "dict": (lambda network: {"optimizer": sgd(network)}, False),
    "dict with schedule": (
        lambda network: dict(
            zip(("optimizer", "lr_scheduler"), with_schedule(network), strict=True)
        ),
        True,
    ),
    "lists": (lambda network: tuple([part] for part in with_schedule(network)), True),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_module_has_one_optimizer(form: str) -> None:
    configure, scheduled = FORMS[form]
    optimizer, schedule, _ = build_optimizer(configuring(configure))
    assert isinstance(optimizer, SGD)
    assert optimizer.defaults["lr"] == 0.1
    assert isinstance(schedule, StepLR) == scheduled


@pytest.mark.parametrize("configure", [lambda _: None, lambda net: [sgd(net), sgd(net)]])
def test_none_and_several_are_none(configure: Callable[[nn.Module], Any]) -> None:
    assert build_optimizer(configuring(configure)) == Configured(None, None)


def test_it_says_when_a_schedule_steps() -> None:
    def configure(network: nn.Module) -> Any:
        optimizer, schedule = with_schedule(network)
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]

    assert build_optimizer(configuring(configure)).interval == "step"


def test_what_needs_a_running_trainer_is_not_known_before() -> None:
    class Later(LightningModule):
        def configure_optimizers(self) -> Any:
            return SGD(self.parameters(), lr=1 / self.trainer.estimated_stepping_batches)

    assert build_optimizer(Later()).optimizer is None

"""Units of low utility, replaced in training."""

from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning import Callback
from torch import Tensor, nn

from callbacks import ContinualBackprop
from plasticity_lab.errors import UserError
from tests.callbacks.interventions.arms import FROZEN, intervention, run
from tests.callbacks.interventions.test_redo import NETWORK
from tests.registry import REGISTRY, VARIANTS
from tests.runs import fit, logged, state, tiny

LAYERS = {"hidden1.linear": "hidden2.linear", "hidden2.linear": "head"}


class Reference(Callback):
    """Follows the utility of hidden units by hooks of its own, in the formula of the paper."""

    def __init__(self, adaptable: bool = False) -> None:
        self.adaptable = adaptable
        self.means = {layer: torch.zeros(()) for layer in LAYERS}
        self.utility = {layer: torch.zeros(()) for layer in LAYERS}
        self.outputs: dict[str, list[Tensor]] = {layer: [] for layer in LAYERS}
        self.steps = 0

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        for layer in LAYERS:
            block = pl_module.network.get_submodule(layer.split(".")[0])
            block.activation.register_forward_hook(
                lambda part, inputs, output, layer=layer: (
                    self.outputs[layer].append(output.detach()) if part.training else None
                )
            )

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == self.steps:
            return
        self.steps = trainer.global_step
        for layer, consumer in LAYERS.items():
            outgoing = pl_module.network.get_submodule(consumer).weight.detach().abs().mean(0)
            output = torch.cat(self.outputs[layer])
            if self.adaptable:
                incoming = pl_module.network.get_submodule(layer).weight.detach().abs().mean(1)
                outgoing = outgoing / incoming
                self.means[layer] = 0.99 * self.means[layer] + 0.01 * output.mean(0)
                output = output - self.means[layer] / (1 - 0.99**self.steps)
            size = output.abs().mean(0)
            self.utility[layer] = 0.99 * self.utility[layer] + 0.01 * size * outgoing
            self.outputs[layer] = []


def of_kind(finished: Any, name: str) -> Any:
    return next(one for one in finished.trainer.callbacks if type(one).__name__ == name)


@pytest.mark.parametrize(
    ("batches", "utility"), [(1, "contribution"), (2, "contribution"), (1, "adaptable")]
)
def test_utility_is_that_of_the_forward_passes_of_training(batches: int, utility: str) -> None:
    followed = intervention("ContinualBackprop", levels={"0ep": 0.0}, utility=utility)
    adaptable = utility == "adaptable"
    own = {"class_path": f"{__name__}.Reference", "init_args": {"adaptable": adaptable}}
    fragment = {
        "trainer": {
            "callbacks+": [followed, own],
            "accumulate_grad_batches": batches,
        },
        "model": {"init_args": NETWORK},
        "data": {"init_args": {"dataset": {"init_args": {"subset": 128}}}},
    }
    finished = fit(*tiny(fragment))
    reference = of_kind(finished, "Reference")
    known = of_kind(finished, "ContinualBackprop")._known
    assert list(known) == list(LAYERS)
    for layer, expected in reference.utility.items():
        assert torch.allclose(known[layer].utility, expected, rtol=1e-5)
        # The last step is followed by no other.
        assert (known[layer].age == 12 // batches - 1).all()


def test_it_replaces_mature_units_and_says_how_many() -> None:
    finished = run(
        intervention("ContinualBackprop", levels={"0ep": 0.25}, maturity=9), FROZEN, model=NETWORK
    )
    network = finished.model.network
    values = logged(finished.place.directory)
    # Units are 10 steps old before the 11th, and those of 12 and of 8 are due in whole numbers.
    for layer, (first, second) in {"hidden1.linear": (3, 2), "hidden2.linear": (2, 1)}.items():
        assert values[f"interventions/ContinualBackprop/units/{layer}"] == [
            (10, float(first)),
            (11, float(second)),
        ]
    assert values["interventions/ContinualBackprop/units"] == [
        (0, 0.0),
        (4, 0.0),
        (8, 0.0),
        (10, 5.0),
        (11, 3.0),
    ]
    # What was replaced before the last step, whose rate is 0, is still cut off.
    assert int((network.head.weight == 0).all(0).sum()) >= 1


def test_a_run_in_which_no_unit_is_replaced_is_the_run_without() -> None:
    followed = run(intervention("ContinualBackprop", levels={"0ep": 0.5}, maturity=11))
    assert state(followed) == state(run())


@pytest.mark.parametrize(
    "beside",
    [
        VARIANTS["SAM"],
        {"trainer": {"callbacks+": [intervention("ChurnPenalty", levels={"0ep": 1.0})]}},
    ],
    ids=["SAM", "ChurnPenalty"],
)
def test_passes_beside_that_of_training_are_not_followed(
    monkeypatch: pytest.MonkeyPatch, beside: dict[str, Any]
) -> None:
    seen: list[str] = []
    measure = ContinualBackprop.measure

    def counting(self: ContinualBackprop, layer: str, *args: Any) -> Tensor:
        seen.append(layer)
        return measure(self, layer, *args)

    monkeypatch.setattr(ContinualBackprop, "measure", counting)
    fit(*tiny(REGISTRY["ContinualBackprop"].acting, beside))
    # One layer, in all batches but the first; validation is not followed.
    assert seen == ["conv"] * 11


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"levels": {"0ep": 2}}, r"levels: 2: a replacement rate is in \[0, 1\]"),
        ({"levels": {"0ep": 0.1}, "maturity": -1}, "maturity: -1: set 0 or more steps"),
        ({"levels": {"0ep": 0.1}, "decay": 1}, "decay: 1: set 0 or more, and below 1"),
    ],
)
def test_arguments_outside_their_range_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ContinualBackprop(**arguments)


def test_a_compiled_network_is_refused() -> None:
    module: Any = nn.Module()
    module.network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    module.network.compile()
    message = "ContinualBackprop: looks at activations, which a compiled network does not show; "
    with pytest.raises(UserError, match=message + "set compile: false"):
        ContinualBackprop({"0ep": 0.1}).check(pl.Trainer(logger=False), module)

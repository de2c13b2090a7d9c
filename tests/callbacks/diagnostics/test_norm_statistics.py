"""Which statistics batch norm uses while a network is measured."""

import copy
import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from callbacks import FisherInformation, WeightDistance, diagnostics
from callbacks.diagnostics.base import ProbeDiagnostic
from lightning_modules.networks import ResNet
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.features import last_features
from plasticity_lab.measurements.gram import cosine, gram
from plasticity_lab.surgery.norm_statistics import estimate_norm_statistics, frozen_batch_norms
from plasticity_lab.timing import Time
from tests.networks import SmallNet
from tests.runs import REPOSITORY, fit, logged, state, tiny


def test_statistics_are_those_of_the_inputs_of_each_layer() -> None:
    """Layer by layer, each on the output of the layers below under their batch statistics."""
    torch.manual_seed(0)
    network, images = (
        ResNet(3, 5, depth=1, width=4).double().eval(),
        torch.randn(40, 3, 8, 8, dtype=torch.float64),
    )
    inputs: dict[nn.Module, Tensor] = {}
    twin = copy.deepcopy(network).train()  # batch statistics throughout
    for layer in twin.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.register_forward_pre_hook(
                lambda layer, args: inputs.setdefault(layer, args[0].detach())
            )
    twin(images)
    estimate_norm_statistics(network, images)
    names = [name for name, layer in network.named_modules() if isinstance(layer, nn.BatchNorm2d)]
    assert len(names) == 12
    for name in names:
        layer_input, norm = inputs[twin.get_submodule(name)], network.get_submodule(name)
        torch.testing.assert_close(norm.running_mean, layer_input.mean((0, 2, 3)))
        torch.testing.assert_close(norm.running_var, layer_input.var((0, 2, 3)))
    assert not any(layer.training for layer in network.modules())


def test_chunks_are_averaged() -> None:
    torch.manual_seed(0)
    network, images = SmallNet(1, 3).double().eval(), torch.randn(7, 1, 16, 16, dtype=torch.float64)
    parts = [network.conv(part) for part in (images[:3], images[3:5], images[5:])]
    estimate_norm_statistics(network, images, chunk=3)
    torch.testing.assert_close(
        network.norm.running_mean, torch.stack([part.mean((0, 2, 3)) for part in parts]).mean(0)
    )
    torch.testing.assert_close(
        network.norm.running_var, torch.stack([part.var((0, 2, 3)) for part in parts]).mean(0)
    )


def test_frozen_layers_keep_their_statistics() -> None:
    """A network that holds batch norm in evaluation mode trains with its running statistics."""
    torch.manual_seed(0)
    network, images = ResNet(3, 5, depth=1, width=4).train(), torch.randn(20, 3, 8, 8)
    network.get_submodule("layer1").eval()
    before, frozen = copy.deepcopy(network.state_dict()), frozen_batch_norms(network)
    assert len(frozen) == 2
    assert all(name.startswith("layer1.") for name in frozen)
    estimate_norm_statistics(network.eval(), images, frozen=frozen)
    for name, value in network.state_dict().items():
        if "running" in name:
            assert torch.equal(value, before[name]) == (name.rpartition(".")[0] in frozen), name


def test_a_forward_pass_that_fails_leaves_momenta_alone() -> None:
    network = ResNet(3, 5, depth=1, width=4)
    with pytest.raises(RuntimeError):
        estimate_norm_statistics(network, torch.randn(4, 2, 8, 8))
    assert {layer.momentum for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)} == {
        0.1
    }


class FrozenNorm(SmallNet):
    """Trains with the statistics that it began with."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__(in_channels, num_classes)
        self.norm.eval()


@pytest.mark.filterwarnings("ignore:Found 1 module")
def test_a_network_with_frozen_statistics_is_measured_as_it_is_trained() -> None:
    network = {"model": {"init_args": {"network": {"class_path": f"{__name__}.FrozenNorm"}}}}
    nodes = [
        diagnostic("FisherInformation", examples=30, norm_statistics=of)
        for of in ("estimated", "running")
    ]
    tags = logged(fit(*tiny(network, {"trainer": {"callbacks+": nodes}})).place.directory)
    assert tags["diagnostics/fisher/trace"] == tags["diagnostics_running/fisher/trace"]


def digits(*callbacks: dict[str, Any]) -> dict[str, list[tuple[int, float]]]:
    """Return what diagnostics log of configs/digits.yaml before its first batch and after one."""
    arguments = [
        "--config",
        str(REPOSITORY / "configs/digits.yaml"),
        *tiny({"trainer": {"callbacks+": list(callbacks)}})[2:],
    ]
    run = fit(
        *arguments,
        "--trainer.max_epochs",
        "1",
        "--trainer.limit_train_batches",
        "3",
        "--trainer.enable_progress_bar",
        "false",
    )
    return logged(run.place.directory)


def diagnostic(name: str, **arguments: Any) -> dict[str, Any]:
    return {"class_path": f"callbacks.{name}", "init_args": {"every": "1ep", **arguments}}


@pytest.mark.slow
def test_before_the_first_batch_values_are_those_of_the_network_that_is_trained() -> None:
    """Numbers with statistics of a pass over all training data, and with statistics 0 and 1."""
    kinds = ("FisherInformation", "FeatureRank", "CKA")
    tags = digits(
        *(diagnostic(kind, norm_statistics=of) for kind in kinds for of in ("estimated", "running"))
    )
    assert tags["diagnostics/fisher/trace"][0][1] == pytest.approx(913, abs=100)
    assert tags["diagnostics_running/fisher/trace"][0][1] == pytest.approx(1.2, abs=0.4)
    assert tags["diagnostics/effective_rank"][0][1] == pytest.approx(42.6, abs=2)
    assert tags["diagnostics_running/effective_rank"][0][1] == pytest.approx(9.25, abs=1)
    assert (
        tags["diagnostics/cka"][0][1] == tags["diagnostics_running/cka"][0][1] == pytest.approx(1)
    )


@pytest.mark.long
def test_curvature_and_kernel_before_the_first_batch() -> None:
    tags = digits(
        diagnostic("HessianEigenvalues", examples=500), diagnostic("KernelAlignment", examples=128)
    )
    assert tags["diagnostics/hessian/eigenvalue/1"][0][1] == pytest.approx(95, rel=0.15)
    assert tags["diagnostics/kernel/eigenvalue"][0][1] == pytest.approx(239_000, rel=0.2)


def test_the_same_weights_are_another_network_under_the_other_convention() -> None:
    torch.manual_seed(0)
    network, images = ResNet(1, 10, depth=1, width=8).eval(), torch.rand(200, 1, 16, 16)
    running = gram(last_features(network, images))
    estimate_norm_statistics(network, images)
    assert cosine(running, gram(last_features(network, images))) < 0.9


@pytest.mark.slow
def test_running_statistics_are_not_touched() -> None:
    """Bitwise, also amid the first epoch; the other convention measures as evaluation does."""
    callbacks = [
        diagnostic("Margins", every="1st", norm_statistics=of) for of in ("estimated", "running")
    ]
    assert state(fit(*tiny({"trainer": {"callbacks+": callbacks}}))) == state(fit(*tiny()))


def test_one_example_has_no_statistics() -> None:
    with pytest.raises(
        UserError,
        match="examples: 1: too few to estimate the statistics of batch norm on; set 2 or more",
    ):
        FisherInformation(Time("1ep"), examples=1)
    FisherInformation(Time("1ep"), examples=1, norm_statistics="running")
    WeightDistance(Time("1ep"))


def test_both_conventions_stand_beside_each_other_but_none_twice() -> None:
    twice = [diagnostic("Margins", norm_statistics="running")] * 2
    with pytest.raises(SystemExit):
        fit(*tiny({"trainer": {"callbacks+": twice}}))


@pytest.mark.parametrize("name", diagnostics.__all__)
def test_a_card_says_which_convention_the_paper_had(name: str) -> None:
    kind = getattr(diagnostics, name)
    if issubclass(kind, ProbeDiagnostic) and kind is not ProbeDiagnostic:
        card = " ".join((kind.__doc__ or "").split()).partition(
            "Batch norm: statistics are estimated on the probe"
        )[2]
        assert re.match(r", as `ProbeDiagnostic` says; (the papers?'|reference code)", card), card[
            :200
        ]

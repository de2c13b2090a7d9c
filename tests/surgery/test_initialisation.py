"""Training starts from what a network's constructor sets, and resets draw by the same rule."""

import copy
import pickle
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from lightning_modules import ImageClassifier
from lightning_modules.networks import MLP, ResNet
from plasticity_lab.errors import UserError
from plasticity_lab.randomness import seeded_global_rng
from plasticity_lab.surgery import schemes
from plasticity_lab.surgery.construction import Construction, construct
from plasticity_lab.surgery.initialisation import check_redraw, init_parameters, redraw
from tests.networks import SmallNet


class ZeroHead(SmallNet):
    """Its head is 0."""

    def __init__(self) -> None:
        super().__init__(1, 10)
        nn.init.zeros_(self.head.weight)


class ByData(SmallNet):
    """Sets values past autograd's eyes."""

    def __init__(self) -> None:
        super().__init__(1, 10)
        self.conv.weight.data.normal_(0, 0.02)


class Whole(SmallNet):
    """Has a `reset_parameters()` of its own, called by its constructor."""

    def __init__(self) -> None:
        super().__init__(1, 10)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        self.conv.reset_parameters()
        nn.init.orthogonal_(self.head.weight)


class Uncalled(SmallNet):
    """Has one that nobody calls."""

    def __init__(self) -> None:
        super().__init__(1, 10)

    def reset_parameters(self) -> None:
        nn.init.constant_(self.head.weight, 3)


class Attention(nn.Module):
    """Attention, whose parts torch initialises together."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2)
        self.head = nn.Linear(4, 10)


class Twins(nn.Module):
    """Two branches that begin alike."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(4, 10)
        self.other = copy.deepcopy(self.one)


class Tied(nn.Module):
    """Two layers with one weight, and a parameter of the network's own."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(4, 4), nn.Linear(4, 4)
        self.other.weight = self.one.weight
        self.token = nn.Parameter(torch.randn(3))


class Fourier(nn.Module):
    """A random projection that is not trained."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("projection", torch.randn(4, 4))
        self.head = nn.Linear(4, 10)


class Parametrised(nn.Module):
    """Weight norm, spectral norm, both old and new, and a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.a = parametrizations.weight_norm(nn.Linear(4, 4))
        self.b = parametrizations.spectral_norm(nn.Linear(4, 4))
        self.c = nn.utils.weight_norm(nn.Linear(4, 4))
        self.d = nn.utils.spectral_norm(nn.Linear(4, 4))
        self.e = prune.random_unstructured(nn.Linear(4, 4), "weight", amount=0.5)  # type: ignore[no-untyped-call]


CUSTOM: list[type[nn.Module]] = [
    ZeroHead,
    ByData,
    Whole,
    Uncalled,
    Attention,
    Twins,
    Tied,
    Fourier,
    Parametrised,
]
PLAIN: list[Callable[[], nn.Module]] = [
    lambda: construct(ResNet, 1, 10, depth=1, width=4),
    lambda: construct(MLP, 1, 10, 4, widths=[3]),
    lambda: construct(SmallNet, 1, 10),
    lambda: construct(nn.Sequential, nn.Linear(2, 2)),
]


def initial(network: nn.Module, seed: int = 0) -> nn.Module:
    init_parameters(network, seed)
    return network


def same_state(first: nn.Module, second: nn.Module) -> bool:
    states = first.state_dict(), second.state_dict()
    return states[0].keys() == states[1].keys() and all(
        torch.equal(states[0][name], states[1][name]) for name in states[0]
    )


def names(network: nn.Module) -> list[str]:
    return [name for name, _ in network.named_modules()]


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated")
@pytest.mark.parametrize("kind", CUSTOM)
def test_what_the_constructor_sets_is_where_training_starts(kind: type[nn.Module]) -> None:
    network = initial(construct(kind), 7)
    with seeded_global_rng(7, "init", "."):
        built: Any = kind()
    if kind is Uncalled:
        built.reset_parameters()
    assert same_state(network, built)
    assert same_state(network, initial(construct(kind), 7))
    if kind is not Fourier:
        assert not same_state(network, initial(construct(kind), 8))
    again = redraw(network, names(network), lambda name: (7, "init", name))
    assert all(torch.equal(tensor, again[name]) for name, tensor in network.state_dict().items())
    fresh = redraw(network, names(network), lambda name: (7, "LayerReset", 3, name))
    assert set(fresh) == set(again)
    assert not all(torch.equal(fresh[name], again[name]) for name in fresh)
    check_redraw(network, names(network))


def test_zero_heads_and_attention_are_as_their_papers_say() -> None:
    network: Any = initial(construct(ZeroHead))
    assert not network.head.weight.any()
    assert network.conv.weight.any()
    attention: Any = initial(construct(Attention))
    assert not attention.attention.out_proj.bias.any()
    assert attention.attention.in_proj_weight.abs().max() <= (6 / (4 + 12)) ** 0.5
    twins: Any = initial(construct(Twins))
    assert torch.equal(twins.one.weight, twins.other.weight)
    assert not redraw(network, ["head"], lambda name: (0, "LayerReset", name))["head.weight"].any()


@pytest.mark.parametrize("make", PLAIN)
def test_layers_that_draw_themselves_are_drawn_one_by_one(make: Callable[[], nn.Module]) -> None:
    network = initial(make(), 3)
    for name, layer in network.named_modules():
        if hasattr(layer, "reset_parameters"):
            reset, redrawn = (
                copy.deepcopy(layer),
                redraw(network, [name], lambda name: (3, "init", name)),
            )
            with seeded_global_rng(3, "init", name):
                reset.reset_parameters()
            for part, tensor in reset.state_dict().items():
                assert torch.equal(tensor, redrawn[f"{name}.{part}"])
                assert torch.equal(tensor, network.state_dict()[f"{name}.{part}"])


def drawn(network: nn.Module, seed: int) -> dict[str, Tensor]:
    return redraw(network, ["conv", "norm"], lambda name: (seed, "LayerReset", name))


def test_a_draw_leaves_network_and_global_stream_alone() -> None:
    network: Any = initial(construct(SmallNet, 1, 10))
    network.norm.running_mean += 5
    before, stream = copy.deepcopy(network), torch.get_rng_state()
    first, again, reseeded = (drawn(network, seed) for seed in (0, 0, 1))
    assert torch.equal(first["conv.weight"], again["conv.weight"])
    assert not torch.equal(first["conv.weight"], reseeded["conv.weight"])
    assert not first["norm.running_mean"].any()
    assert torch.equal(torch.get_rng_state(), stream)
    assert same_state(network, before)
    assert nn.Linear.reset_parameters.__qualname__ == "Linear.reset_parameters", (
        "torch is as it was"
    )
    assert not hasattr(nn.Linear.reset_parameters, "__wrapped__")


def test_copies_know_how_they_were_built() -> None:
    network = construct(ZeroHead)
    for twin in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert same_state(initial(twin, 4), initial(construct(ZeroHead), 4))


class Wrapper(nn.Module):
    """Holds a network that it is given."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network


def test_a_network_among_the_arguments_keeps_what_its_constructor_set() -> None:
    built: Any = initial(construct(Wrapper, construct(ZeroHead)), 3)
    assert not built.network.head.weight.any()
    assert built.network.conv.weight.any()
    fresh = redraw(built, names(built), lambda name: (0, "LayerReset", name))
    assert not fresh["network.head.weight"].any()
    by_hand = ZeroHead()
    wrapper: Any = initial(construct(Wrapper, by_hand), 3)
    assert same_state(wrapper.network, by_hand)


def test_networks_among_the_arguments_are_built_again_too() -> None:
    class Holder(nn.Module):
        def __init__(self, parts: dict[str, list[nn.Module]]) -> None:
            super().__init__()
            self.part = parts["x"][0]
            nn.init.zeros_(self.part.get_parameter("head.bias"))

    network: Any = construct(Holder, parts={"x": [construct(SmallNet, 1, 10)]})
    initial(network, 0)
    start = copy.deepcopy(network)
    nn.init.ones_(network.part.head.weight)
    fresh = redraw(network, names(network), lambda name: (0, "init", name))
    assert all(torch.equal(tensor, fresh[name]) for name, tensor in start.state_dict().items()), (
        "not from what was trained since"
    )
    assert not same_state(
        start, initial(construct(Holder, parts={"x": [construct(SmallNet, 1, 10)]}), 1)
    )


def test_an_instance_made_by_hand_keeps_its_values_and_cannot_be_drawn_again() -> None:
    network = SmallNet(1, 10)
    original = copy.deepcopy(network)
    module = ImageClassifier(network, lambda parameters: torch.optim.SGD(parameters, lr=0.1))
    assert same_state(network, original)
    with pytest.raises(
        UserError,
        match=(
            r"SmallNet: how its values were drawn is not known, .*; build it by "
            "plasticity_lab.surgery.construct"
        ),
    ):
        check_redraw(module.network, ["head"], holder=module)
    with pytest.raises(
        UserError,
        match="initialisation: kaiming_fan_out: SmallNet: how its values were drawn is not known",
    ):
        init_parameters(network, 0, "kaiming_fan_out")


def test_what_cannot_be_reproduced_is_refused_by_name() -> None:
    draws = torch.Generator().manual_seed(0)

    class Elsewhere(SmallNet):
        def __init__(self) -> None:
            super().__init__(1, 10)
            nn.init.normal_(self.head.weight, generator=draws)

    network: Any = construct(Elsewhere)
    check_redraw(network, ["conv"])
    with pytest.raises(
        UserError, match=r"head.weight: cannot be drawn again, as it is drawn from elsewhere"
    ):
        check_redraw(network, ["conv", "head"])
    for model in (network, construct(SmallNet, 1, 10)):
        prune.l1_unstructured(model.head, "weight", amount=0.5)  # type: ignore[no-untyped-call]
        for attempt in (
            check_redraw,
            lambda module, names: redraw(module, names, lambda name: (0, name)),
        ):
            with pytest.raises(
                UserError,
                match=(
                    r"head: cannot be drawn again, as head.weight, head.weight_mask, .* changed "
                    "after"
                ),
            ):
                attempt(model, ["head"])


class Numpys(nn.Linear):
    """Drawn by its own `reset_parameters()`, from elsewhere."""

    def reset_parameters(self) -> None:
        with torch.no_grad():
            self.weight.copy_(
                torch.as_tensor(np.random.default_rng().normal(size=self.weight.shape))
            )
            nn.init.zeros_(self.bias)


class Outside(nn.Module):
    def __init__(self, plain: bool) -> None:
        super().__init__()
        self.layer = Numpys(4, 4)
        if not plain:
            nn.init.zeros_(self.layer.bias)


@pytest.mark.parametrize("plain", [True, False])
def test_training_does_not_start_from_what_no_seed_decides(plain: bool) -> None:
    with pytest.raises(
        UserError,
        match=(
            r"layer.weight: cannot be drawn again, as it is drawn from elsewhere than torch's "
            r"global"
        ),
    ):
        init_parameters(construct(Outside, plain), 0)


def test_an_argument_may_be_called_kind() -> None:
    class Kind(nn.Linear):
        def __init__(self, kind: str) -> None:
            super().__init__(2, {"wide": 9, "narrow": 3}[kind])

    assert construct(Kind, kind="wide").weight.shape == (9, 2)


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated")
@pytest.mark.parametrize("scheme", ["kaiming_fan_out", "kaiming_uniform_norm"])
@pytest.mark.parametrize("wrap", [parametrizations.weight_norm, nn.utils.weight_norm])
def test_schemes_reach_weights_under_weight_norm(wrap: Any, scheme: Any) -> None:
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = wrap(nn.Conv2d(3, 8, 3))

        def forward(self, x: Tensor) -> Any:
            return self.conv(x)

    network = construct(Wrapped)
    init_parameters(network, 3, scheme)
    network(torch.zeros(1, 3, 5, 5))  # the old one computes its weight now
    with seeded_global_rng(3, "init", "."):
        Wrapped()
        drawn = torch.empty(8, 3, 3, 3)
        if scheme == "kaiming_fan_out":
            nn.init.kaiming_normal_(drawn, mode="fan_out", nonlinearity="relu")
        else:
            nn.init.kaiming_normal_(drawn)
    torch.testing.assert_close(cast(Any, network.conv).weight.detach(), drawn)


@pytest.mark.parametrize(
    "wrap", [parametrizations.spectral_norm, nn.utils.spectral_norm, parametrizations.orthogonal]
)
def test_schemes_refuse_weights_that_cannot_be_what_is_drawn(wrap: Any) -> None:
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = wrap(nn.Conv2d(3, 8, 3))

    with pytest.raises(
        UserError,
        match=r"initialisation: .*Conv2d: its weight is computed from others, and cannot be set",
    ):
        init_parameters(construct(Wrapped), 3, "kaiming_fan_out")


def test_synchronised_batch_norm_is_batch_norm() -> None:
    scales = []
    for network in (nn.BatchNorm2d(50), nn.SyncBatchNorm(50)):
        with seeded_global_rng(0, "norm"):
            schemes.apply("kaiming_uniform_norm", network)
        scales.append(network.weight.detach())
    assert torch.equal(*scales)
    assert scales[0].std() > 0.2


def test_the_construction_is_no_part_of_the_state() -> None:
    network = construct(SmallNet, 1, 10)
    assert Construction.of(network)
    assert list(network.state_dict()) == list(SmallNet(1, 10).state_dict())
    assert not [name for layer in network.modules() for name in vars(layer) if "reset" in name]


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated")
def test_weights_that_are_computed_can_be_copied() -> None:
    network = construct(Parametrised)
    copy.deepcopy(ImageClassifier(network, lambda parameters: torch.optim.SGD(parameters, lr=0.1)))


def kaiming_of_torchvision(network: nn.Module) -> None:
    """What torchvision's, ReScience's and DASH's ResNet do after building their layers."""
    for m in network.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(m, (nn.BatchNorm2d, nn.GroupNorm)):
            nn.init.constant_(m.weight, 1)
            nn.init.constant_(m.bias, 0)


def kaiming_of_open_lth(w: nn.Module) -> None:
    """open_lth's `kaiming_normal` and `uniform`, applied to each layer."""
    if isinstance(w, (nn.Linear, nn.Conv2d)):
        nn.init.kaiming_normal_(w.weight)
    if isinstance(w, nn.BatchNorm2d):
        w.weight.data = torch.rand(w.weight.data.shape)
        w.bias.data = torch.zeros_like(w.bias.data)


@pytest.mark.parametrize("scheme", ["kaiming_fan_out", "kaiming_uniform_norm"])
@pytest.mark.parametrize("zero", [False, True])
def test_schemes_are_the_authors_lines_and_resets_draw_by_them(scheme: Any, zero: bool) -> None:
    network: Any = construct(ZeroHead) if zero else construct(ResNet, 1, 10, depth=1, width=4)
    init_parameters(network, 5, scheme)
    authors = (
        kaiming_of_torchvision
        if scheme == "kaiming_fan_out"
        else lambda module: module.apply(kaiming_of_open_lth)
    )
    if zero:
        with seeded_global_rng(5, "init", "."):
            expected: nn.Module = ZeroHead()
            for layer in expected.modules():
                if not list(layer.children()):
                    authors(layer)
        assert same_state(network, expected)
    else:
        for name, layer in network.named_modules():
            if hasattr(layer, "reset_parameters"):
                twin: Any = copy.deepcopy(layer)
                with seeded_global_rng(5, "init", name):
                    twin.reset_parameters()
                    authors(twin)
                assert same_state(layer, twin), name
    again = redraw(network, names(network), lambda name: (5, "init", name))
    assert all(torch.equal(tensor, again[name]) for name, tensor in network.state_dict().items())


def spread(tensor: Tensor) -> float:
    return float(tensor.detach().std(correction=0))


def test_schemes_have_the_papers_spread() -> None:
    fan_out, uniform = (construct(ResNet, 3, 10, width=32) for _ in range(2))
    init_parameters(fan_out, 0, "kaiming_fan_out")
    init_parameters(uniform, 0, "kaiming_uniform_norm")
    for model, fan in ((fan_out, 64 * 9), (uniform, 32 * 9)):
        weight: Any = model.get_parameter("layer2.0.conv1.weight")
        assert spread(weight) == pytest.approx((2 / fan) ** 0.5, rel=0.03)
    scales = torch.cat(
        [layer.weight.detach() for layer in uniform.modules() if isinstance(layer, nn.BatchNorm2d)]
    )
    assert 0 <= scales.min() < 0.02
    assert 0.98 < scales.max() <= 1
    assert all(
        layer.weight.eq(1).all() for layer in fan_out.modules() if isinstance(layer, nn.BatchNorm2d)
    )


def test_another_name_for_what_the_constructor_calls_draws_nothing_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As pytorch_lightning.demos sets it for all of torch's attention when it is imported."""
    with seeded_global_rng(7, "init", "."):
        built = Attention()
    monkeypatch.setattr(
        nn.MultiheadAttention,
        "reset_parameters",
        nn.MultiheadAttention._reset_parameters,
        raising=False,
    )
    assert same_state(initial(construct(Attention), 7), built)

"""A run with a diagnostic is the run without it, bit for bit, in every way a run can be."""

import gc
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import nn

from callbacks import diagnostics
from plasticity_lab.measurements.preserve_state import preserve_state
from plasticity_lab.runs.build import build
from plasticity_lab.runs.parse import parse
from plasticity_lab.studies.state_hash import state_hash
from tests.callbacks.interventions.arms import ALL
from tests.registry import DIAGNOSTIC_NODES, DIAGNOSTICS, VARIANTS
from tests.runs import fit, logged, pictures, state, tiny
from tests.studies.test_fork import check as check_segments
from tests.test_contracts import FEW_OF_EVERY_KIND, check_resumes

pytestmark = pytest.mark.usefixtures("plain_layout")

MIXED = {"bf16": "precision", "accumulation": "accumulate_grad_batches"}
WAYS: dict[str, dict[str, Any]] = {
    **{
        name: VARIANTS[name]
        for name in ("fp32", "adam", "SAM", "DirectFeedbackAlignment", "FeedbackAlignment")
    },
    "all interventions": ALL,
    "bf16, accumulation": {
        "trainer": {part: VARIANTS[name]["trainer"][part] for name, part in MIXED.items()}
    },
    "frozen, streaming": {
        **VARIANTS["streaming"],
        "trainer": {
            "callbacks+": [{"class_path": "tests.callbacks.diagnostics.test_contract.Frozen"}]
        },
    },
}
"""Those whose effects are apart from each other are tested together."""


class Frozen(Callback):
    """Freezes a layer, and keeps a norm in evaluation mode."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        network: Any = pl_module.network
        network.conv.weight.requires_grad_(False)
        network.norm.eval()


class Draws(Callback):
    """Records what the global streams would draw next, gradients and modes, after every batch."""

    def __init__(self) -> None:
        self.found: list[Any] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        grads = [
            None if value.grad is None else state_hash(value.grad)
            for value in pl_module.parameters()
        ]
        modes = [part.training for part in pl_module.modules()]
        frozen = [value.requires_grad for value in pl_module.parameters()]
        hooks = [len(part._forward_hooks) for part in pl_module.modules()]
        self.found.append((grads, modes, frozen, hooks, state_hash(torch.random.get_rng_state())))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        (Path(trainer.default_root_dir) / "draws.txt").write_text(repr(self.found))


DRAWS = {
    "trainer": {"callbacks+": [{"class_path": "tests.callbacks.diagnostics.test_contract.Draws"}]}
}
EVERYTHING = {"trainer": {"callbacks+": DIAGNOSTIC_NODES}}
OF_STAGES = DIAGNOSTICS["StageAccuracy"]
WAYS["stages"] = {"data": OF_STAGES["data"]}
OF_WIDTH = DIAGNOSTICS["InfiniteWidthReference"]
WAYS["wide"] = {"model": OF_WIDTH["model"]}
OF_TEACHERS = DIAGNOSTICS["NodeCorrelation"]
WAYS["teacher"] = {part: OF_TEACHERS[part] for part in ("model", "data")}
EVERYTHING_OF_STAGES = {
    "trainer": {
        "callbacks+": [
            *EVERYTHING["trainer"]["callbacks+"],
            *OF_STAGES["trainer"]["callbacks+"],
        ]
    }
}


@cache
def without(way: str) -> tuple[dict[str, str], dict[str, list[tuple[int, float]]], str]:
    finished = fit(*tiny(WAYS[way], DRAWS))
    return (
        state(finished),
        logged(finished.place.directory),
        (finished.place.directory / "draws.txt").read_text(),
    )


def check_invisible(way: str, fragment: dict[str, Any]) -> None:
    finished = fit(*tiny(WAYS[way], fragment, DRAWS))
    expected, logs, draws = without(way)
    found = logged(finished.place.directory)
    assert state(finished) == expected
    assert {
        tag: values for tag, values in found.items() if not tag.startswith("diagnostics/")
    } == logs
    assert (finished.place.directory / "draws.txt").read_text() == draws
    assert any(tag.startswith("diagnostics/") for tag in found), "it measured something"
    if fragment is EVERYTHING:
        shown = pictures(finished.place.directory)
        assert any(tag.startswith("diagnostics/") for tag in shown), "which resumes compare"


def test_every_diagnostic_is_registered() -> None:
    assert {*diagnostics.__all__} - {
        "Diagnostic",
        "ProbeDiagnostic",
        "Dashboard",
        "Look",
        "Probe",
    } == {*DIAGNOSTICS}


@pytest.mark.long
@pytest.mark.parametrize("name", DIAGNOSTICS)
def test_a_diagnostic_is_invisible(name: str) -> None:
    """Which one it is, where all together are not."""
    ways = {
        "StageAccuracy": "stages",
        "InfiniteWidthReference": "wide",
        "NodeCorrelation": "teacher",
    }
    check_invisible(ways.get(name, "fp32"), DIAGNOSTICS[name])


@pytest.mark.parametrize(
    "way",
    [
        *(["fp32"]),
        *(
            pytest.param(
                way,
                # These two differ from SGD and from direct feedback in what no diagnostic looks at.
                marks=pytest.mark.long
                if way in ("adam", "FeedbackAlignment")
                else pytest.mark.slow,
            )
            for way in WAYS
            if way != "fp32"
        ),
    ],
)
def test_all_together_are_invisible(way: str) -> None:
    of_their_own = {"stages": EVERYTHING_OF_STAGES, "wide": OF_WIDTH, "teacher": OF_TEACHERS}
    check_invisible(way, of_their_own.get(way, EVERYTHING))


@pytest.mark.slow
def test_a_resume_is_bitwise_in_stages() -> None:
    check_resumes(WAYS["stages"], EVERYTHING_OF_STAGES, FEW_OF_EVERY_KIND, every=99, first=3)


@pytest.mark.slow
def test_a_resume_is_bitwise_of_a_wide_network() -> None:
    check_resumes(OF_WIDTH, FEW_OF_EVERY_KIND, every=4)


@pytest.mark.slow
def test_a_resume_is_bitwise_from_every_kind_of_checkpoint() -> None:
    """With all interventions, from a fourth of a few checkpoints."""
    check_resumes(EVERYTHING, ALL, FEW_OF_EVERY_KIND, every=4)


@pytest.mark.slow
def test_segments_of_a_study_are_the_run() -> None:
    check_segments(EVERYTHING)


@pytest.mark.slow
@pytest.mark.parametrize(
    "way",
    [
        pytest.param(
            # Minutes on processors that emulate it.
            {"trainer": {"precision": "bf16-mixed"}},
            id="bf16",
            marks=pytest.mark.long,
        ),
        pytest.param(
            {"model": {"init_args": {"compile": True}}}, id="compiled", marks=pytest.mark.long
        ),
    ],
)
def test_first_values_are_those_of_full_precision_uncompiled(way: dict[str, Any]) -> None:
    """At the beginning, where the weights are the same."""

    def first(*fragments: dict[str, Any]) -> dict[str, tuple[int, float]]:
        tags = logged(fit(*tiny(EVERYTHING, *fragments)).place.directory)
        return {
            tag: values[0]
            for tag, values in tags.items()
            if tag.startswith("diagnostics/") and values[0][0] == 0
        }

    expected = first()
    assert expected
    assert first(way) == expected


def test_what_it_finds_is_restored_even_after_an_error(request: pytest.FixtureRequest) -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).train()
    network[1].eval()
    torch.set_float32_matmul_precision("high")
    request.addfinalizer(lambda: torch.set_float32_matmul_precision("highest"))

    def found() -> tuple[Any, ...]:
        precisions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
        return (
            state_hash(network.state_dict()),
            state_hash(torch.random.get_rng_state()),
            precisions,
        )

    before = found()

    def look() -> None:
        with preserve_state(network):
            assert not network.training
            convolutions: Any = torch.backends.cudnn
            assert (
                torch.backends.cuda.matmul.fp32_precision
                == convolutions.conv.fp32_precision
                == "ieee"
            )
            torch.rand(3)
            network.train()
            network(torch.randn(5, 2))
            raise KeyError

    with pytest.raises(KeyError):
        look()
    assert found() == before
    assert [part.training for part in network.modules()] == [True, True, False]


@pytest.mark.slow
def test_memory_returns_to_its_level() -> None:
    def tensors() -> int:
        gc.collect()
        return sum(
            one.numel() for one in gc.get_objects() if type(one) in (torch.Tensor, nn.Parameter)
        )

    levels: list[int] = []

    class Level(Callback):
        """Counts what tensors hold."""

        def on_train_batch_start(
            self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
        ) -> None:
            if batch_idx == 1:
                levels.append(tensors())

    build(parse(["fit", *tiny(EVERYTHING, {"trainer": {"max_epochs": 4}})]), extra=[Level()]).fit()
    assert levels[2] == levels[3], "after the third epoch's measurements as after the second one's"

"""Which interventions and diagnostics work with which networks: docs/concepts/networks.md.

`python -m tests.network_table` writes the table.
"""

import math
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import torch
import yaml
from pytorch_lightning import Callback
from pytorch_lightning.loggers.logger import DummyLogger
from torch import Tensor, nn
from torchvision.models import VisionTransformer

import callbacks
from callbacks.diagnostics.base import check_diagnostic
from callbacks.diagnostics.run_look import blank_look
from callbacks.interventions.base import Intervention
from plasticity_lab.errors import UserError
from plasticity_lab.runs.build import build
from plasticity_lab.runs.parse import parse
from tests.flipped_digits import FlippedDigits
from tests.runs import REPOSITORY, TINY

PAGE = REPOSITORY / "docs" / "concepts" / "networks.md"
BEGIN, END = "<!-- table: python -m tests.network_table -->\n", "<!-- end of the table -->\n"


class TinyVisionTransformer(VisionTransformer):
    """A small one of torchvision's own class, with torch's attention, for grey images."""

    def __init__(self, num_classes: int, image_size: int) -> None:
        super().__init__(image_size, 4, 1, 2, 16, 32, num_classes=num_classes)
        self.conv_proj = nn.Conv2d(1, 16, 4, 4)
        self.blocks = ("conv_proj", "encoder", "heads")

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = super().forward(x)
        return logits


class Tags(DummyLogger):
    """Notes what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        self.found |= {*metrics}
        assert all(math.isfinite(value) for value in metrics.values()), metrics


def _ours(kind: str, /, **arguments: Any) -> dict[str, Any]:
    return {"class_path": f"lightning_modules.networks.{kind}", "init_args": arguments}


_SMALL_VIT = {"patch": 8, "depth": 1, "width": 12, "heads": 2}

NETWORKS: dict[str, dict[str, Any]] = {
    "`ResNet`": _ours("ResNet", depth=1, width=2),
    "`ResNet`, `block: pre`, group norm": _ours(
        "ResNet", depth=1, width=2, block="pre", norm="group"
    ),
    "`CifarResNet`, no norm, leaky ReLU": _ours(
        "CifarResNet", depth=8, width=2, norm="none", activation="leaky_relu"
    ),
    "`AllCNN`, layer norm": _ours("AllCNN", width=0.03, norm="layer"),
    "`VGG`": _ours("VGG", depth=11, width=0.04),
    "`VGG`, no norm, CReLU": _ours("VGG", depth=11, width=0.04, norm="none", activation="crelu"),
    "`MLP`": _ours("MLP", widths=[8, 8]),
    "`MLP`, layer norm, GELU": _ours("MLP", widths=[8, 8], norm="layer", activation="gelu"),
    "`ConvN`": _ours("ConvN", depth=4),
    "`Linear`": _ours("Linear"),
    "`WideNetwork`": _ours("WideNetwork", width=8),
    "`ViT`": _ours("ViT", patch=8, depth=1, width=12, heads=2),
    "`TorchvisionNetwork`, `mobilenet_v3_small`": _ours(
        "TorchvisionNetwork", name="mobilenet_v3_small", options={"width_mult": 0.1}
    ),
    "torchvision's `VisionTransformer`": {
        "class_path": "tests.network_table.TinyVisionTransformer"
    },
    "`TimmNetwork`, a small ResNet": _ours(
        "TimmNetwork", name="test_resnet", options={"channels": [8, 8, 8, 8]}
    ),
    "`TimmNetwork`, a small vision transformer": _ours(
        "TimmNetwork", name="test_vit", options={"depth": 1}
    ),
}

_AT = {"at": ["1st"]}
_LEVELS = {"levels": {"1st": 0.5}}
_EVERY = {"every": "1ep"}
_PROBE = {"every": "1ep", "examples": 12}

METHODS: dict[str, dict[str, Any]] = {
    "LayerReset": {**_AT, "last": 1},
    "LayerwiseReset": {**_AT, "normalise": False},
    "PartialReset": {**_AT, "kept": "leading"},
    "Prune": _AT,
    "SelfDistillation": _AT,
    "ShrinkPerturb": {**_AT, "shrink": 0.9, "perturb": 0.01, "norm_statistics": "reset"},
    "FIRE": {**_AT, "optimizer_state": "reset"},
    "DASH": _AT,
    "StepwiseShrinkPerturb": _LEVELS,
    "NormaliseAndProject": {"levels": {"1st": 1}},
    "Rewind": {"at": ["1st"], "to": "0st", "optimizer_state": "rewind"},
    "OptimizerReset": _AT,
    "LearningRateRestart": _AT,
    "WeightDecaySchedule": _LEVELS,
    "LearningRateFactor": _LEVELS,
    "L2Init": _LEVELS,
    "SpectralRegularisation": _LEVELS,
    "ParsevalRegularisation": _LEVELS,
    "NormGainPenalty": _LEVELS,
    "FeatureNormPenalty": _LEVELS,
    "SelectiveWeightReset": {**_AT, "factor": 0.1, "utility": "gradient"},
    "SelfNormalizedReset": {"levels": {"1st": 0.1}, "longest": 1},
    "ContinualBackprop": {"levels": {"1st": 0.5}, "maturity": 0},
    "ReDo": {**_AT, "tau": 1.0, "examples": 12},
    "FisherPenalty": _LEVELS,
    "ChurnPenalty": {**_LEVELS, "examples": 10},
    "PreActivationNoise": _LEVELS,
    "NormRecalibration": _EVERY,
    "FisherInformation": {**_PROBE, "examples": 20},
    "HessianEigenvalues": {**_PROBE, "tolerance": 0.5},
    "HessianSpectrum": {**_PROBE, "steps": 3, "draws": 1, "signs": 2},
    "GradientNoise": {**_PROBE, "batch_size": 4},
    "KernelAlignment": {**_PROBE, "examples": 2},
    "Forgetting": _EVERY,
    "FeatureRank": _PROBE,
    "FewShot": {**_PROBE, "dataset": FlippedDigits(), "episodes": 4},
    "DormantUnits": _PROBE,
    "RedundantUnits": _PROBE,
    "CKA": _PROBE,
    "NeuralCode": {**_PROBE, "examples": 9},
    "NormBiases": _EVERY,
    "SourceVariance": {**_PROBE, "fixed": 1},
    "Sparsity": _EVERY,
    "Churn": _PROBE,
    "FreshReference": {**_EVERY, "updates": 1},
    "MemorisationGradients": {**_PROBE, "batch_size": 6, "draws": 2},
    "TimeToAccuracy": {"accuracy": 0.01},
    "Trainability": {**_PROBE, "steps": 2, "batch_size": 6, "repeats": 1},
    "WeightDistance": _EVERY,
    "GradientAlignment": _PROBE,
    "GradientNorms": {**_PROBE, "batch_size": 4},
    "Margins": _PROBE,
    "Flatness": {**_PROBE, "draws": 1, "noise": [0.1]},
}
"""Of interventions and diagnostics, settings that act in two batches of data without stages."""


def refusals(network: dict[str, Any]) -> dict[str, str]:
    """Train a network with all methods that it takes; return why it refuses the others, by name.

    Raises:
        AssertionError: for a method that is not refused and does nothing.
    """
    run = build(parse(["fit", *_arguments(network)]))
    run.check()
    taken, refused = [], {}
    for name, settings in METHODS.items():
        callback = getattr(callbacks, name)(**settings)
        try:
            _check(callback, run.trainer, run.model)
        except UserError as error:
            # torch's own words differ between its versions.
            refused[name] = re.sub(r" \(derivative .*?\)", "", str(error))
        else:
            taken.append(callback)

    # No pictures are drawn without TensorBoard.
    tags = Tags()
    trainer: Any = run.trainer
    trainer.loggers = [tags]
    trainer.callbacks.extend(taken)
    run.fit()
    for callback in taken:
        name = type(callback).__name__
        patterns = [f"interventions/{name}"]
        if not isinstance(callback, Intervention):
            patterns = [f"diagnostics/{tag.partition('<')[0]}" for tag in _tags(callback)]
        assert any(tag.startswith(tuple(patterns)) for tag in tags.found), f"{name} logs nothing"
    return refused


def _tags(callback: Any) -> tuple[str, ...]:
    return getattr(callback, "tags", None) or ("time_to_accuracy",)


def _check(callback: Callback, trainer: Any, module: Any) -> None:
    if isinstance(callback, callbacks.Diagnostic):
        check_diagnostic(callback, blank_look(trainer, module))
    else:
        check: Any = callback
        check.check(trainer, module)


def _arguments(network: dict[str, Any]) -> list[str]:
    """Return the command line of a run of two batches."""
    fragment = {
        "trainer": {"max_epochs": 1},
        "model": {"init_args": {"network": network}},
        "data": {
            "init_args": {
                "dataset": {"init_args": {"subset": 40, "validation": 0.2}},
                "batch_size": 20,
            }
        },
    }
    arguments = []
    for name, config in (("base", TINY), ("network", fragment)):
        Path(f"{name}.yaml").write_text(yaml.safe_dump(config))
        arguments += ["--config", f"{name}.yaml"]
    return arguments


def table() -> str:
    """Train every network, and return the table as Markdown."""
    found = {name: refusals(network) for name, network in NETWORKS.items()}
    notes: dict[str, str] = {}
    for reasons in found.values():
        for name in METHODS:
            if name in reasons:
                notes.setdefault(reasons[name], "abcdefghijklmnopqrstuvwxyz"[len(notes)])
    return "\n".join([*_numbered(found), "", *_rows(found, notes), "", *_legend(notes), ""])


def _numbered(found: dict[str, dict[str, str]]) -> Iterator[str]:
    for number, name in enumerate(found, 1):
        yield f"{number}. {name}"


def _rows(found: dict[str, dict[str, str]], notes: dict[str, str]) -> Iterator[str]:
    numbers = range(1, len(found) + 1)
    yield f"| | {' | '.join(map(str, numbers))} |"
    yield f"|---|{':-:|' * len(found)}"
    for name in METHODS:
        cells = [notes[why[name]] if name in why else "✓" for why in found.values()]
        yield f"| `{name}` | {' | '.join(cells)} |"


def _legend(notes: dict[str, str]) -> Iterator[str]:
    for reason, letter in notes.items():
        yield f"* **{letter}** `{reason}`"


def main() -> None:
    """Write the table into its page."""
    text = PAGE.read_text()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        PAGE.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.path.insert(0, os.getcwd())
    main()

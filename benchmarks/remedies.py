"""What remedies cost: time of a step, time of an event, and memory, against the same run without.

    OMP_NUM_THREADS=1 python benchmarks/remedies.py [--accelerator gpu] [--turns N] [--json FILE]
        [--only NAME ...]

With `--only`, these alone are measured; the others of the file stay what they were.

A ResNet is trained on digits in steps of 128, with each remedy and without, in turns. Times are
the fastest tenth of all turns' steps, as other work on a machine only adds to them; of what acts at
a moment alone, the event is the fastest step at which it acts, less a step. Memory is what tensors
hold at most: on a CPU by torch's profiler, in a run of its own.
"""

import argparse
import contextlib
import gc
import io
import itertools
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import yaml
from pytorch_lightning import Callback, LightningModule, Trainer
from torch.profiler import ProfilerActivity, profile

from plasticity_lab.runs.main import main

EVENT = 25
"""The step, of 30, at which an event happens: inside an epoch of ten."""


def _callback(name: str, **arguments: Any) -> dict[str, Any]:
    node = {"class_path": f"callbacks.{name}", "init_args": arguments}
    return {"trainer": {"callbacks+": [node]}}


def _each(name: str, strength: float = 1e-3, **arguments: Any) -> dict[str, Any]:
    return _callback(name, levels={"0ep": strength}, **arguments)


def _once(name: str, **arguments: Any) -> dict[str, Any]:
    return _callback(name, at=[f"{EVENT}st"], **arguments)


def _optimizer(name: str, **arguments: Any) -> dict[str, Any]:
    node = {"class_path": f"lightning_modules.optimizers.{name}", "init_args": arguments}
    return {"model": {"init_args": {"optimizer": node}}}


def _wrapped(kind: str, options: dict[str, Any]) -> dict[str, Any]:
    arguments = {"network": "lightning_modules.networks.ResNet", "options": options}
    node = {"class_path": f"lightning_modules.networks.{kind}", "init_args": arguments}
    return {"model": {"init_args": {"network": node}}}


def _rule(name: str, **arguments: Any) -> dict[str, Any]:
    return {
        "model": {
            "class_path": "lightning_modules.Supervised",
            "init_args": {
                "objective": {"class_path": "lightning_modules.Classification"},
                "rule": {"class_path": f"lightning_modules.{name}", "init_args": arguments},
            },
        }
    }


_AVERAGE = {"class_path": "pytorch_lightning.callbacks.EMAWeightAveraging"}


def remedies(options: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the fragments of each remedy.

    Args:
        options: of the network.
    """
    return {
        "L2Init": [_each("L2Init")],
        "L2Init, to: fresh": [_each("L2Init", to="fresh")],
        "SpectralRegularisation": [_each("SpectralRegularisation")],
        "ParsevalRegularisation": [_each("ParsevalRegularisation")],
        "FeatureNormPenalty": [_each("FeatureNormPenalty")],
        "InFeR": [_each("InFeR"), _wrapped("AuxiliaryHeadsNetwork", options)],
        "ChurnPenalty": [_each("ChurnPenalty")],
        "FisherPenalty": [_each("FisherPenalty")],
        "SAM": [_rule("SAM", rho=0.05)],
        "SelfDistillation": [_callback("SelfDistillation", at=["2st"])],
        "EMAWeightAveraging": [{"trainer": {"callbacks+": [_AVERAGE]}}],
        "StepwiseShrinkPerturb": [_each("StepwiseShrinkPerturb", 1e-5)],
        "NormaliseAndProject": [_each("NormaliseAndProject", 1.0)],
        "ContinualBackprop": [_each("ContinualBackprop", 1e-4)],
        "SelfNormalizedReset": [_each("SelfNormalizedReset", 0.02)],
        "MuonAdamW": [_optimizer("MuonAdamW", lr=1e-3)],
        "UPGD": [_optimizer("UPGD", lr=1e-2)],
        "LayerReset": [_once("LayerReset", last=4)],
        "LayerwiseReset": [
            _once("LayerwiseReset"),
            _wrapped("BoundaryNormNetwork", options),
        ],
        "PartialReset": [_once("PartialReset")],
        "ShrinkPerturb": [_once("ShrinkPerturb", shrink=0.4, perturb=0.1)],
        "DASH": [_once("DASH")],
        "FIRE": [_once("FIRE")],
        "FIRE, exact": [_once("FIRE", iterations=None)],
        "HareTortoise": [{"trainer": {"callbacks+": [_AVERAGE]}}, _once("HareTortoise")],
        "PlasticityInjection": [
            _once("PlasticityInjection"),
            _wrapped("InjectableNetwork", options),
        ],
        "ReDo": [_once("ReDo")],
        "SelectiveWeightReset": [_once("SelectiveWeightReset", factor=0.01, utility="gradient")],
    }


class Record(Callback):
    """Notes the seconds between the starts of batches, and the memory at the end."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.memory = 0
        self._before: float | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if pl_module.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        on_gpu = pl_module.device.type == "cuda"
        if on_gpu:
            torch.cuda.synchronize()
        now = time.perf_counter() if on_gpu else time.process_time()
        if self._before is not None:
            self.seconds.append(now - self._before)
        self._before = now

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if pl_module.device.type == "cuda":
            self.memory = torch.cuda.max_memory_allocated()


def config(accelerator: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of the run without a remedy."""
    network = {"class_path": "lightning_modules.networks.ResNet", "init_args": options}
    return {
        "trainer": {
            "max_epochs": 3,
            "limit_train_batches": 10,
            "limit_val_batches": 0,
            "limit_test_batches": 1,
            "enable_checkpointing": False,
            "accelerator": accelerator,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "callbacks": [{"class_path": "remedies.Record"}],
        },
        "model": {
            "class_path": "lightning_modules.ImageClassifier",
            "init_args": {
                "network": network,
                "optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 1e-3}},
            },
        },
        "data": {
            "class_path": "datamodules.ImageDataModule",
            "init_args": {"dataset": {"class_path": "datamodules.Digits"}, "batch_size": 128},
        },
    }


def run(base: dict[str, Any], fragments: list[dict[str, Any]]) -> Record:
    """Train, and return what was noted."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        arguments = []
        for number, fragment in enumerate((base, *fragments)):
            file = Path(f"{number}.yaml")
            file.write_text(yaml.safe_dump(fragment, sort_keys=False))
            arguments += ["--config", str(file)]
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            finished: Any = main(["fit", *arguments])
    (record,) = [one for one in finished.trainer.callbacks if type(one).__name__ == "Record"]
    return record  # type: ignore[no-any-return]


def peak_on_cpu(base: dict[str, Any], fragments: list[dict[str, Any]]) -> int:
    """Train, and return the bytes that all tensors held at most; the same whenever it is asked."""
    # What runs before have left would be freed in this one, and lower its peak.
    gc.collect()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run(base, fragments)
    assert profiler.profiler is not None
    results = profiler.profiler.kineto_results
    assert results is not None
    changes = sorted(
        (event.start_ns(), event.nbytes())
        for event in results.events()
        if event.name() == "[memory]"
    )
    peak: int = max(itertools.accumulate(size for _, size in changes))
    return peak


def _undisturbed(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=10)[0]


def measure(accelerator: str, turns: int, only: list[str] | None) -> dict[str, dict[str, float]]:
    """Return, for each remedy, ratios to the run without."""
    options = {"width": 64, "depth": 2} if accelerator == "gpu" else {"width": 16, "depth": 1}
    base = config(accelerator, options)
    run(base, [])  # warms up
    plain_peak = peak_on_cpu(base, []) if accelerator == "cpu" else 0
    found = {}
    for name, fragments in remedies(options).items():
        if only and name not in only:
            continue
        plain: list[float] = []
        others: list[float] = []
        events: list[float] = []
        memory: list[float] = []
        for _ in range(turns):
            without, with_it = run(base, []), run(base, fragments)
            plain += without.seconds
            others += with_it.seconds[:EVENT] + with_it.seconds[EVENT + 1 :]
            events.append(with_it.seconds[EVENT])
            if accelerator == "gpu":
                memory.append(with_it.memory / without.memory)
        if accelerator == "cpu":
            memory.append(peak_on_cpu(base, fragments) / plain_peak)
        step, own = _undisturbed(plain), _undisturbed(others)
        found[name] = {
            "step": round(own / step, 3),
            "event": round((min(events) - own) / step, 2),
            "memory": round(statistics.median(memory), 3),
        }
        print(name, found[name], flush=True)
    return found


def command() -> None:
    """Measure, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accelerator", default="cpu", choices=["cpu", "gpu"])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--json")
    parser.add_argument("--only", nargs="+", choices=list(remedies({})))
    arguments = parser.parse_args()
    device = torch.cuda.get_device_name() if arguments.accelerator == "gpu" else "cpu, one thread"
    content = {
        "device": device,
        "torch": torch.__version__,
        "remedies": measure(arguments.accelerator, arguments.turns, arguments.only),
    }
    if arguments.json:
        file = Path(arguments.json)
        if arguments.only and file.exists():
            content["remedies"] = json.loads(file.read_text())["remedies"] | content["remedies"]
        file.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    command()

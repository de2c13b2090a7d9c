"""What feedback in place of gradients costs: time of a step against backpropagation.

    OMP_NUM_THREADS=1 python benchmarks/feedback_alignment.py [--turns N] [--json FILE]

An MLP and Conv-4 are trained on digits in steps of 128, by each rule and by backpropagation, in
turns. Times are the fastest tenth of all turns' steps, as other work on a machine only adds to
them. `--accelerator gpu` measures on a GPU.
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import torch
from remedies import _rule, config, run

NETWORKS: dict[str, dict[str, Any]] = {
    "MLP": {"widths": [1000, 1000, 1000], "norm": "none"},
    "ConvN": {"depth": 4, "width": 0.5},
}
RULES: dict[str, dict[str, dict[str, Any]]] = {
    "DirectFeedbackAlignment": {
        "blocks": {},
        "blocks, binary": {"feedback": "binary"},
        "hybrid": {"layers": ["hidden*"]},
    },
    "FeedbackAlignment": {"random": {}, "sign": {"feedback": "sign"}},
}


def with_network(base: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the settings of a run with another network."""
    node = {"class_path": f"lightning_modules.networks.{name}", "init_args": NETWORKS[name]}
    model = {**base["model"], "init_args": {**base["model"]["init_args"], "network": node}}
    return {**base, "model": model}


def ratio(base: dict[str, Any], fragment: dict[str, Any], turns: int) -> float:
    """Return the time of a step by a rule over that by backpropagation."""
    plain: list[float] = []
    others: list[float] = []
    for _ in range(turns):
        plain += run(base, [_rule("Backpropagation")]).seconds
        others += run(base, [fragment]).seconds
    return statistics.quantiles(others, n=10)[0] / statistics.quantiles(plain, n=10)[0]


def measure(accelerator: str, turns: int) -> dict[str, dict[str, float]]:
    """Return the ratios of each network and rule."""
    found: dict[str, dict[str, float]] = {}
    for network in NETWORKS:
        base = with_network(config(accelerator, {}), network)
        run(base, [])  # warms up
        found[network] = {}
        for rule, variants in RULES.items():
            for variant, arguments in variants.items():
                # All blocks of an MLP are hidden layers.
                if network == "MLP" and variant == "hybrid":
                    continue
                name = f"{rule}, {variant}"
                found[network][name] = round(ratio(base, _rule(rule, **arguments), turns), 3)
                print(network, name, found[network][name], flush=True)
    return found


def command() -> None:
    """Measure, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accelerator", default="cpu", choices=["cpu", "gpu"])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--json")
    arguments = parser.parse_args()
    device = torch.cuda.get_device_name() if arguments.accelerator == "gpu" else "cpu, one thread"
    content = {
        "device": device,
        "torch": torch.__version__,
        "step": measure(arguments.accelerator, arguments.turns),
    }
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    command()

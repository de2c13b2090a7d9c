"""How numbers and metrics are written in tables and figures."""

from collections.abc import Sequence
from math import exp
from typing import TYPE_CHECKING, Any

from plasticity_lab.studies.metrics import scale, written
from plasticity_lab.tags import GROUPS

if TYPE_CHECKING:
    from plasticity_lab.studies.claims import Claim
    from plasticity_lab.studies.statistics import Interval

NOTE = "val split = test split"

_SPLITS = {
    "train": "training",
    "test": "test",
    "val": "validation",
    "val_deficit": "impaired validation",
}
_PARTS = {
    "fisher": "Fisher information",
    "hessian": "Hessian",
    "kernel": "tangent kernel",
    "cka": "CKA",
    "f_top": "gradient in top span",
    "auc": "AUC",
    "unforgettable": "never forgotten",
    "wrong": "wrong labels",
    "right": "right labels",
}


def metric_words(metric: str, configs: Sequence[dict[str, Any]]) -> str:
    """Return what a metric is, in words.

    Args:
        metric: a tag of runs' logs.
        configs: the runs' resolved configs, which say whether `val/…` is measured on the test
            split; see `note`.
    """
    first, *rest = metric.split("/")
    if first not in _SPLITS or not rest:
        parts = rest if first in GROUPS.values() else [first, *rest]
        words = ", ".join(_PARTS.get(part, part.replace("_", " ")) for part in parts)
        return f"{words} (running batch-norm statistics)" if first == GROUPS["running"] else words
    split = _SPLITS[first]
    if note(metric, configs):
        split = split.replace("validation", "test")
    return f"{split} {' '.join(rest)}"


def axis_words(metric: str, over: str | None, configs: Sequence[dict[str, Any]]) -> str:
    """Return what stands at a figure's vertical axis.

    Args:
        metric: a tag of runs' logs.
        over: how its values over time became one; None if they are drawn over time.
        configs: the runs' resolved configs.
    """
    words = metric_words(metric, configs)
    if scale(metric) == 100:
        words += " (%)"
    lines = [words, over_words(over) if over else "", note(metric, configs)]
    return "\n".join(filter(None, lines))


def over_words(over: str | None) -> str:
    """Return how values over time became one, in words."""
    text = str(over)
    if text.startswith("at "):
        return f"after {text[3:-1]} % of the run"
    return {
        "last epoch": "at the end",
        "first": "at the beginning",
        "largest": "largest value",
    }.get(text, f"mean of the {text}")


def note(metric: str, configs: Sequence[dict[str, Any]]) -> str:
    """Return a note where a metric of the validation split is one of the test split, else "".

    It is so in all runs; `StageAccuracy` measures the validation split, too.
    """
    of_validation = metric.split("/")[0] in ("val", "val_deficit") or "/stage_accuracy/" in metric
    if not of_validation:
        return ""
    for config in configs:
        dataset = (config["data"].get("init_args") or {}).get("dataset") or {}
        if (dataset.get("init_args") or {}).get("validation") != "test":
            return ""
    return NOTE


def amount(claim: "Claim", value: float, sign: str = "+") -> str:
    """Write a difference, or the ratio of which it is the logarithm."""
    return f"{exp(value):#.3g}" if claim.ratio else written(value, claim.pair.arm.metric, sign)


def gap(claim: "Claim", difference: "Interval") -> str:
    """Write a difference or ratio with its interval."""
    mean, low, high = (amount(claim, value) for value in difference)
    return f"{mean} [{low}, {high}]"


def unit(claim: "Claim") -> str:
    """Return the unit of a claim's differences after a blank, "" if they have none."""
    if claim.ratio:
        return " times"
    return " points" if scale(claim.pair.arm.metric) == 100 else ""


def probability(value: float | None) -> str:
    """Write a p-value; none as a dash."""
    if value is None:
        return "-"
    return "< .001" if value < 0.001 else f"{value:.3f}".lstrip("0")

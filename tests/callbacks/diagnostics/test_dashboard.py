"""The layout of TensorBoard's custom scalars."""

import re
from pathlib import Path
from typing import Any

import pytest
from tensorboard.plugins.custom_scalar import layout_pb2

from callbacks.diagnostics.dashboard import layout
from plasticity_lab.runs.event_files import read_events
from tests.registry import REGISTRY
from tests.runs import fit, logged, tiny

NAMES = ["rank", "weights/angle", "weights/norm"]


@pytest.mark.parametrize(
    ("tag", "chart"),
    [
        ("train/accuracy", "accuracy and interventions"),
        ("val_deficit/accuracy", "accuracy and interventions"),
        ("test/loss", "loss"),
        ("interventions/ShrinkPerturb", "accuracy and interventions"),
        ("data/stage", "data"),
        ("data/examples", "examples"),
        ("deficits/Blur", "data"),
        ("diagnostics/rank", "rank"),
        ("diagnostics/rank/layer1", "rank"),
        ("diagnostics/ranking", "other diagnostics"),
        ("diagnostics/weights/angle", "weights/angle"),
        ("diagnostics/weights/angle/norm.weight", "weights/angle"),
        ("diagnostics/weights", "other diagnostics"),
        ("diagnostics/dormant/layer1", "other diagnostics"),
        ("probe/train/accuracy", None),
        ("epoch", None),
    ],
)
def test_a_tag_has_one_chart(tag: str, chart: str | None) -> None:
    assert [
        title
        for title, (_, patterns) in layout(NAMES)["plasticity"].items()
        if shown(tag, patterns)
    ] == [chart] * bool(chart)


def shown(tag: str, patterns: list[str]) -> bool:
    """As TensorBoard looks."""
    return any(re.compile(pattern).match(tag) for pattern in patterns)


def test_without_names_all_diagnostics_share_a_chart() -> None:
    assert list(layout([])["plasticity"]) == [
        "accuracy and interventions",
        "loss",
        "data",
        "examples",
        "other diagnostics",
    ]
    assert shown("diagnostics/rank", layout([])["plasticity"]["other diagnostics"][1])


def written(directory: Path) -> Any:
    """The layouts that a run's files hold."""
    layouts = []
    for event in read_events(directory, "tensors")["custom_scalars__config__"]:
        read = layout_pb2.Layout()
        read.ParseFromString(event.tensor_proto.string_val[0])
        layouts.append(read)
    return layouts


DIAGNOSTICS: dict[str, Any] = {
    "trainer": {
        "callbacks+": [
            {"class_path": "callbacks.diagnostics.dashboard.Dashboard"},
            {
                "class_path": "callbacks.diagnostics.weight_distance.WeightDistance",
                "init_args": {"every": "1ep"},
            },
            {
                "class_path": "callbacks.diagnostics.forgetting.Forgetting",
                "init_args": {"every": "1ep"},
            },
            {
                "class_path": "callbacks.diagnostics.gradient_norms.GradientNorms",
                "init_args": {"every": "1ep"},
            },
        ]
    }
}


KEPT = {"trainer": {"callbacks+": [{"class_path": "tests.probes.EpochEnd"}]}}


def test_a_run_has_all_that_it_logs_in_one_chart_each_also_after_a_resume() -> None:
    arguments = tiny(
        REGISTRY["everything at once"].acting, REGISTRY["L2Init"].acting, DIAGNOSTICS, KEPT
    )
    home = fit(*arguments).place.directory
    fit(*arguments, "--ckpt_path", str(home / "checkpoints/epochendepoch=0.ckpt"))
    first, second = written(home)
    assert first == second
    (category,) = first.category
    assert category.title == "plasticity"
    charts = {chart.title: list(chart.multiline.tag) for chart in category.chart}
    names = [
        "accuracy and interventions",
        "loss",
        "data",
        "examples",
        *(f"weights/{name}" for name in WEIGHTS),
    ]
    names += [*(f"forgetting/{name}" for name in FORGETTING), "gradient_norm", "other diagnostics"]
    assert list(charts) == names
    tags = [tag for tag in logged(home) if not tag.startswith(("epoch", "lr"))]
    for tag in tags:
        assert len([title for title, patterns in charts.items() if shown(tag, patterns)]) == 1, tag
    for title, patterns in charts.items():
        assert any(shown(tag, patterns) for tag in tags) is (title != "other diagnostics"), title


WEIGHTS = ("norm", "distance", "relative_distance", "angle", "path_length", "update_ratio")
FORGETTING = ("events", "never_learned", "unforgettable", "learned", "aum", "el2n")

"""Margins."""

import numpy as np
import pytest
import torch

from callbacks.diagnostics.margins import Margins, plot_margins
from plasticity_lab.measurements.margins import lowest_tenth, margins, weight_norm
from plasticity_lab.timing import Time
from tests.callbacks.diagnostics.measured import check_invisible, end, last, run
from tests.runs import pictures


def test_margins_are_to_the_largest_other_logit() -> None:
    logits = torch.randn(50, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(50) % 4
    expected = [
        row[label] - max(value for other_label, value in enumerate(row) if other_label != label)
        for row, label in zip(logits.tolist(), labels.tolist(), strict=True)
    ]
    assert margins(logits, labels).tolist() == expected
    assert ((margins(logits, labels) < 0) == (logits.argmax(1) != labels)).all()


@pytest.mark.parametrize("count", [1, 9, 10, 19, 20, 57])
def test_the_tenth_is_that_of_the_reference(count: int) -> None:
    values = torch.randn(count, generator=torch.Generator().manual_seed(0))
    assert lowest_tenth(values) == float(values.kthvalue(max(count // 10, 1)).values)


def test_the_norm_is_of_weights_only() -> None:
    assert (
        weight_norm([torch.tensor([[3.0, 0.0]]), torch.tensor([100.0]), torch.tensor([[[[4.0]]]])])
        == 5
    )


def test_the_histogram_holds_all_margins() -> None:
    (axes,) = plot_margins(torch.tensor([-1.0, 0.5, 0.5, 2.0])).axes
    assert sum(bar.get_height() for bar in axes.patches) == 4  # type: ignore[attr-defined]


def test_a_run_logs_its_margins() -> None:
    finished, values = run("margins.Margins")
    network, examples = end(finished)
    with torch.no_grad():
        all_margins = margins(network(examples.inputs), examples.targets).double().numpy()
    low, middle = sorted(all_margins)[9], np.median(all_margins)  # the tenth of 100
    weights = [
        network.get_parameter(f"{layer}.weight").detach().flatten() for layer in ("conv", "head")
    ]
    norm = float(torch.cat(weights).norm())
    negative = (network(examples.inputs).argmax(1) != examples.targets).float().mean().item()
    assert 0 < negative < 1
    assert last(values) == {
        "margin/q10": low,
        "margin/median": middle,
        "margin/negative": negative,
        "normalised_margin/q10": low / norm,
        "normalised_margin/median": middle / norm,
    }
    assert [step for step, _ in pictures(finished.place.directory)["diagnostics/margins"]] == [
        0,
        3,
        7,
        11,
    ]
    check_invisible(finished, Margins(Time("1ep")))

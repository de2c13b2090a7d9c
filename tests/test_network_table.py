"""Every intervention and diagnostic works with a network, or is refused in one line."""

import inspect
import re
from collections.abc import Iterator

import pytest

from callbacks import interventions
from tests.network_table import BEGIN, END, METHODS, NETWORKS, PAGE, refusals, table
from tests.registry import DIAGNOSTICS
from tests.registry import NETWORKS as REGISTERED


def columns() -> Iterator[dict[str, str]]:
    """Yield, for each network of the page's table, what is refused and why."""
    text = PAGE.read_text()
    reasons = dict(re.findall(r"^\* \*\*(\w)\*\* `(.+)`$", text, flags=re.MULTILINE))
    rows = {
        name: [cell.strip() for cell in cells.split("|")]
        for name, cells in re.findall(r"^\| `(\w+)` \| (.+) \|$", text, flags=re.MULTILINE)
        if name in METHODS
    }
    for number in range(len(NETWORKS)):
        letters = {name: cells[number] for name, cells in rows.items()}
        yield {name: reasons[letter] for name, letter in letters.items() if letter != "✓"}


def test_everything_is_in_the_table() -> None:
    acting = {
        name
        for name in interventions.__all__
        if not inspect.isabstract(getattr(interventions, name))
    }
    # What depends on other things than the network: stages, an average, an objective, a network
    # of its own.
    others = {
        "StageAccuracy",
        "HareTortoise",
        "InFeR",
        "PlasticityInjection",
        "ShuffleMasks",
        "InfiniteWidthReference",
        "NodeCorrelation",
        "PruneUnmatchedUnits",
    }
    assert {*METHODS} == (acting | {*DIAGNOSTICS}) - others
    shown = "".join(NETWORKS)
    # Those left out are made of the same layers as one that is shown.
    assert {name for name in REGISTERED if f"`{name}`" not in shown} == {
        *(
            "DepthCNN",
            "LeNet300",
            "AuxiliaryHeadsNetwork",
            "InjectableNetwork",
            "BoundaryNormNetwork",
            "CentredNetwork",
            "TeacherMLP",
            "TwoPathNetwork",
        )
    }


@pytest.mark.parametrize(
    "name",
    [
        "`MLP`, layer norm, GELU",
        pytest.param("`ViT`", marks=pytest.mark.slow),
        pytest.param("`VGG`, no norm, CReLU", marks=pytest.mark.slow),
    ],
)
def test_a_network_does_what_the_table_says(name: str) -> None:
    expected = list(columns())[list(NETWORKS).index(name)]
    assert refusals(NETWORKS[name]) == expected


@pytest.mark.long
def test_the_table_is_that_of_the_code() -> None:
    """`python -m tests.network_table` writes it."""
    pytest.importorskip("timm")
    written = PAGE.read_text().split(BEGIN)[1].split(END)[0]
    assert written == f"\n{table()}\n"

"""A study's page in a headless browser (`pip install -e ".[browser]"`)."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import pytest

from plasticity_lab.studies.report import write_report
from tests.runs import REPOSITORY
from tests.studies.finished import done

LOSSES = (4.0, 3.0, 2.0, 1.5, 1.2, 1.1, 1.05, 1.0)
TICKS = '[...document.querySelectorAll("#plot .tick-x")].map((tick) => Number(tick.textContent))'
ROWS = '[...document.querySelectorAll(".sortable tbody th")].map((head) => head.textContent)'
LINES = (
    '[...document.querySelectorAll("#plot .mean-line")]'
    '.map((line) => [line.dataset.arm, line.getAttribute("d")])'
)


class Seen(NamedTuple):
    """What a browser has shown; `values` are those of the scripts."""

    values: list[Any]
    console: list[str]
    asked: list[str]


def browse(page: Path, width: int, *steps: str) -> Seen:
    """Open a page in a window of some width, and take some steps."""
    if find_spec("PyQt6") is None or find_spec("PyQt6.QtWebEngineCore") is None:
        pytest.skip('needs the extra "browser"')
    Path("steps.json").write_text(json.dumps(steps))
    driver = str(REPOSITORY / "tests/studies/browser.py")
    completed = subprocess.run(
        [sys.executable, driver, str(page), str(width), "steps.json", "seen.json"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    if "ImportError" in completed.stderr:
        pytest.skip(f"a library of the system is missing: {completed.stderr.splitlines()[-1]}")
    assert completed.returncode == 0, completed.stderr
    seen = json.loads(Path("seen.json").read_text())
    loaded, *values = seen["values"]
    assert loaded
    return Seen(values, seen["console"], seen["asked"])


def choose(tag: str) -> str:
    return (
        f'document.getElementById("metric").value = "{tag}";'
        'document.getElementById("metric").dispatchEvent(new Event("change"))'
    )


def click(selector: str) -> str:
    return f"document.querySelector('{selector}').click()"


def send(event: str) -> str:
    return f'document.getElementById("plot").dispatchEvent(new {event})'


def press(key: str) -> str:
    return send(f'KeyboardEvent("keydown", {{key: "{key}"}})')


def test_curves_are_chosen_switched_zoomed_and_read() -> None:
    page = write_report(done(LOSSES)) / "index.html"
    steps = {
        "axis": 'document.getElementById("axis-name").textContent',
        "choose": choose("train/loss"),
        "axis chosen": 'document.getElementById("axis-name").textContent',
        "both arms": LINES,
        "switch": click('[data-switch="1"]'),
        "one arm": LINES,
        "pressed": "document.querySelector('[data-switch=\"1\"]').ariaPressed",
        "all": click(".all-arms"),
        "all arms": LINES,
        "whole": TICKS,
        "drag": "drag: 0.4 0.7",
        "zoomed": TICKS,
        "zoomed lines": LINES,
        "reset": send('MouseEvent("dblclick")'),
        "reset ticks": TICKS,
        "log": click("#log"),
        "log lines": LINES,
        "linear": click("#log"),
        "leave": send('PointerEvent("pointerleave")'),
        "right": press("ArrowRight"),
        "read": "document.querySelector('[data-value=\"0\"]').textContent",
        "in": press("+"),
        "ticks by key": TICKS,
        "out": press("0"),
        "seeds": click("#seeds"),
        "number of seeds": 'document.querySelectorAll("#plot .seed").length',
        "file": "figureFile()",
        "only": click('[aria-label="only warm"]'),
        "only one": LINES,
        "sort": click("thead th:nth-child(3) button"),
        "sorted": ROWS,
        "sort again": click("thead th:nth-child(3) button"),
        "sorted again": ROWS,
    }
    seen = browse(page, 1000, *steps.values())
    value = dict(zip(steps, seen.values, strict=True))
    assert seen.console == []
    assert seen.asked == [page.absolute().as_uri()]

    assert value["axis"] == "test accuracy (%), val split = test split"
    assert value["axis chosen"] == "training loss"
    assert [arm for arm, _ in value["both arms"]] == ["0", "1"]
    assert value["one arm"] == value["both arms"][:1], "the axis stays, as the curves are alike"
    assert value["pressed"] == "false"
    assert value["all arms"] == value["both arms"]

    # 8 epochs over 0.94 of the width: a drag from 0.4 to 0.7 is about epochs 3.5 to 5.9.
    assert (value["whole"][0], value["whole"][-1]) == (1, 8)
    assert 3 < value["zoomed"][0] < value["zoomed"][-1] < 6
    assert value["zoomed lines"] != value["both arms"]
    assert value["reset ticks"] == value["whole"]
    assert value["log lines"] != value["both arms"]

    # Right of the middle is epoch 5, at the end of which the seeds have 1.2 and 1.3.
    assert value["read"] == "1.250 ± 0.071"
    assert 1 < value["ticks by key"][0] < value["ticks by key"][-1] < 8.1
    assert value["number of seeds"] == 4

    texts = [
        element.text for element in ElementTree.fromstring(value["file"]).iter() if element.text
    ]
    assert {"training loss", "epoch", "plain", "warm"} <= {*texts}
    assert [arm for arm, _ in value["only one"]] == ["1"]
    assert (value["sorted"], value["sorted again"]) == (["warm", "plain"], ["plain", "warm"])


@pytest.mark.parametrize("width", [360, 1280])
def test_no_page_is_wider_than_its_window(width: int) -> None:
    long = {"arm": f"an arm with {'a very long ' * 8}name"}
    page = write_report(done(LOSSES, report={"metric": "val/accuracy", "label": str(long)}))
    root = "document.documentElement"
    seen = browse(page / "index.html", width, f"[{root}.scrollWidth, {root}.clientWidth]")
    ((needed, there),) = seen.values
    assert needed <= there <= width
    assert seen.console == []


def test_a_printed_page_shows_what_is_folded() -> None:
    page = write_report(done(LOSSES)) / "index.html"
    folded = 'window.opened = 0; addEventListener("beforeprint", () => { window.opened = '
    folded += 'document.querySelectorAll("details:not([open])").length; }); 0'
    seen = browse(
        page,
        1000,
        'document.querySelectorAll("details:not([open])").length',
        folded,
        "print: page.pdf",
        "window.opened",
        'document.querySelectorAll("details:not([open])").length',
    )
    before, _, _, during, after = seen.values
    assert before == after > 0
    assert during == 0
    assert Path("page.pdf").read_bytes().startswith(b"%PDF")

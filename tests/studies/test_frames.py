"""Numbers of a study as tables."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from plasticity_lab.studies import scalars
from plasticity_lab.studies.frames import to_frame
from plasticity_lab.studies.main import main
from tests.studies.small import blurred, small

LOSS, ACCURACY = [(3, 1.0), (7, 0.5)], [(0, 0.1), (5, 0.2), (7, 1 / 3)]


def finished() -> None:
    """Write a study of two arms and two seeds, of which three runs are finished."""
    deficits = {"data.init_args.deficits": [blurred(1)["data.init_args.deficits"], []]}
    axes = [{"removed": [1, "never"], **deficits}, {"seed_everything": [0, 1]}]
    work = small({}, axes=axes)
    work.home.mkdir(parents=True)
    work.keep()
    for number in range(3):
        folder = work.folder(number)
        folder.mkdir(parents=True)
        values: dict[str, Any] = {"train/loss": LOSS, "val/accuracy": ACCURACY}
        scalars.write(folder, values)
        (folder / "run.json").write_text(json.dumps({"state": work.paths[number].states[-1]}))


def test_a_study_is_a_tidy_frame() -> None:
    finished()
    frame = to_frame("small.yaml")
    columns = ["study", "removed", "seed", "tag", "step", "epoch", "value"]
    assert list(frame.columns) == columns
    assert len(frame) == 3 * (len(LOSS) + len(ACCURACY))
    one = frame[(frame.removed == "never") & (frame.seed == 0) & (frame.tag == "val/accuracy")]
    assert one.step.tolist() == [0, 5, 7]
    assert one.epoch.tolist() == [0.0, 1.5, 2.0], "epochs end where training loss is logged"
    assert one.value.tolist() == [0.1, 0.2, 1 / 3], "as it was logged, not in percent"
    assert set(to_frame("small.yaml", tags=["train/loss"]).tag) == {"train/loss"}
    assert to_frame("small.yaml", root="elsewhere").empty


@pytest.mark.parametrize("name", ["all.csv", "all.parquet"])
def test_it_is_exported(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    finished()
    with pytest.raises(SystemExit) as stopped:
        main(["export", "small.yaml", "--to", name])
    assert not stopped.value.code
    assert capsys.readouterr().out == f"{name}: 15 values\n"
    read = pd.read_csv(name) if name.endswith("csv") else pd.read_parquet(name)
    frame = to_frame("small.yaml")
    assert read["value"].tolist() == frame["value"].tolist()
    assert read["removed"].tolist() == frame["removed"].map(str).tolist()


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("all.txt", "to: all.txt: name a file that ends in .csv or .parquet"),
        ("none/all.csv", "to: none/all.csv: its folder does not exist; make it first"),
    ],
)
def test_a_file_that_cannot_be_written_is_said(
    target: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    finished()
    with pytest.raises(SystemExit) as stopped:
        main(["export", "small.yaml", "--to", target])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
    assert not Path(target).exists()

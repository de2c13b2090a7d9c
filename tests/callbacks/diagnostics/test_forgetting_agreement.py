"""Agreement of forgetting between runs."""

from pathlib import Path

import numpy as np
import pytest

from callbacks.diagnostics.forgetting_agreement import main

TABLE = "index,label,presentations,first_learned,last_wrong,learned,events\n"


def write(name: str, rows: list[tuple[str, int]]) -> None:
    Path(name).mkdir()
    lines = [f"{index},0,5,{first},3,1,{events}\n" for index, (first, events) in enumerate(rows)]
    Path(name, "forgetting.csv").write_text(TABLE + "".join(lines))


def test_agreement_is_pearsons(capsys: pytest.CaptureFixture[str]) -> None:
    write("one", [("0", 0), ("1", 2), ("", 0), ("2", 1)])
    write("other", [("0", 1), ("1", 3), ("3", 4), ("", 0)])
    assert main(["one", "other"]) == 0
    expected = np.corrcoef([0, 2, 5, 1], [1, 3, 4, 5])[0, 1]  # never learned counts as all 5 presentations
    said = capsys.readouterr().out
    assert said.splitlines()[0] == "one: 0.75 events, 25.0% unforgettable, 25.0% never learned"
    assert said.splitlines()[-1].endswith(f"{expected:.3f}")


def test_what_is_wrong_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    write("one", [("0", 0)])
    write("longer", [("0", 0), ("0", 0)])
    for runs, message in ((["one", "none"], "none: no forgetting.csv"), (["one"], "two runs"), (["one", "longer"], "as many")):
        assert main(runs) == 2
        assert message in capsys.readouterr().err

"""Agreement of forgetting between runs."""

from pathlib import Path

import numpy as np
import pytest

from callbacks.diagnostics.forgetting_agreement import main

TABLE = "index,label,presentations,first_learned,last_wrong,learned,events\n"


def write(name: str, rows: list[tuple[str, int]], first_index: int = 0, label: int = 0) -> None:
    Path(name).mkdir()
    lines = [f"{index},{label},5,{first},3,1,{events}\n" for index, (first, events) in enumerate(rows, first_index)]
    Path(name, "forgetting.csv").write_text(TABLE + "".join(lines))


def test_agreement_is_pearsons(capsys: pytest.CaptureFixture[str]) -> None:
    write("one", [("0", 0), ("1", 2), ("", 0), ("2", 1)])
    write("other", [("0", 1), ("1", 3), ("3", 4), ("", 0)])
    assert main(["one", "other"]) == 0
    expected = np.corrcoef([0, 2, 5, 1], [1, 3, 4, 5])[0, 1]  # never learned counts as all 5 presentations
    said = capsys.readouterr().out
    assert said.splitlines()[0] == "one: 0.75 events, 25.0% unforgettable, 25.0% never learned"
    assert said.splitlines()[-1].endswith(f"{expected:.3f}")


def test_of_two_subsets_what_both_have_is_compared(capsys: pytest.CaptureFixture[str]) -> None:
    write("one", [("0", 0), ("1", 2), ("", 0), ("2", 1), ("2", 7)])
    write("other", [("1", 3), ("3", 4), ("", 0), ("0", 9), ("0", 8)], first_index=1)
    assert main(["one", "other"]) == 0
    assert capsys.readouterr().out.endswith(f"{np.corrcoef([2, 5, 1, 7], [3, 4, 5, 9])[0, 1]:.3f}\n")


def test_what_is_wrong_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [("0", 0), ("1", 2), ("", 0)]
    write("one", rows)
    write("others", rows, first_index=1)
    write("relabelled", rows, label=1)
    for runs, message in (
        (["one", "none"], "none: no forgetting.csv"),
        (["one"], "two runs"),
        (["one", "others"], "other data"),
        (["one", "relabelled"], "other data"),
    ):
        assert main(runs) == 2
        assert message in capsys.readouterr().err

"""Agreement of forgetting between runs."""

from pathlib import Path

import pytest
from scipy import stats

from plasticity_lab.analysis.forgetting_agreement import main

Rows = list[tuple[str, int, int]]
"""First presentation at which it was right, events and score of each example."""

ONE: Rows = [("0", 0, 0), ("1", 8, 8), ("", 0, 9), ("2", 1, 1), ("2", 7, 7)]
OTHER: Rows = [("0", 1, 1), ("1", 3, 3), ("3", 4, 4), ("", 0, 9), ("0", 0, 0)]


def write(
    name: str,
    rows: Rows,
    first_index: int = 0,
    label: int = 0,
    wrong: tuple[int, ...] = (),
    unseen: int | None = None,
) -> None:
    Path(name).mkdir()
    lines = ["index,label,given_label,wrong_label,presentations,first_learned,events,score"]
    for index, (first, events, score) in enumerate(rows, first_index):
        given_label = f"{label + 1},1" if index in wrong else f"{label},0"
        lines.append(
            f"{index},{label},,,0,,0,"
            if index == unseen
            else f"{index},{label},{given_label},9,{first},{events},{score}"
        )
    Path(name, "forgetting.csv").write_text("\n".join(lines))


def printed_lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert main(["one", "other"]) == 0
    return capsys.readouterr().out.splitlines()


def expected(first: list[int], second: list[int]) -> list[str]:
    return [
        f"Spearman's rank correlation: {stats.spearmanr(first, second).statistic:.3f}",
        f"Pearson's correlation: {stats.pearsonr(first, second).statistic:.3f}",
    ]


def test_never_learned_examples_rank_highest(capsys: pytest.CaptureFixture[str]) -> None:
    write("one", ONE)
    write("other", OTHER)
    lines = printed_lines(capsys)
    assert lines[0] == (
        "one: 5 examples, 0.0% with wrong labels; 20.0% never forgotten, 20.0% never learned, "
        "4.00 events of each other one"
    )
    assert lines[-2:] == expected([0, 8, 9, 1, 7], [1, 3, 4, 9, 0])


def test_of_two_subsets_what_both_have_is_compared(capsys: pytest.CaptureFixture[str]) -> None:
    write("one", ONE)
    write("other", OTHER, first_index=1)
    assert printed_lines(capsys)[-2:] == expected([8, 9, 1, 7], [1, 3, 4, 9])


def test_what_either_run_mislabelled_or_never_saw_is_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    more: Rows = [("0", 4, 4), ("0", 5, 5)]
    write("one", ONE + more, wrong=(1,))
    write("other", OTHER + more[::-1], wrong=(4, 1), unseen=0)
    lines = printed_lines(capsys)
    assert "7 examples, 14.3% with wrong labels" in lines[0]
    assert "6 examples" in lines[1]
    assert lines[-2:] == expected([9, 1, 4, 5], [4, 9, 5, 4])


def test_what_is_wrong_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    write("one", ONE)
    write("others", ONE, first_index=3)
    write("relabelled", ONE, label=1)
    write("permuted", ONE, wrong=(0, 1, 2, 3, 4))
    write("constant", [("0", 0, 0)] * 5)
    Path("old").mkdir()
    Path("old", "forgetting.csv").write_text(
        "index,label,presentations,first_learned,events\n0,0,9,0,0\n"
    )
    for runs, message in (
        (["one", "none"], "none: no forgetting.csv"),
        (["one"], "runs: name two or more"),
        (["one", "others"], "share 2 examples"),
        (["one", "relabelled"], "other data"),
        (["one", "permuted"], "share 0 examples that both had under their own labels"),
        (["one", "constant"], "all examples equally often"),
        (
            ["one", "old"],
            "old/forgetting.csv: has no column wrong_label; an older version wrote it",
        ),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(runs)
        assert stopped.value.code == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1

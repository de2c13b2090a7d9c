"""A user's mistake: its fields, and the line that they make."""

import pickle
from typing import Any

import pytest

from plasticity_lab.errors import NOTHING, UserError


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        (("perturb", -1, "", "set 0 or more"), "perturb: -1: set 0 or more"),
        (
            ("name", None, "a study needs one", "set it"),
            "name: None: a study needs one; set it",
        ),
        (
            ("norm", NOTHING, "the network has none", "remove it"),
            "norm: the network has none; remove it",
        ),
        (("budget", NOTHING, "the run has no step"), "budget: the run has no step"),
        (("a line of another's",), "a line of another's"),
    ],
)
def test_a_line_has_key_value_problem_and_fix(fields: Any, line: str) -> None:
    error = UserError(*fields)
    assert str(error) == line
    assert str(pickle.loads(pickle.dumps(error))) == line
    assert str(error.within("runs", 3)) == f"runs: 3: {line}"
    assert (error.within("runs").value, error.within("runs").fix) == (error.value, error.fix)


def test_a_mistake_comes_from_another_process_whatever_it_is_about() -> None:
    error = UserError("file", value=print, problem=ValueError(lambda: 0))
    assert str(pickle.loads(pickle.dumps(error))) == str(error)

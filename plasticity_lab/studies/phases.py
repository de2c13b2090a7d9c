"""A study whose coefficients are chosen first is two: that of the candidates, then its own."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from plasticity_lab.errors import UserError
from plasticity_lab.studies.metrics import read_over, scale
from plasticity_lab.studies.outcome import Cause
from plasticity_lab.studies.scalars import read
from plasticity_lab.studies.selection import SELECTION, Choice, Selection, choose
from plasticity_lab.studies.study_file import Run, Study, read_study, shown
from plasticity_lab.studies.wording import note

if TYPE_CHECKING:
    from plasticity_lab.studies.study_context import StudyContext


def phase(study: Study, opened: Callable[[Study], "StudyContext | None"]) -> "StudyContext | None":
    """Return the study that is to be run now: of the candidates, until something is chosen.

    Args:
        study: the content of its file.
        opened: opens a study; None if it cannot.

    Raises:
        UserError: if candidates are compared by what is measured on the test split.
    """
    selection = study.selection
    if not selection:
        return opened(study)
    trial = opened(candidates(study, selection))
    if trial is None:
        return None
    _check_validation(trial, selection)
    choices = decided(trial, selection)
    return trial if choices is None else opened(with_choices(study, choices))


def candidates(study: Study, selection: Selection) -> Study:
    """Return the study of all candidates, each with the seeds of the selection.

    It has a name and a folder of its own.

    Args:
        study: whose coefficients are chosen.
        selection: how.
    """
    plain = read_study(study.file, study.config, selection.seeds)
    runs = [_candidate(run) for run in _distinct(plain.runs)]
    report = {"metric": selection.metric, "over": selection.read, "x": "arm", "figure": "bar"}
    return plain._replace(
        name=selection_name(study),
        runs=runs,
        report=report,
        claims=[],
        selection=None,
        chooses_for=study.name,
    )


def selection_name(study: Study) -> str:
    """Return the name of the study that chooses the coefficients of another."""
    return f"{study.name}{SELECTION}"


def _distinct(runs: Sequence[Run]) -> list[Run]:
    """Return runs without those that equal an earlier one.

    An arm that does not use what is chosen, such as a control, has one candidate.
    """
    first: dict[str, Run] = {}
    for run in runs:
        files = [str(file) for file in run.configs]
        first.setdefault(json.dumps([files, run.overrides], default=str), run)
    return list(first.values())


def _candidate(run: Run) -> Run:
    """Return a run under one name for all its variables but the seed."""
    variables = {name: value for name, value in run.values.items() if name != "seed"}
    parts = [
        shown(value) if name == "arm" else f"{name}={shown(value)}"
        for name, value in variables.items()
    ]
    values = {"arm": ",".join(parts), "seed": run.values["seed"]}
    return run._replace(values=values, candidate=run.values)


def _check_validation(work: "StudyContext", selection: Selection) -> None:
    """Raise UserError if what candidates are compared by is measured on the test split."""
    if any(note(selection.metric, [arm]) for arm in work.opened.arms):
        raise UserError(
            "select: on",
            value=selection.metric,
            problem="is measured on the test split, which must not choose",
            fix="set data.init_args.dataset.init_args.validation to a share, such as 0.1",
        )


def decided(work: "StudyContext", selection: Selection) -> list[Choice] | None:
    """Return what is chosen; None as long as a candidate may still be trained.

    One whose loss is not finite never will: it fails alike each time.

    Args:
        work: the study of the candidates.
        selection: how they are compared.
    """
    summarise = read_over(selection.read)
    failed = {
        state
        for state, output in work.failures().items()
        if "".join(output.splitlines()[-1:]).startswith(Cause.REFUSED.value)
    }
    values: list[float | None] = []
    for number, path in enumerate(work.paths):
        if work.is_materialised(number):
            points = read(work.folder(number), selection.metric)
            values.append(scale(selection.metric) * summarise(points) if points else None)
        elif failed.isdisjoint(path.states):
            return None
        else:
            values.append(None)
    return choose(selection, [run.candidate or {} for run in work.study.runs], values)


def with_choices(study: Study, choices: Sequence[Choice]) -> Study:
    """Return a study with the runs of what is chosen only."""
    allowed = {_key({**choice.arm, **choice.chosen}) for choice in choices}
    runs = [run for run in _distinct(study.runs) if _key(run.values) in allowed]
    return study._replace(runs=runs, choices=choices)


def provisional(study: Study) -> Study:
    """Return a study with the first candidate of each arm, to be checked before any is trained."""
    selection = study.selection
    assert selection
    runs = candidates(study, selection).runs
    return with_choices(
        study, choose(selection, [run.candidate or {} for run in runs], [0.0] * len(runs))
    )


def _key(variables: Mapping[str, Any]) -> str:
    return json.dumps({**variables, "seed": None}, sort_keys=True, default=str)


def described(study: Study) -> str:
    """Describe what has been chosen for each arm; "" if nothing has."""
    selection = study.selection
    if not selection or not study.choices:
        return ""
    parts = []
    for choice in study.choices:
        arm = ", ".join(f"{name} {shown(value)}" for name, value in choice.arm.items())
        chosen = ", ".join(f"{name} {shown(value)}" for name, value in choice.chosen.items())
        failed = f", {choice.failed} of which failed" if choice.failed else ""
        parts.append(
            f"{f'{arm}: ' if arm else ''}{chosen} ({choice.mean:.4g}, of {choice.candidates} "
            f"candidates{failed})"
        )
    seeds = ", ".join(map(str, selection.seeds))
    return (
        f"Chosen by the {selection.best} {selection.metric}, {selection.read}, mean of "
        f"{'seeds' if len(selection.seeds) > 1 else 'seed'} {seeds}: {'; '.join(parts)}."
    )

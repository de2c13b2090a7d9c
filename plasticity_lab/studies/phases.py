"""A study may be several that are run one after another.

First that whose weights it begins from, then that of the candidates for its coefficients.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plasticity_lab.errors import UserError
from plasticity_lab.studies.metrics import summary
from plasticity_lab.studies.outcome import Cause
from plasticity_lab.studies.pretraining import is_trained, with_weights, without_weights
from plasticity_lab.studies.selection import SELECTION, Choice, Selection, choose
from plasticity_lab.studies.study_file import Study, read_study
from plasticity_lab.studies.study_run import Run, shown, without_equals
from plasticity_lab.studies.wording import note

if TYPE_CHECKING:
    from plasticity_lab.studies.study_context import StudyContext


def phase(
    study: Study, opened: Callable[[Study], "StudyContext | None"], after: Sequence[Path] = ()
) -> "StudyContext | None":
    """Return the study that is to be run now.

    That is the one whose weights it begins from, until they are trained; then that of the
    candidates, until something is chosen.

    Args:
        study: the content of its file.
        opened: opens a study; None if it cannot.
        after: files of the studies that begin from its weights.

    Raises:
        UserError: if candidates are compared by what is measured on the test split, or studies
            begin from the weights of each other.
    """
    prepared: Callable[[Study], Study] | None = None
    if study.pretraining:
        later = [*after, study.file.resolve()]
        if study.pretraining in later:
            raise UserError(
                "pretraining",
                value=study.pretraining.name,
                problem="studies begin from the weights of each other",
                fix="remove it from one of them",
            )
        first = phase(read_study(study.pretraining, study.config), opened, later)
        if first is None:
            return None
        if first.study.file == study.pretraining:
            # Whether there are weights for each run shows before any are trained.
            with_weights(study, first)
        if first.study.comes_before or not is_trained(first):
            return first._replace(study=first.study._replace(comes_before=study.name))
        prepared = partial(with_weights, first=first)
        study = prepared(study)
    selection = study.selection
    if not selection:
        return opened(study)
    trial = opened(candidates(study, selection, prepared))
    if trial is None:
        return None
    _check_validation(trial, selection)
    choices = decided(trial, selection)
    return trial if choices is None else opened(with_choices(study, choices))


def candidates(
    study: Study, selection: Selection, prepared: Callable[[Study], Study] | None = None
) -> Study:
    """Return the study of all candidates, each with the seeds of the selection.

    It has a name and a folder of its own.

    Args:
        study: whose coefficients are chosen.
        selection: how.
        prepared: gives runs the weights that they begin from; None if they begin from none.
    """
    plain = read_study(study.file, study.config, selection.seeds)
    if prepared:
        plain = prepared(plain)
    runs = [_candidate(run) for run in without_equals(plain.runs)]
    report = {"metric": selection.metric, "over": selection.read, "x": "arm", "figure": "bar"}
    return plain._replace(
        name=selection_name(study),
        runs=runs,
        report=report,
        claims=[],
        selection=None,
        chooses_for=study.name,
        comes_before=study.name,
    )


def selection_name(study: Study) -> str:
    """Return the name of the study that chooses the coefficients of another."""
    return f"{study.name}{SELECTION}"


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
    failed = {
        state
        for state, output in work.failures().items()
        if "".join(output.splitlines()[-1:]).startswith(Cause.REFUSED.value)
    }
    values: list[float | None] = []
    for number, path in enumerate(work.paths):
        if work.is_materialised(number):
            values.append(summary(work.folder(number), selection.metric, selection.read))
        elif failed.isdisjoint(path.states):
            return None
        else:
            values.append(None)
    return choose(selection, [run.candidate or {} for run in work.study.runs], values)


def with_choices(study: Study, choices: Sequence[Choice]) -> Study:
    """Return a study with the runs of what is chosen only."""
    allowed = {_key({**choice.arm, **choice.chosen}) for choice in choices}
    runs = [run for run in without_equals(study.runs) if _key(run.values) in allowed]
    return study._replace(runs=runs, choices=choices)


def provisional(study: Study) -> Study:
    """Return a study as far as it is known before anything is trained, to be checked.

    It begins from no weights, and has the first candidate of each arm.
    """
    selection = study.selection
    if selection is None:
        return without_weights(study)
    runs = candidates(study, selection, without_weights).runs
    return with_choices(
        without_weights(study),
        choose(selection, [run.candidate or {} for run in runs], [0.0] * len(runs)),
    )


def _key(variables: Mapping[str, Any]) -> str:
    return json.dumps({**variables, "seed": None}, sort_keys=True, default=str)


def described(study: Study) -> str:
    """Describe what has been chosen for each arm that has a choice; "" if nothing has."""
    selection = study.selection
    if not selection or not study.choices:
        return ""
    used = {_key(run.values): run.used for run in study.runs}
    parts = []
    for choice in study.choices:
        if choice.candidates == 1:
            continue
        names = used[_key({**choice.arm, **choice.chosen})]
        arm = ", ".join(f"{name} {shown(value)}" for name, value in choice.arm.items())
        # A variable may stand for a key that is set beside it.
        named = [name for name in choice.chosen if name in names] or list(choice.chosen)
        chosen = ", ".join(f"{name} {shown(choice.chosen[name])}" for name in named)
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

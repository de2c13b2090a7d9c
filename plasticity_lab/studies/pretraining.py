"""A study whose runs begin from the weights of another study's runs, which are trained first."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from plasticity_lab.errors import UserError
from plasticity_lab.studies.expressions import filled
from plasticity_lab.studies.study_file import PRETRAINED, Study
from plasticity_lab.studies.study_run import Run

if TYPE_CHECKING:
    from plasticity_lab.studies.study_context import StudyContext

_KEYS = ("initial_weights", "initial_weights_except", "initial_weights_filters")


def is_trained(work: "StudyContext") -> bool:
    """Whether all runs of the study that comes first are there."""
    return all(map(work.is_materialised, range(len(work.study.runs))))


def with_weights(study: Study, first: "StudyContext") -> Study:
    """Return a study with the files of weights that its runs begin from.

    Args:
        study: whose settings name them as `{pretrained}`.
        first: the study that has trained them.

    Raises:
        UserError: for a run to which no run of that study belongs, or several.
    """
    runs = []
    for run in study.runs:
        overrides = run.overrides
        if _uses_weights(run):
            file = first.weights(_source(run, first))
            overrides = filled(overrides, {PRETRAINED: str(file)})
        runs.append(run._replace(overrides=overrides))
    return study._replace(runs=runs)


def without_weights(study: Study) -> Study:
    """Return a study that begins from no weights, to be checked before they are trained."""
    runs = [
        run._replace(
            overrides={
                key: value
                for key, value in run.overrides.items()
                if key.rpartition(".")[2] not in _KEYS
            }
        )
        for run in study.runs
    ]
    return study._replace(runs=runs, provisional=study.pretraining is not None)


def _uses_weights(run: Run) -> bool:
    return f"{{{PRETRAINED}}}" in str(run.overrides)


def _source(run: Run, first: "StudyContext") -> int:
    """Return the number of the run that has the values that both studies have variables for."""
    found = [
        number
        for number, source in enumerate(first.study.runs)
        if _agree(run.values, source.values)
    ]
    if len(found) == 1:
        return found[0]
    shared = ", ".join(name for name in first.study.runs[0].values if name in run.values)
    many = "several runs" if found else "no run"
    verb = "have" if found else "has"
    raise UserError(
        "pretraining",
        value=run.name,
        problem=f"{many} of {first.study.name} {verb} its {shared}",
        fix="let the variables and seeds of both studies agree",
    )


def _agree(values: Mapping[str, Any], source: Mapping[str, Any]) -> bool:
    return all(values[name] == value for name, value in source.items() if name in values)

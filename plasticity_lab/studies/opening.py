"""Opens a study: resolves its runs, and names what decides their numbers."""

from collections.abc import Mapping

from plasticity_lab.studies.code_hashes import CodeHashes, project_sources
from plasticity_lab.studies.environment_key import environment_key
from plasticity_lab.studies.epoch_signatures import epoch_signatures
from plasticity_lab.studies.logged_metrics import logged_metrics
from plasticity_lab.studies.opened_record import Inputs, Opened
from plasticity_lab.studies.resolve_configs import resolve
from plasticity_lab.studies.study_file import Study


def open_fully(
    study: Study, threads: int, trusted: Mapping[str, str] | None, fetch: bool
) -> tuple[Opened, Inputs]:
    """Return what opening a study comes to, and what that depends on.

    Args:
        study: the content of its file.
        threads: threads of torch in each worker.
        trusted: hashes of earlier code that is trusted to give the same numbers.
        fetch: whether data may be downloaded now, and must be there then.

    Raises:
        UserError: for a run that train.py would refuse.
    """
    sources = project_sources()
    code = CodeHashes(sources, trusted)
    resolved = resolve(study.runs)
    opened = Opened(
        arms=resolved.arms,
        arm_of_run=resolved.arm_of_run,
        seeds=resolved.seeds,
        signatures=[epoch_signatures(arm, code) for arm in resolved.arms],
        environments=[environment_key(arm, threads, fetch) for arm in resolved.arms],
        loggers=resolved.loggers,
        tags=[logged_metrics(arm) for arm in resolved.arms],
        code=code.used,
        trusted=bool(trusted),
    )
    configs = {file for run in study.runs for file in run.configs}
    return opened, Inputs(study.runs, threads, [*configs, *sources.files()])

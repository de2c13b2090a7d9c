"""Opens a study: resolves its runs, and names what decides their numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

from plasticity_lab.errors import UserError
from plasticity_lab.project import CONFIGS
from plasticity_lab.studies import opened_record
from plasticity_lab.studies.code_hashes import CodeHashes, project_sources
from plasticity_lab.studies.environment_key import environment_key
from plasticity_lab.studies.epoch_signatures import epoch_signatures
from plasticity_lab.studies.logged_metrics import logged_metrics
from plasticity_lab.studies.opened_record import Inputs, Opened
from plasticity_lab.studies.plan import EpochSignatures
from plasticity_lab.studies.resolve_configs import ResolvedRuns, resolve
from plasticity_lab.studies.stamps import Stamp, stamp
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
    # What it depends on is noted before it is read.
    settings = opened_record.settings(study.runs, threads)
    stamps = opened_record.code_stamps()
    for file in {CONFIGS / "base.yaml", *(file for run in study.runs for file in run.configs)}:
        stamps[str(file)] = stamp(str(file))

    sources = project_sources()
    code = CodeHashes(sources, trusted)
    resolved = resolve(study.runs, study.provisional)
    stamps |= _data_stamps(resolved.arms)
    opened = Opened(
        arms=resolved.arms,
        arm_of_run=resolved.arm_of_run,
        seeds=resolved.seeds,
        signatures=_signatures(study, resolved, code),
        environments=[environment_key(arm, threads, fetch) for arm in resolved.arms],
        loggers=resolved.loggers,
        tags=[logged_metrics(arm) for arm in resolved.arms],
        code=code.used,
        trusted=bool(trusted),
    )
    return opened, Inputs(settings, stamps | sources.stamps)


def _signatures(study: Study, resolved: ResolvedRuns, code: CodeHashes) -> list[EpochSignatures]:
    """Return what decides the numbers of each arm.

    Raises:
        UserError: for a value that a callback or a schedule refuses, with a run that has it.
    """
    signatures = []
    for number, arm in enumerate(resolved.arms):
        try:
            signatures.append(epoch_signatures(arm, code))
        except UserError as error:
            first = resolved.arm_of_run.index(number)
            raise error.within(study.runs[first].name) from None
    return signatures


def _data_stamps(arms: Sequence[dict[str, Any]]) -> dict[str, Stamp]:
    try:
        return opened_record.data_stamps(arms)
    except OSError:
        # A stamp that no file has: what cannot be watched is read anew each time.
        return {str(CONFIGS): "not known"}

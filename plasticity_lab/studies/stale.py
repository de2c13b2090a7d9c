"""Which results of a study come from code that has changed since."""

from plasticity_lab.studies.code_hashes import CodeHashes, project_sources
from plasticity_lab.studies.study_context import StudyContext


def changed_code(work: StudyContext) -> list[str]:
    """Return the classes whose code has changed since a study was run.

    The code of a class is all that it can reach, that of training included: where the latter has
    changed, all classes have.

    Args:
        work: the study, opened with the code of its last run.
    """
    code = CodeHashes(project_sources())
    changed: set[str] = set()
    unchanged: set[str] = set()
    for names, known in work.opened.code.items():
        (unchanged if code(names.split()) == known else changed).update(names.split())
    # A class may be a part of several hashes, of which one has changed by another class.
    return sorted(changed - unchanged)


def stale_words(work: StudyContext) -> str:
    """Return a sentence on what has changed since a study was run; "" if nothing has."""
    changed = changed_code(work)
    if not changed:
        return ""
    names = [name.rpartition(".")[2] for name in changed]
    listed = ", ".join(names[:_LISTED]) + (" and others" if len(names) > _LISTED else "")
    return (
        f"**Stale**: the code of {listed} has changed since; the same command trains anew what "
        "that concerns."
    )


_LISTED = 4
"""Classes that are named."""

"""What a study's numbers come from."""

import json
from typing import Any

from plasticity_lab.studies.stored_states import StoredStates
from plasticity_lab.studies.study_context import StudyContext

_LISTED = 20
"""Seeds that are listed; of more, the first and the last are named."""


def origin(work: StudyContext, num_finished: int) -> str:
    """Describe what a report comes from; a commit with + had uncommitted changes."""
    sessions: list[dict[str, Any]] = []
    stored = StoredStates(work.store)
    for number in range(len(work.study.runs)):
        manifest = work.folder(number) / "manifest.json"
        if work.is_materialised(number) and manifest.exists():
            sessions += json.loads(manifest.read_text())["sessions"]
    seconds = sum(stored.metadata(state)["seconds"] for state in trained_states(work, stored))
    commits = sorted({commit(session["git"] or {}) for session in sessions})
    devices = sorted({session["device"] for session in sessions})
    return (
        f"{num_finished} of {len(work.study.runs)} runs of {work.study.file.name}, "
        f"seeds {_seeds(work)}; "
        f"{'commits' if len(commits) > 1 else 'commit'} {', '.join(commits)}; "
        f"{', '.join(devices)}, "
        f"{work.threads} {'threads' if work.threads > 1 else 'thread'} each; "
        f"{duration(seconds)} of training"
    )


def trained_states(work: StudyContext, stored: StoredStates) -> set[str]:
    """Return the ends of all segments of finished runs, those that runs share once."""
    states: set[str] = set()
    for number in work.finished(stored):
        states.update(stored.ancestors(work.paths[number].states[-1]))
    return states


def duration(seconds: float) -> str:
    """Return a time in words: `40 seconds`, `3 minutes`."""
    return f"{seconds:.0f} seconds" if seconds < 100 else f"{seconds / 60:.0f} minutes"


def _seeds(work: StudyContext) -> str:
    seeds = sorted({run.values["seed"] for run in work.study.runs})
    if len(seeds) > _LISTED and seeds[-1] - seeds[0] == len(seeds) - 1:
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))


def commit(git: dict[str, Any]) -> str:
    """Return the commit of a session as seven letters, with + if there were other changes."""
    return f"{git.get('commit', 'unknown')[:7]}{'+' if git.get('uncommitted') else ''}"

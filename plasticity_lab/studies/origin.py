"""What a study's numbers come from."""

import json
from typing import Any

from plasticity_lab.studies.study_context import StudyContext


def origin(work: StudyContext, done: int) -> str:
    """Say what a report comes from; a commit with + had uncommitted changes."""
    runs = range(len(work.study.runs))
    manifests = [
        work.folder(number) / "manifest.json" for number in runs if work.is_materialised(number)
    ]
    sessions = [
        one
        for file in manifests
        if file.exists()
        for one in json.loads(file.read_text())["sessions"]
    ]
    ends = [work.paths[number].states[-1] for number in runs if work.finished(number)]
    seconds = sum(
        work.store.metadata(state)["seconds"]
        for state in {state for end in ends for state in work.store.ancestors(end)}
    )
    commits = sorted({_commit(one["git"] or {}) for one in sessions})
    return (
        f"{done} of {len(work.study.runs)} runs of {work.study.file.name}, seeds {_seeds(work)}; "
        f"commit{'s' * (len(commits) > 1)} {', '.join(commits)}; "
        f"{', '.join(sorted({one['device'] for one in sessions}))}, "
        f"{work.threads} thread{'s' * (work.threads > 1)} each; {duration(seconds)} of training"
    )


def duration(seconds: float) -> str:
    """Return a time in words: `40 seconds`, `3 minutes`."""
    return f"{seconds:.0f} seconds" if seconds < 100 else f"{seconds / 60:.0f} minutes"


def _seeds(work: StudyContext) -> str:
    return ", ".join(map(str, sorted({run.values["seed"] for run in work.study.runs})))


def _commit(git: dict[str, Any]) -> str:
    return f"{git.get('commit', 'unknown')[:7]}{'+' if git.get('uncommitted') else ''}"

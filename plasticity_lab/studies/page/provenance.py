"""What a study's numbers come from and what they cost, as its page shows it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from plasticity_lab.runs.file_names import MANIFEST
from plasticity_lab.studies.files import read_json
from plasticity_lab.studies.origin import commit, duration, trained_states
from plasticity_lab.studies.plan import EmptyStore, segments
from plasticity_lab.studies.stored_states import StoredStates
from plasticity_lab.studies.study_context import StudyContext

Facts = list[tuple[str, str]]
"""Names and values, in words."""


def provenance(work: StudyContext, finished: Sequence[int]) -> Facts:
    """Return code, versions and devices of some runs; a commit with + had uncommitted changes."""
    sessions = list(_sessions(work, finished))
    versions: dict[str, set[str]] = {}
    for session in sessions:
        for name, version in (session.get("versions") or {}).items():
            versions.setdefault(name, set()).add(str(version))
    begun = sorted(str(session["started"]) for session in sessions if session.get("started"))
    facts = [
        ("study file", work.study.file.name),
        ("commits", _listed(commit(session.get("git") or {}) for session in sessions)),
        ("devices", _listed(str(session.get("device")) for session in sessions)),
        ("threads of each run", str(work.threads)),
        ("versions", ", ".join(f"{name} {_listed(known)}" for name, known in versions.items())),
        ("trained", " to ".join(dict.fromkeys([*begun[:1], *begun[-1:]]))),
    ]
    return [(name, value) for name, value in facts if value]


def cost(work: StudyContext) -> Facts:
    """Return what the finished runs have cost: epochs, time of training, room on disk."""
    asked = sum(len(path.states) - 1 for path in work.paths)
    trained = sum(part.stop - part.first for part in segments(work.paths, EmptyStore()))
    facts = [("epochs of all runs", f"{asked:,}"), ("epochs trained", f"{trained:,}")]
    if trained < asked:
        share = f"{100 * (1 - trained / asked):.0f} %"
        facts.append(("saved, as runs share epochs", share))

    # Every segment counts once, whichever runs it belongs to.
    stored = StoredStates(work.store)
    entries = {state: stored.metadata(state) for state in trained_states(work, stored)}
    if entries:
        seconds = sum(entry["seconds"] for entry in entries.values())
        facts.append(("time of training, of one job", duration(seconds)))
        size = sum(_bytes(work, state, entry) for state, entry in entries.items())
        facts.append(("on disk, logs and states", f"{size / 1e6:,.1f} MB"))
    return facts


def _bytes(work: StudyContext, state: str, entry: Mapping[str, Any]) -> int:
    """Return the room that a segment takes; a state may have been dropped since."""
    files: dict[str, int] = dict(entry.get("files", {}))
    checkpoint = work.store.checkpoint(state)
    if not checkpoint.is_file():
        files.pop(checkpoint.name, None)
    return sum(files.values())


def _sessions(work: StudyContext, finished: Sequence[int]) -> Iterator[dict[str, Any]]:
    for number in finished:
        yield from read_json(work.folder(number) / MANIFEST).get("sessions", [])


def _listed(texts: Iterable[str]) -> str:
    return ", ".join(sorted(set(texts)))

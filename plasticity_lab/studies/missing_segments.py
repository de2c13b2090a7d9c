"""Which runs of a study are complete once a segment is trained."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from plasticity_lab.studies.plan import Segment
from plasticity_lab.studies.study_context import StudyContext


class MissingSegments:
    """Counts, for each unfinished run, the segments that are still missing.

    Args:
        chains: of each run, the ends of its missing segments.
    """

    def __init__(self, chains: Sequence[Sequence[str]]) -> None:
        self._runs = defaultdict[str, list[int]](list)
        self._counts = Counter[int]()
        for number, ends in enumerate(chains):
            self._counts[number] = len(ends)
            for end in ends:
                self._runs[end].append(number)

    def finish(self, end: str) -> list[int]:
        """Return the runs that are complete now that the segment with this end is trained."""
        complete = []
        for number in self._runs.pop(end, ()):
            self._counts[number] -= 1
            if not self._counts[number]:
                complete.append(number)
        return complete


def missing_segments(work: StudyContext, todo: Sequence[Segment]) -> MissingSegments:
    """Return the missing segments of each run of a study.

    Args:
        work: the study.
        todo: what is to be trained of all its runs.
    """
    ends = {segment.end for segment in todo}
    return MissingSegments(
        [[state for state in path.states if state in ends] for path in work.paths]
    )

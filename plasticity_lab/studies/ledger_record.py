"""What came out of a study, as it is kept beside a ledger: its runs may be elsewhere."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from plasticity_lab.errors import UserError
from plasticity_lab.files import write_atomically
from plasticity_lab.studies.claim_table import Row, title
from plasticity_lab.studies.claims import Claim
from plasticity_lab.studies.study_file import Study
from plasticity_lab.studies.verdicts import NOT_RUN, VERDICTS


class Record(NamedTuple):
    """What came out of a study.

    Attributes:
        design: `design` of the study that was run; "" if that is not known.
        runs: how many were finished.
        text: the command, the runs and what is compared, a sentence each.
        rows: the claims.
        means: the table of all arms.
    """

    design: str
    runs: int
    text: str
    rows: list[Row]
    means: str


def design(study: Study) -> str:
    """Return a hash of a study's runs, readings and claims."""
    runs = [[run.values, [file.name for file in run.configs], run.overrides] for run in study.runs]
    text = json.dumps([runs, study.report, study.claims], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write_record(record: Record, file: Path) -> None:
    """Write a record as JSON."""
    entry = {**record._asdict(), "rows": [row._asdict() for row in record.rows]}
    with write_atomically(file) as unfinished:
        unfinished.write_text(f"{json.dumps(entry, indent=1, ensure_ascii=False)}\n", "utf-8")


def read_record(file: Path, claims: Sequence[Claim]) -> Record | None:
    """Read a record, with the rows of the claims that the study has now.

    Args:
        file: may be missing.
        claims: of the study as it is now. One that is not in the record has not been run.

    Returns:
        The record; None if there is none, or none of these claims.

    Raises:
        UserError: for a file that is no record.
    """
    if not file.exists():
        return None
    try:
        entry = json.loads(file.read_text("utf-8"))
        rows = {row["title"]: Row(**row) for row in entry["rows"]}
        assert all(row.verdict in VERDICTS for row in rows.values())
        record = Record(**{**entry, "rows": []})
    except (OSError, ValueError, TypeError, LookupError, AssertionError):
        raise UserError(
            "ledger",
            value=file,
            problem="is not what a ledger keeps of a study",
            fix="restore it, or remove it, and the study counts as not run",
        ) from None
    if not rows.keys() & {title(claim) for claim in claims}:
        return None
    return record._replace(rows=[rows.get(title(claim)) or _not_run(claim) for claim in claims])


def _not_run(claim: Claim) -> Row:
    """Return the row of a claim of which nothing is known."""
    return Row(
        title=title(claim),
        reported=claim.reported,
        result="-",
        expected="",
        verdict=NOT_RUN,
        because="",
        seeds="-",
        p=None,
        exact=None,
        directional=False,
        smallest="-",
    )

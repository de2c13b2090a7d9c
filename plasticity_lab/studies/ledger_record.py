"""What came out of a study, as it is kept beside a ledger when the study's runs are elsewhere."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from plasticity_lab.errors import UserError
from plasticity_lab.files import write_atomically
from plasticity_lab.studies.claim_table import Row, title
from plasticity_lab.studies.claims import Claim


class Record(NamedTuple):
    """What a ledger says of a study.

    Attributes:
        text: the command, the runs and what is compared, a sentence each.
        rows: the claims.
        means: the table of all arms.
    """

    text: str
    rows: list[Row]
    means: str


def write_record(record: Record, file: Path) -> None:
    """Write a record as JSON."""
    entry = {**record._asdict(), "rows": [row._asdict() for row in record.rows]}
    with write_atomically(file) as unfinished:
        unfinished.write_text(f"{json.dumps(entry, indent=1, ensure_ascii=False)}\n")


def read_record(file: Path, claims: Sequence[Claim]) -> Record | None:
    """Read a record.

    Args:
        file: may be missing.
        claims: of the study as it is now.

    Returns:
        The record; None if there is none, or one of other claims.

    Raises:
        UserError: for a file that is no record.
    """
    if not file.exists():
        return None
    try:
        entry = json.loads(file.read_text())
        record = Record(**{**entry, "rows": [Row(**row) for row in entry["rows"]]})
    except (OSError, ValueError, TypeError, LookupError):
        raise UserError(
            "ledger",
            value=file,
            problem="is not what a ledger keeps of a study",
            fix="restore it, or remove it, and the study counts as not run",
        ) from None
    same = [row.title for row in record.rows] == [title(claim) for claim in claims]
    return record if same else None

"""Whether seeds forget the same examples: `python -m callbacks.diagnostics.forgetting_agreement RUN RUN …`."""

import argparse
import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import pandas as pd

from errors import UserError

COLUMNS = ["index", "label", "presentations", "first_learned", "events"]


def scores(table: pd.DataFrame) -> pd.Series:
    """Return the forgetting events of each example; of one never learned its presentations, as Toneva et al. 2019 count them.

    Args:
        table: `forgetting.csv` of a run.
    """
    return table["events"].where(table["first_learned"].notna(), table["presentations"])


def agreement(tables: Sequence[pd.DataFrame]) -> float:
    """Return Pearson's correlation of the scores, the mean over pairs of runs (.892 in the paper, on CIFAR-10).

    Args:
        tables: `forgetting.csv` of each run, two or more; of pairs on different subsets the examples in common are compared.

    Raises:
        UserError: if two have fewer than three in common, or labels that differ.
    """
    found = []
    for one, other in combinations(tables, 2):
        shared = one.index.intersection(other.index)
        if len(shared) < 3 or not one["label"][shared].equals(other["label"][shared]):
            raise UserError("the runs count examples of other data; name runs on the same training split")
        found.append(scores(one).corr(scores(other)))  # by index
    return float(sum(found) / len(found))


def read(run: Path) -> pd.DataFrame:
    """Read the table of a run's directory.

    Raises:
        UserError: if there is none.
    """
    file = run / "forgetting.csv"
    if not file.is_file():
        raise UserError(f"{run}: no forgetting.csv; name directories of finished runs with callbacks.Forgetting")
    return pd.read_csv(file, usecols=COLUMNS, index_col="index")


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line; a user's mistake ends in one line and exit code 2."""
    parser = argparse.ArgumentParser(prog="forgetting_agreement", description=__doc__, allow_abbrev=False)
    parser.add_argument("runs", type=Path, nargs="+", help="directories of runs on the same training split")
    runs = parser.parse_args(args).runs
    try:
        tables = [read(run) for run in runs]
        if len(runs) < 2:
            raise UserError("name two runs or more")
        alike = agreement(tables)
    except UserError as error:
        print(f"forgetting_agreement: error: {error}", file=sys.stderr)
        return error.exit_code
    for run, table in zip(runs, tables, strict=True):
        never, kept = table["first_learned"].isna(), (table["events"] == 0) & table["first_learned"].notna()
        print(f"{run.name}: {table['events'].mean():.2f} events, {kept.mean():.1%} unforgettable, {never.mean():.1%} never learned")
    print(f"Pearson's correlation, mean over pairs: {alike:.3f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

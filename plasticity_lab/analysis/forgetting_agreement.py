"""Whether seeds forget the same examples.

Run by `python -m plasticity_lab.analysis.forgetting_agreement RUN RUN …`.
"""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import pandas as pd

from plasticity_lab.command_line import CommandParser, errors_in_one_line
from plasticity_lab.errors import UserError

COLUMNS = ["index", "label", "wrong_label", "presentations", "first_learned", "events", "score"]
FEWEST = 3


def comparable(first: pd.DataFrame, second: pd.DataFrame) -> pd.Index:
    """Return the examples that both runs were shown, and always under their own labels.

    Seeds may draw different subsets and mislabel different examples; an example with a wrong label
    in one run is another example in the other.

    Args:
        first: `forgetting.csv` of a run, by place in the whole split.
        second: of another run.

    Raises:
        UserError: if there are fewer than three, or the runs' own labels of an example differ.
    """
    shared = first.index.intersection(second.index)
    if not first["label"][shared].equals(second["label"][shared]):
        raise UserError(
            "",
            problem="the runs count examples of other data",
            fix="name runs on the same training split",
        )
    for table in (first, second):
        shared = shared[(table["wrong_label"][shared] == 0).to_numpy(bool, na_value=False)]
    if len(shared) < FEWEST:
        raise UserError(
            "",
            problem=f"two runs share {len(shared)} examples that both had under their own labels",
            fix=f"name runs on the same training split that share {FEWEST} or more",
        )
    return shared


def agreement(tables: Sequence[pd.DataFrame]) -> tuple[float, float]:
    """Return Spearman and Pearson correlations of scores, means over pairs of runs.

    Never-learned examples rank above all others. Toneva et al. 2019 report Pearson's, .892 between
    seeds on CIFAR-10, which the scores of never-learned examples weigh on most.

    Args:
        tables: `forgetting.csv` of each run, two or more; of each pair the `comparable` examples
            count.

    Raises:
        UserError: if a pair cannot be compared, or all of its examples are alike in a run.
    """
    correlations = []
    for first, second in combinations(tables, 2):
        shared = comparable(first, second)
        scores = pd.DataFrame(
            {"first": first["score"][shared], "second": second["score"][shared]}
        ).astype(float)
        if (scores.nunique() == 1).any():
            raise UserError(
                "",
                problem="a run forgets all examples equally often",
                fix="train for longer, or remove it",
            )
        spearman = scores.rank().corr().loc["first", "second"]
        pearson = scores.corr().loc["first", "second"]
        correlations.append((spearman, pearson))
    ranks, values = (float(sum(column) / len(column)) for column in zip(*correlations, strict=True))
    return ranks, values


def read(run: Path) -> pd.DataFrame:
    """Read the table of a run's directory.

    Raises:
        UserError: if there is none, or one without the columns that are compared.
    """
    file = run / "forgetting.csv"
    if not file.is_file():
        raise UserError(
            run,
            problem="no forgetting.csv",
            fix="name directories of finished runs with callbacks.Forgetting",
        )
    table = pd.read_csv(file)
    if missing := [name for name in COLUMNS if name not in table]:
        raise UserError(
            file,
            problem=f"has no column {missing[0]}",
            fix="an older version wrote it, train the run again",
        )
    return table[COLUMNS].astype("Int64").set_index("index")


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line; a user's mistake ends in one line and exit code 2."""
    parser = CommandParser(prog="forgetting_agreement", description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "runs", type=Path, nargs="+", help="directories of runs on the same training split"
    )
    with errors_in_one_line("forgetting_agreement"):
        runs = parser.parse_args(args).runs
        tables = [read(run) for run in runs]
        if len(runs) < 2:
            raise UserError("runs", fix="name two or more")
        ranks, values = agreement(tables)
    for run, table in zip(runs, tables, strict=True):
        print(f"{run.name}: {described(table)}")
    print("of examples that two runs had under their own labels, means over pairs:")
    print(f"Spearman's rank correlation: {ranks:.3f}")
    print(f"Pearson's correlation: {values:.3f}")
    return 0


def described(table: pd.DataFrame) -> str:
    """Return what a run forgot, in words; of the examples that were presented."""
    presented = table[table["presentations"] > 0]
    learned = presented["first_learned"].notna()
    never_forgotten = learned & (presented["events"] == 0)
    return (
        f"{len(presented)} examples, {presented['wrong_label'].mean():.1%} with wrong labels; "
        f"{never_forgotten.mean():.1%} never forgotten, {1 - learned.mean():.1%} never learned, "
        f"{presented['events'][learned].mean():.2f} events of each other one"
    )


if __name__ == "__main__":
    raise SystemExit(main())

"""Opens a study: what its file says, what its runs are, and in which states they are."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from plasticity_lab.errors import UserError
from plasticity_lab.runs.yaml_files import load_yaml
from plasticity_lab.studies import opened_record, plan
from plasticity_lab.studies.files import read_json
from plasticity_lab.studies.opened_record import Opened
from plasticity_lab.studies.phases import phase, provisional, selection_name
from plasticity_lab.studies.store import Store
from plasticity_lab.studies.study_context import STUDY_FILE, StudyContext
from plasticity_lab.studies.study_file import Study, read_study
from plasticity_lab.studies.study_run import Run


def open_study(
    file: Path,
    root: Path,
    threads: int = 1,
    share: bool = True,
    trust_code: bool = False,
    fetch: bool = True,
    config: Sequence[Path] = (),
) -> StudyContext:
    """Read a study, resolve its runs and name their states.

    Where coefficients are chosen first, it is the study of the candidates until they are trained,
    and where weights are trained first, the study of those.

    Args:
        file: its YAML file.
        root: where runs are kept.
        threads: threads of torch in each worker.
        share: whether runs share what they have in common.
        trust_code: name states by the code and the files on top of the study's last run, whatever
            has been edited since.
        fetch: whether data may be downloaded now, and must be there then.
        config: files on top of the study's for every run.

    Raises:
        UserError: for what is wrong with it, or a folder that holds another study: one whose file
            is still there. A file may be renamed and moved, as a study is known by its name.
    """
    if not fetch:
        known = reopen_study(file, root, threads, share, trust_code, config)
        if known:
            return known
    study = _read(file, root, trust_code, config)
    work = phase(study, partial(_open, root, threads, share, trust_code, fetch))
    assert work
    return work


def open_provisional(file: Path, root: Path, config: Sequence[Path] = ()) -> StudyContext:
    """Return a study as far as it is known before anything is trained.

    Where coefficients are yet to be chosen it has the first of each arm, and it begins from no
    weights that are yet to be trained.

    So what is wrong with it shows before its candidates are trained. Arguments as `open_study`.
    """
    study = provisional(_read(file, root, False, config))
    return _open(root, 1, True, False, False, study)


def _open(
    root: Path, threads: int, share: bool, trust_code: bool, fetch: bool, study: Study
) -> StudyContext:
    """Open one study, and keep what that comes to if the study has been run."""
    _check_folder(root, study)
    # Only here, as it imports torch and Lightning.
    from plasticity_lab.studies.opening import open_fully

    trusted = _last_code(root, study) if trust_code else None
    opened, inputs = open_fully(study, threads, trusted, fetch)
    work = _context(study, root, threads, share, opened)._replace(inputs=inputs)
    if (work.home / STUDY_FILE).exists():
        opened_record.save(work.home, opened, inputs)
    return work


def reopen_study(
    file: Path,
    root: Path,
    threads: int = 1,
    share: bool = True,
    trust_code: bool = False,
    config: Sequence[Path] = (),
) -> StudyContext | None:
    """Return a study as it was opened last; None if anything it depends on is another now.

    Nothing is parsed for that, and neither torch nor Lightning imported. Arguments as `open_study`.
    """
    study = _read(file, root, trust_code, config)
    return phase(study, partial(_reopen, root, threads, share, trust_code))


def _reopen(
    root: Path, threads: int, share: bool, trust_code: bool, study: Study
) -> StudyContext | None:
    """Return one study as it was opened last; None if anything it depends on is another now."""
    home = root / "studies" / study.name
    opened = opened_record.load(home, study.runs, threads)
    trusted = _last_code(root, study) if trust_code else None
    is_of_this_code = opened and (opened.code == trusted if trusted else not opened.trusted)
    if opened is None or not is_of_this_code:
        return None
    return _context(study, root, threads, share, opened)


def _check_folder(root: Path, study: Study) -> None:
    """Raise UserError if a study's folder is that of a selection, or the other way round."""
    earlier = read_json(root / "studies" / study.name / STUDY_FILE)
    if earlier and earlier.get("chooses_for", "") != study.chooses_for:
        problem = "is that of a study that chooses coefficients for another"
        if study.chooses_for:
            problem = (
                f"is that of another study, and {study.chooses_for} needs it for its selection"
            )
        raise UserError(
            "name",
            value=study.name,
            problem=problem,
            fix="choose another name, or another --root",
        )


def _last_code(root: Path, study: Study) -> dict[str, str] | None:
    """Return the hashes of the code of a study's last run; None if there was none."""
    code: dict[str, str] | None = read_json(root / "studies" / study.name / STUDY_FILE).get(
        "code_of_classes"
    )
    return code


def _read(file: Path, root: Path, trust_code: bool, config: Sequence[Path]) -> Study:
    """Return a study's content, with the files on top of this call or of its last run."""
    # The folder must be this study's.
    study = read_study(file)
    home = root / "studies" / study.name
    mark = home / STUDY_FILE
    earlier = read_json(mark)
    if earlier and (namesake := _namesake(study, Path(earlier["file"]))):
        raise UserError(
            "name",
            value=study.name,
            problem=f"is that of {namesake} too",
            fix="choose another name, or another --root",
        )
    if home.exists() and not mark.exists() and any(home.iterdir()):
        raise UserError(
            "name",
            value=study.name,
            problem=f"{home} holds something else",
            fix="choose another name",
        )

    # Files on top are those of this call, or of the last run.
    last = earlier or read_json(root / "studies" / selection_name(study) / STUDY_FILE)
    on_top = [path.absolute() for path in config]
    if not on_top and trust_code:
        on_top = [Path(path) for path in last.get("config", [])]
    return read_study(file, on_top) if on_top else study


def _context(study: Study, root: Path, threads: int, share: bool, opened: Opened) -> StudyContext:
    """Name the states of a study's runs."""
    runs: list[Run] = []
    paths: list[plan.StateChain] = []
    for run, arm, seed in zip(study.runs, opened.arm_of_run, opened.seeds, strict=True):
        environment = opened.environments[arm]
        if not share:
            environment += run.name
        paths.append(plan.state_chain(opened.signatures[arm], seed, environment))
        runs.append(run._replace(values={**run.values, "seed": seed}))
    return StudyContext(
        study=study._replace(runs=runs),
        opened=opened,
        inputs=None,
        paths=paths,
        home=root / "studies" / study.name,
        store=Store(root / "store"),
        threads=threads,
    )


def _namesake(study: Study, file: Path) -> Path | None:
    """Return the file from which a folder's study was last read, if it holds another study.

    Another study of the same name, whose file still exists; else None.
    """
    if not file.is_absolute() or not file.is_file() or file.name == study.file.name:
        return None
    if file.samefile(study.file) or file.read_bytes() == study.file.read_bytes():
        return None
    try:
        content = load_yaml(file)
    except UserError:
        return None
    return file if isinstance(content, dict) and str(content.get("name")) == study.name else None

"""Print how the code reads, in numbers.

`python benchmarks/code_numbers.py [ROOT]` prints JSON of a checkout.

Counts product code, tests and benchmarks apart. The last three numbers are traced in small runs: in
how many files of the project a function runs between an image's index and its logits, because of
one `at: [1ep]`, and in a study from its file to its figure.
"""

import ast
import json
import subprocess
import sys
import tempfile
import tokenize
from pathlib import Path
from statistics import median
from typing import Any

PRODUCT = ("callbacks", "datamodules", "lightning_modules", "plasticity_lab", "studies")
COUNTED = (tokenize.NAME, tokenize.OP, tokenize.NUMBER)

TRACED = {
    "files from an index to logits": "index",
    "files from at: [1ep] to its effect": "at",
    "files of a study, in the process that runs it": "study",
}
TRACER = """
import json, sys, os
from pathlib import Path
sys.argv = sys.argv[1:]
ROOT, MODE = Path(sys.argv[0]).resolve(), sys.argv[1]
sys.path.insert(0, str(ROOT))
FOLDERS = ("callbacks", "datamodules", "lightning_modules", "plasticity_lab")
seen = set()

def profile(frame, event, argument):
    if event == "call" and frame.f_code.co_name not in ("<module>", "<lambda>"):
        path = frame.f_code.co_filename
        if path.startswith(str(ROOT)):
            part = path[len(str(ROOT)) + 1 :]
            if part.split("/")[0] in FOLDERS:
                seen.add((part, frame.f_code.co_qualname))

import yaml
from plasticity_lab.runs.build import build
from plasticity_lab.runs.parse import parse
base = ["fit", "--config", str(ROOT / "configs/digits.yaml"), "--trainer.max_epochs", "2",
        "--data.init_args.dataset.init_args.subset", "200",
        "--trainer.enable_progress_bar", "false", "--trainer.enable_model_summary", "false"]

def functions(args):
    seen.clear()
    sys.setprofile(profile)
    run = build(parse(args))
    run.check()
    run.fit()
    sys.setprofile(None)
    return set(seen)

if MODE == "index":
    run = build(parse(base))
    run.check()
    data, model = run.data, run.model
    loader = data.loaders["train"]
    loader.set_epoch(0)
    sys.setprofile(profile)
    raw = next(iter(loader))
    batch = data.on_after_batch_transfer(type(raw)(*raw), 0)
    model(batch[0])
    sys.setprofile(None)
    print(json.dumps(sorted({file for file, _ in seen})))
if MODE == "at":
    Path("at.yaml").write_text(yaml.safe_dump({"trainer": {"callbacks+": [
        {"class_path": "callbacks.LayerReset", "init_args": {"at": ["1ep"], "last": 1}}]}}))
    functions(base)  # what is cached is there from now on
    without = functions(base)
    found = functions([*base, "--config", "at.yaml"]) - without
    print(json.dumps(sorted({file for file, _ in found})))
if MODE == "study":
    from plasticity_lab.studies.main import main
    Path("one.yaml").write_text(yaml.safe_dump({
        "name": "one", "config": [str(ROOT / "configs/digits.yaml")],
        "axes": [{"seed_everything": [0]}], "report": {"metric": "val/accuracy"},
        "set": {"trainer.max_epochs": 1, "data.init_args.dataset.init_args.subset": 200}}))
    sys.setprofile(profile)
    try:
        main(["run", "one.yaml", "--jobs", "1"])
    except SystemExit:
        pass
    sys.setprofile(None)
    print(json.dumps(sorted({file for file, _ in seen})))
"""


def files_of(root: Path, folders: tuple[str, ...]) -> list[Path]:
    """Return the Python files in some folders of a checkout."""
    return [file for folder in folders for file in sorted((root / folder).rglob("*.py"))]


def numbers(files: list[Path]) -> dict[str, Any]:
    """Return what can be counted in some files."""
    texts = {file: file.read_text() for file in files}
    lines = [line for text in texts.values() for line in text.splitlines() if line.strip()]
    sizes = [sum(bool(line.strip()) for line in text.splitlines()) for text in texts.values()]
    tokens, code, own, trailing = 0, 0, 0, 0
    documented, definitions, doc_lines = 0, 0, 0
    for file, text in texts.items():
        rows: dict[int, int] = {}
        docs = set()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                definitions += 1
                documented += ast.get_docstring(node) is not None
            body = getattr(node, "body", None)
            if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
                value = body[0].value
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    docs |= set(range(body[0].lineno, (body[0].end_lineno or 0) + 1))
        doc_lines += len(docs)
        with file.open("rb") as stream:
            for token in tokenize.tokenize(stream.readline):
                if token.type == tokenize.COMMENT:
                    alone = not token.line[: token.start[1]].strip()
                    own, trailing = own + alone, trailing + (not alone)
                if (token.type in COUNTED or token.type == tokenize.STRING) and token.start[
                    0
                ] not in docs:
                    counted = token.type in COUNTED
                    rows[token.start[0]] = rows.get(token.start[0], 0) + counted
        tokens, code = tokens + sum(rows.values()), code + len(rows)
    return {
        "files": len(files),
        "median file (lines)": median(sizes) if sizes else 0,
        "longest file (lines)": max(sizes, default=0),
        "lines": len(lines),
        "tokens per code line": round(tokens / max(code, 1), 1),
        "lines over 100 columns": sum(len(line) > 100 for line in lines),
        "comment lines of their own": own,
        "trailing comments": trailing,
        "docstring lines": doc_lines,
        "documented (public definitions)": round(documented / max(definitions, 1), 3),
        "type: ignore": sum("type: ignore" in line for line in lines),
        "Any (lines)": sum(" Any" in line or "[Any" in line for line in lines),
    }


def traced(root: Path, mode: str) -> list[str]:
    """Return the files of a checkout in which a function runs."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "trace.py"
        script.write_text(TRACER)
        command = [sys.executable, str(script), str(root), mode]
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    found: list[str] = json.loads(run.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Print the numbers of a checkout."""
    root = Path(sys.argv[1] if sys.argv[1:] else Path(__file__).parents[1]).resolve()
    top = [
        part.name
        for part in root.iterdir()
        if (part / "__init__.py").is_file() or part.suffix == ".py"
    ]
    found: dict[str, Any] = {
        "product": numbers([*sorted(root.glob("*.py")), *files_of(root, PRODUCT)]),
        "tests": numbers(files_of(root, ("tests",))),
        "benchmarks": numbers(files_of(root, ("benchmarks",))),
        "importable at the top": sorted(top),
    }
    # An older checkout has no `plasticity_lab` whose runs could be traced.
    modes = TRACED if (root / "plasticity_lab/runs/build.py").is_file() else {}
    for name, mode in modes.items():
        files = traced(root, mode)
        found[name] = {"count": len(files), "files": files}
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()

"""Studies here are made of a few small configs, each of which is parsed once for all tests."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from plasticity_lab.studies import resolve_configs
from plasticity_lab.studies.study_run import Run

_PARSE = resolve_configs._parsed
_CONFIGS: dict[str, dict[str, Any]] = {}


@pytest.fixture(autouse=True)
def _parse_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remember configs by their text, but for tests with classes of their own in the folder."""

    def parsed(run: Run) -> dict[str, Any]:
        if any(Path().rglob("*.py")) or not all(Path(file).is_file() for file in run.configs):
            return _PARSE(run)
        texts = [Path(file).read_text() for file in run.configs]
        key = yaml.safe_dump([texts, run.overrides], sort_keys=False)
        if key not in _CONFIGS:
            _CONFIGS[key] = _PARSE(run)
        return copy.deepcopy(_CONFIGS[key])

    monkeypatch.setattr(resolve_configs, "_parsed", parsed)

"""What decides a run's numbers besides its config."""

import pytest

from command_line import HERE
from studies import salt
from tests.studies.small import ARMS, small


def test_code_threads_versions_device_and_data_do(monkeypatch: pytest.MonkeyPatch) -> None:
    work = small({"plain": ARMS["plain"]}, seeds=1)
    (config,) = work.configs
    plain = salt.salt(config, 1, False)
    assert plain == salt.salt(config, 1, False)
    assert plain != salt.salt(config, 2, False)
    digits = config["data"]["init_args"]["dataset"]
    other = {**config["data"]["init_args"], "dataset": {**digits, "init_args": {**digits["init_args"], "validation": 0.5}}}
    assert salt.data({**config, "data": {"init_args": other}}) == salt.data(config), "the images are the same, the config differs"
    for name in ("code", "device", "data"):
        with monkeypatch.context() as patch:
            patch.setattr(salt, name, lambda *_: "another")
            assert salt.salt(config, 1, False) != plain, name
    with monkeypatch.context() as patch:
        patch.setattr(salt, "version", lambda name: "0")
        assert salt.salt(config, 1, False) != plain


def test_code_may_be_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    (config,) = small({"plain": ARMS["plain"]}, seeds=1).configs
    trusted = salt.salt(config, 1, True)
    monkeypatch.setattr(salt, "code", lambda: "edited")
    assert salt.salt(config, 1, True) == trusted


def test_the_code_is_that_which_trains() -> None:
    files = {file.name for pattern in salt.SOURCES for file in HERE.glob(pattern)}
    assert {"train.py", "timing.py", "base.py", "loader.py", "classifier.py"} <= files
    assert not {"engine.py", "test_salt.py"} & files

"""How many processes Linux has killed for lack of memory."""

from pathlib import Path

import pytest

from plasticity_lab.studies import memory_kills


def test_the_count_is_linuxs(monkeypatch: pytest.MonkeyPatch) -> None:
    file = Path("vmstat")
    monkeypatch.setattr(memory_kills, "COUNTERS", file)
    assert memory_kills.memory_kills() == 0
    file.write_text("nr_free_pages 3\noom_kill 17\noom_kill_disable 5\n")
    assert memory_kills.memory_kills() == 17
    file.write_text("nr_free_pages 3\n")
    assert memory_kills.memory_kills() == 0

"""The losses of a run, over interruptions."""

from __future__ import annotations

from llavakit.steps import history


def test_history_is_cut_back_and_forgets_a_torn_line(tmp_path):
    record = history.History(tmp_path)
    for n in range(1, 6):
        record.add(n, 1.0 / n, 0.1)
    with (tmp_path / history.LINES).open("a") as file:
        file.write('{"iteration": 6, "lo')
    assert len(record.rows()) == 5
    record.cut(3)
    assert [row["iteration"] for row in record.rows()] == [1, 2, 3]
    assert record.missing(3) is None
    assert "3 iterations instead of 4" in str(record.missing(4))
    record.add(4, float("nan"), 0.1)
    assert "iteration 4 is not finite" in str(record.missing(4))

"""Repeated samples, mapped once, are what XTuner makes of all of them."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("datasets", reason="needs the pinned environment")

from datasets import Dataset, DatasetDict

from llavakit.steps import repeated


def samples(*words: str) -> DatasetDict:
    rows = [{"id": "1", "conversations": [{"from": "human", "value": word}]} for word in words]
    return DatasetDict({"train": Dataset.from_list(rows)})


def mapped(*, dataset: DatasetDict, calls: list[int], drop: str = "") -> Any:
    """As XTuner does: add a column, leave out what has no labels."""
    made = dataset["train"]
    calls.append(len(made))
    made = made.map(lambda row: {"input_ids": [ord(char) for char in _word(row)]})
    return made.filter(lambda row: _word(row) != drop)


def _word(row: dict[str, Any]) -> str:
    return str(row["conversations"][0]["value"])


@pytest.mark.parametrize("drop", ["", "b"])
@pytest.mark.parametrize("words", ["ab", "abcabc", "aab", "a", "bcb", "bb"])
def test_the_same_rows_in_the_same_order(words: str, drop: str) -> None:
    calls: list[int] = []
    some = samples(*words)
    plain = mapped(dataset=some, calls=[], drop=drop)
    made = repeated.process(mapped, some, calls=calls, drop=drop)
    assert made.to_list() == plain.to_list()
    assert made.column_names == plain.column_names
    assert calls == [len(set(words))]

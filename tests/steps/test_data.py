"""The data step: what it refuses, in words, and what it writes."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from llavakit.errors import DataError
from llavakit.steps import conversations, data

KIT = Path(__file__).resolve().parents[2]
SAMPLE = KIT / "data" / "sample"
SHARED = Path(os.environ.get("LLAVAKIT_SHARED", KIT.parent / "shared"))
TUTORIAL = SHARED / "tutorial" / "llava_data"
REPEATED_200_SHA256 = "a6b6e829209c08787ed89386e21f3b02a32866853869db1779dd076ed2cf4aeb"
"""Of the tutorial's repeated_data.json at -n 200."""


def turns(*said):
    return [{"from": who, "value": text} for who, text in said]


GOOD = turns(("human", "<image>\nWhat?"), ("gpt", "A dot."), ("human", "Why?"), ("gpt", "So."))


def item(**changes):
    return {"id": "1", "image": "dot.png", "conversations": GOOD, **changes}


@pytest.fixture
def folder(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    Image.new("RGB", (8, 6), "red").save(source / "dot.png")
    Image.new("RGB", (8, 6), "red").save(tmp_path / "outside.png")
    (source / "link.png").symlink_to(tmp_path / "outside.png")
    (source / "inside-link.png").symlink_to("dot.png")
    (source / "text.png").write_text("no picture")
    (source / "half.png").write_bytes((source / "dot.png").read_bytes()[:50])
    (source / "folder.png").mkdir()
    return source


def look(folder, content):
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / "c.json").write_text(text, encoding="utf-8")
    raw, items = conversations.read(folder, "c.json")
    return raw, items, conversations.check_pictures(folder, items)


@pytest.mark.parametrize(
    ("content", "name", "part"),
    [
        ("[", "not-json", "c.json"),
        ("[" * 100_000, "not-json", "c.json"),
        ('{"a": 1}', "not-a-list", "c.json"),
        ("[1]", "not-a-list", "c.json"),
        ("[]", "empty", "c.json"),
        ([item(), {"id": "1", "image": "dot.png"}], "bad-item", "Item 2"),
        ([{"image": "dot.png", "conversations": GOOD}], "bad-item", "at id"),
        ([item(image="")], "bad-item", "at image"),
        ([item(image=None)], "bad-item", "at image"),
        ([item(conversations=[])], "bad-item", "at conversations"),
        ([item(conversations=turns(("user", "hi")))], "bad-item", "conversations.0.from"),
        ([item(conversations=turns(("human", "")))], "bad-item", "conversations.0.value"),
        ([item(conversations=GOOD[1:])], "bad-roles", "Turn 1 of item 1"),
        ([item(), item(conversations=GOOD[:2] + GOOD[1:])], "bad-roles", "Turn 3 of item 2"),
        ([item(conversations=GOOD[:3])], "no-answer", "Item 1"),
        ([item(conversations=turns(("human", "What?"), ("gpt", "x")))], "image-token", "Item 1"),
        ([item(conversations=turns(("human", "<image><image>"), ("gpt", "x")))], "image-token",
         "Item 1"),
        ([item(conversations=GOOD[:2] + turns(("human", "<image>?"), ("gpt", "x")))],
         "image-token", "Item 1"),
        ([item(conversations=turns(("human", "<image>?"), ("gpt", "an <image>")))],
         "image-token", "Item 1"),
        ([item(), item(), item(image="gone.png")], "no-picture", "Item 3"),
        ([item(image="folder.png")], "no-picture", "folder.png"),
        ([item(image="../outside.png")], "outside-folder", "../outside.png"),
        ([item(image="/etc/passwd")], "outside-folder", "/etc/passwd"),
        ([item(image="link.png")], "outside-folder", "link.png"),
        ([item(image="./dot.png")], "outside-folder", "./dot.png"),
        ([item(image="text.png")], "not-a-picture", "text.png"),
        ([item(image="half.png")], "not-a-picture", "half.png"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(folder, content, name, part):
    with pytest.raises(DataError) as caught:
        look(folder, content)
    assert caught.value.name == name
    assert part in caught.value.what()
    assert caught.value.remedy()


def test_equal_ids_numbers_unknown_keys_and_links_inside_are_fine(folder):
    content = [item(), item(id=7, extra=[1]), item(image="inside-link.png")]
    raw, items, pictures = look(folder, content)
    assert raw == content
    assert len(items) == 3
    assert pictures == ["dot.png", "inside-link.png"]


def test_missing_folder_and_file(tmp_path):
    for folder, name in ((tmp_path / "none", "no-folder"), (tmp_path, "no-file")):
        with pytest.raises(DataError) as caught:
            conversations.read(folder, "c.json")
        assert caught.value.name == name


def test_not_utf_8(folder):
    (folder / "c.json").write_bytes('["\u4e2d"]'.encode("gbk"))
    with pytest.raises(DataError) as caught:
        conversations.read(folder, "c.json")
    assert caught.value.name == "not-json"


def test_questions_collect_every_answer_of_a_pair(folder):
    first = turns(("human", "What is it?<image>"), ("gpt", "A dot. "))
    again = turns(("human", "<image>\nWhat is it?"), ("gpt", "Red."))
    content = [item(), item(conversations=first), item(conversations=again + GOOD[2:]), item()]
    _, items, pictures = look(folder, content)
    rows = data.questions(items, pictures)["questions"]
    assert [(row["question"], row["opens"], row["references"]) for row in rows] == [
        ("What?", True, ["A dot."]),
        ("Why?", False, ["So."]),
        ("What is it?", True, ["A dot.", "Red."]),
    ]


@pytest.mark.skipif(not TUTORIAL.is_dir(), reason=f"the tutorial's data is not at {TUTORIAL}")
def test_the_tutorials_data_is_repeated_byte_for_byte():
    raw, items = conversations.read(TUTORIAL, "unique_data.json")
    assert conversations.check_pictures(TUTORIAL, items) == ["test_img/oph.jpg"]
    text = data.repeated_text(raw, 200)
    assert hashlib.sha256(text.encode("utf-8")).hexdigest() == REPEATED_200_SHA256
    asked = data.questions(items, ["test_img/oph.jpg"])["questions"]
    opening = {row["question"]: len(row["references"]) for row in asked if row["opens"]}
    assert opening["Describe this image."] == 3
    assert len(opening) == 4


def test_the_step_writes_what_training_reads(bench):
    here = bench("data.repeat=3")
    here.must("data", "--source", "inputs/data", "--out", "data/d")
    unique = json.loads((SAMPLE / "conversations.json").read_text(encoding="utf-8"))
    assert here.json("data/d/conversations.json") == unique * 3
    names = sorted(path.name for path in (here.root / "data/d/pictures/images").iterdir())
    assert names == sorted(path.name for path in (SAMPLE / "images").iterdir())
    assert [path.name for path in (here.root / "data").iterdir()] == ["d"]


def test_a_mistake_is_one_readable_line_and_nothing_is_left(bench, folder):
    (folder / "conversations.json").write_text(json.dumps([item(image="gone.png")]))
    here = bench(source=folder)
    (here.root / "data").mkdir()
    done = here.step("data", "--source", "inputs/data", "--out", "data/d")
    assert done.rc == 1
    assert (done.error.id, done.error.params["image"]) == ("data.no-picture", "gone.png")
    assert "Traceback" not in done.output
    assert list((here.root / "data").iterdir()) == []


def test_the_sample_is_what_its_sums_say():
    lines = (SAMPLE / "SHA256SUMS").read_text().splitlines()
    for line in lines:
        sha, name = line.split("  ")
        assert hashlib.sha256((SAMPLE / name).read_bytes()).hexdigest() == sha, name
    on_disk = {path.relative_to(SAMPLE).as_posix() for path in SAMPLE.rglob("*") if path.is_file()}
    assert {line.split("  ")[1] for line in lines} == on_disk - {"SHA256SUMS"}


def test_the_sample_can_be_drawn_again(tmp_path):
    script = KIT / "scripts" / "make_sample.py"
    subprocess.run([sys.executable, script, tmp_path], check=True)
    for path in SAMPLE.rglob("*"):
        if path.is_file():
            made = (tmp_path / path.relative_to(SAMPLE)).read_bytes()
            assert made == path.read_bytes(), path.name

"""`invoke report`: one page that asks nothing of anybody, whatever strangers wrote into it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from host.test_expecting import recipe
from records import body

from llavakit import record
from llavakit.host import finding, report, report_chart, report_markdown
from llavakit.host.console import Screen
from llavakit.host.report_chart import BUCKETS
from llavakit.workspace import Workspace

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
EVIL = (
    '<script>alert("1")</script> | a\nb `x` **y** @someone https://evil.invalid ]]> \x1b[31m \u202e'
)
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """A page's elements; every one that was opened is closed, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def named(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


def answer(image: str = "images/a.png", text: str = EVIL, **more: Any) -> dict[str, Any]:
    side = {"answer": text, "rouge_l": 0.5, "exact": 0.0}
    return {"image": image, "question": text, "references": [text], "before": side,
            "after": side, "swapped": side, "swapped_image": image, **more}  # fmt: skip


def workspace(root: Path, **results: Any) -> Workspace:
    """One run whose picture images/a.png is there."""
    content = body(recipe=recipe(iterations=4))
    picture = root / "data" / "tiny-1" / "pictures" / "images" / "a.png"
    picture.parent.mkdir(parents=True)
    picture.write_bytes(PNG)
    named = f"data/tiny-1/pictures/images/{picture.name}"
    content["results"]["artefacts"]["data"][named] = hashlib.sha256(PNG).hexdigest()
    content["results"] |= {"answers": [answer()], **results}
    write(root, content)
    return Workspace(root)


def write(root: Path, content: dict[str, Any]) -> None:
    folder = root / "runs" / content["id"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / record.FILE_NAME).write_text(json.dumps(content))


def both(place: Workspace, lang: str = "en", run: str = "") -> tuple[str, str]:
    assert report.report(place, run, markdown=False, screen=Screen(lang=lang)) == 0
    folder = finding.find(place, run).file.parent
    return (folder / "report.html").read_text(), (folder / "report.md").read_text()


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_nothing_runs_and_nothing_is_fetched(tmp_path: Path, lang: str) -> None:
    text, _ = both(workspace(tmp_path), lang)
    page = Page(text)
    tags = {tag for tag, _ in page.elements}
    assert tags.isdisjoint({"script", "link", "iframe", "object", "embed", "form", "base", "a"})
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")], tag
        for name in ("src", "href", "srcset", "data", "action"):
            assert attributes.get(name, "data:").startswith("data:"), tag
    [policy] = [each for each in page.named("meta") if "http-equiv" in each]
    assert policy["content"].startswith("default-src 'none'")
    [style] = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    assert "url(" not in style
    assert "@import" not in style
    assert "{" not in re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)


def test_what_strangers_wrote_is_text(tmp_path: Path) -> None:
    content = body(run="tiny-1", recipe=recipe(iterations=4))
    content["identity"]["weights"] = {EVIL: "a" * 64}
    content["identity"]["recipe"]["name"] = EVIL
    content["provenance"]["stages"][0] |= {"label": EVIL, "error": EVIL, "outcome": "failed"}
    content["provenance"]["trained_on"][0]["cpu"] = EVIL
    content["results"]["metric"] = {"name": EVIL}
    content["results"]["answers"] = [answer(image=f"../{EVIL}")]
    write(tmp_path, content)
    text, told = both(Workspace(tmp_path))
    page = Page(text)
    assert page.named("script") == []
    assert '<script>alert("1")</script>' in page.text
    for made in (text, told):
        assert not {"\x1b", "\u202e"} & set(made)
        assert "<script" not in made


def test_it_is_well_formed_to_the_letter(tmp_path: Path) -> None:
    text, _ = both(workspace(tmp_path))
    strict = re.sub(r"<(meta|img|br)([^>]*)>", r"<\1\2/>", text.removeprefix("<!DOCTYPE html>"))
    assert ET.fromstring(strict).tag == "html"  # noqa: S314 - our own


def test_pictures_are_inside_with_the_recorded_bytes(tmp_path: Path) -> None:
    place = workspace(tmp_path)
    [image] = Page(both(place)[0]).named("img")
    assert base64.b64decode(image["src"].removeprefix("data:image/png;base64,")) == PNG
    picture = tmp_path / "data" / "tiny-1" / "pictures" / "images" / "a.png"
    for change, said in ((PNG + b"x", "other bytes than recorded"), (None, "not here any more")):
        picture.write_bytes(change) if change else picture.unlink()
        page = Page(both(place)[0])
        assert page.named("img") == []
        assert said in page.text


@pytest.mark.parametrize(
    ("named", "image", "content", "said"),
    [
        ("data/x/pictures/a.svg", "a.svg", b"<svg/>", "no format that can be shown"),
        ("data/../../secret/pictures/a.png", "a.png", PNG, "not named by the record"),
        ("/pictures/a.png", "a.png", PNG, "not named by the record"),
        ("data/x/pictures/a.png", "../../pictures/a.png", PNG, "not named by the record"),
        ("data/x/pictures/a.png", "a.png", PNG + b"x" * (3 << 20), "too large to show"),
    ],
)
def test_a_file_that_is_no_picture_of_the_data_stays_out(
    tmp_path: Path, named: str, image: str, content: bytes, said: str
) -> None:
    made = body(recipe=recipe(iterations=4))
    made["results"]["artefacts"]["data"] = {named: hashlib.sha256(content).hexdigest()}
    made["results"]["answers"] = [answer(image, "x")]
    write(tmp_path, made)
    path = tmp_path / "data" / "x" / "pictures" / Path(image).name
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    page = Page(both(Workspace(tmp_path))[0])
    assert page.named("img") == []
    assert said in page.text


def test_the_verdict_comes_first_and_in_both_languages(tmp_path: Path) -> None:
    place = workspace(tmp_path)
    for lang, said, code in (
        ("en", "As its recipe expects", "en"),
        ("zh", "符合配方预期", "zh-CN"),
    ):
        text, told = both(place, lang)
        page = Page(text)
        assert page.named("html") == [{"lang": code}]
        heading = "Figures" if lang == "en" else "主要数据"
        for made in (page.text, told):
            assert -1 < made.find(said) < made.find(heading)
    content = body(recipe=recipe(iterations=5))
    write(tmp_path, content)
    text, told = both(place)
    assert "NOT as its recipe expects: iterations" in text
    assert "❌ NOT as its recipe expects" in told


def test_a_reproduction_is_told_on_both_sides(tmp_path: Path) -> None:
    place = workspace(tmp_path)
    original = finding.find(place, "tiny-1").run
    again = body(run="tiny-2", recipe=recipe(iterations=4))
    again["results"] |= {"answers": [answer()]}
    origin = {"id": original.id, "sha256": record.fingerprint(original)}
    again["provenance"]["reproduces"] = origin
    write(tmp_path, again)
    assert "Made again as tiny-2: reproduced bit by bit" in both(place, run="tiny-1")[0]
    assert "Made from the record of tiny-1: reproduced bit by bit" in both(place, run="tiny-2")[0]
    again["provenance"]["reproduces"] = {**origin, "sha256": "0" * 64}
    write(tmp_path, again)
    assert "not compared here" in both(place, run="tiny-2")[0]


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_an_unfinished_run_says_what_it_lacks(tmp_path: Path, lang: str) -> None:
    content = body()
    content["results"] = {}
    content["provenance"]["trained_on"] = []
    content["provenance"]["stages"][0] |= {"outcome": "failed", "error": "step.failed"}
    write(tmp_path, content)
    text, told = both(Workspace(tmp_path), lang)
    page = Page(text)
    assert page.named("svg") == []
    for said in ("step.failed", "no training ended" if lang == "en" else "训练没有完成"):
        assert said in page.text
    assert "invoke reproduce" not in text
    assert report_markdown.escaped("step.failed") in told
    content["provenance"]["stages"] = []
    write(tmp_path, content)
    both(Workspace(tmp_path), lang)


def test_a_long_training_makes_no_large_file(tmp_path: Path) -> None:
    losses = [3.0 / (1 + n / 50) + (n % 7) * 0.1 for n in range(1200)]
    text, told = both(workspace(tmp_path, losses=losses, iterations=1200))
    assert len(text) < 40_000
    assert len(told) < 10_000
    [line] = Page(text).named("polyline")
    assert len(line["points"].split()) <= BUCKETS
    assert len(Page(text).named("polygon")) == 1


@pytest.mark.parametrize(
    "losses",
    [[1.0], [2.0, 2.0], [0.0, 0.0], [-1.0, 4.0], [1e-9, 1e6], [7.0, 0.01], [0.0, 1e-30],
     [1e300, 1.0], [5.0] * 161, list(range(1, 400))],
    ids=str,
)  # fmt: skip
def test_any_losses_are_drawn_inside_the_plot(losses: list[float]) -> None:
    chart = report_chart.draw(losses)
    assert chart
    points = [tuple(map(float, pair.split(","))) for pair in
              f"{chart.line} {chart.band}".split()]  # fmt: skip
    assert all(chart.left - 0.1 <= x <= chart.right + 0.1 for x, _ in points)
    assert all(chart.top - 0.1 <= y <= chart.bottom + 0.1 for _, y in points)
    assert 2 <= len(chart.y_ticks) <= 14
    assert 1 <= len(chart.x_ticks) <= 8
    assert 1 <= len(report_chart.sparkline(losses)) <= report_chart.SPARKS
    assert report_chart.draw([]) is None


def test_the_markdown_s_tables_hold_whatever_is_in_a_cell(tmp_path: Path) -> None:
    _, told = both(workspace(tmp_path))
    tables = re.findall(r"(?:^\|.*\n)+", told, re.MULTILINE)
    assert len(tables) == 4
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1
    assert "@someone" not in told
    assert "https://" not in told
    assert "**y**" not in told


def test_paths_for_programs_and_markdown_for_pull_requests(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = workspace(tmp_path)
    screen = Screen(json_output=True)
    report.report(place, "tiny-1", markdown=False, screen=screen)
    screen.close(0)
    told = json.loads(capsys.readouterr().out)
    folder = tmp_path / "runs" / "tiny-1"
    assert told == {"run": "tiny-1", "html": str(folder / "report.html"),
                    "markdown": str(folder / "report.md")}  # fmt: skip
    report.report(place, "tiny-1", markdown=True, screen=Screen())
    assert capsys.readouterr().out.startswith("# Run tiny-1\n")
    elsewhere = tmp_path / "mine.json"
    elsewhere.write_text((folder / record.FILE_NAME).read_text())
    report.report(place, str(elsewhere), markdown=False, screen=Screen())
    assert "not here any more" in (tmp_path / "mine.report.html").read_text()
    assert "invoke reproduce mine.json" in (tmp_path / "mine.report.md").read_text()

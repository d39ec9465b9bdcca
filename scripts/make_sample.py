"""Draw the kit's sample set: six small pictures and what is said about them.

Usage: ``python scripts/make_sample.py [FOLDER]`` (default ``data/sample``). Needs Pillow. With
``--held-out`` it draws into FOLDER (``data/grading``) what assignments ask about and nobody trains
on: each scene as it looks in a mirror, a little smaller. All six
conversations open with the same question and go on with a question of their own, so that only
the picture can decide the first answer. The same Pillow version gives the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw

SIDE = 96
FIRST_QUESTION = "What does this picture show?"
Draw = Callable[[ImageDraw.ImageDraw], None]


class Scene(NamedTuple):
    name: str
    background: str
    draw: Draw
    answer: str
    follow_up: str
    second_answer: str


def _boat(d: ImageDraw.ImageDraw) -> None:
    d.rectangle((0, 60, 95, 95), fill="#0b6e7f")
    d.polygon([(48, 8), (48, 54), (16, 54)], fill="#ffffff")
    d.polygon([(52, 18), (52, 54), (78, 54)], fill="#f4f4f4")
    d.polygon([(14, 58), (82, 58), (70, 74), (26, 74)], fill="#8a3b12")


def _lighthouse(d: ImageDraw.ImageDraw) -> None:
    d.polygon([(56, 22), (95, 4), (95, 40)], fill="#ffe66d")
    for step in range(4):
        y = 28 + step * 16
        d.rectangle((38, y, 58, y + 15), fill="#d7263d" if step % 2 else "#f5f5f5")
    d.rectangle((41, 16, 55, 27), fill="#ffe66d")


def _cactus(d: ImageDraw.ImageDraw) -> None:
    d.ellipse((66, 6, 88, 28), fill="#fff3b0")
    d.rectangle((0, 68, 95, 95), fill="#c9822b")
    d.rectangle((42, 22, 56, 80), fill="#1f7a3a")
    d.rectangle((22, 38, 42, 48), fill="#1f7a3a")
    d.rectangle((22, 28, 32, 48), fill="#1f7a3a")
    d.rectangle((56, 46, 74, 56), fill="#1f7a3a")


def _snowman(d: ImageDraw.ImageDraw) -> None:
    d.ellipse((24, 48, 72, 94), fill="#ffffff", outline="#9fb3c8")
    d.ellipse((32, 22, 64, 54), fill="#ffffff", outline="#9fb3c8")
    d.rectangle((34, 6, 62, 24), fill="#1b1b1e")
    d.polygon([(48, 36), (70, 41), (48, 44)], fill="#ff7f11")


def _fish(d: ImageDraw.ImageDraw) -> None:
    d.polygon([(62, 48), (90, 26), (90, 70)], fill="#ff8c1a")
    d.ellipse((10, 28, 70, 68), fill="#ff8c1a")
    d.ellipse((22, 38, 30, 46), fill="#000000")
    for x, y in ((8, 14), (22, 6), (36, 16)):
        d.ellipse((x, y, x + 7, y + 7), outline="#d6f0ff")


def _door(d: ImageDraw.ImageDraw) -> None:
    for row in range(8):
        for column in range(-1, 5):
            x = column * 24 + (row % 2) * 12
            d.rectangle((x, row * 12, x + 22, row * 12 + 10), fill="#a23e2c")
    d.rectangle((30, 26, 66, 95), fill="#5b2a86")
    d.ellipse((56, 58, 62, 64), fill="#f2c14e")


SCENES = (
    Scene(
        "boat",
        "#bfe3f2",
        _boat,
        "A sailing boat with two white sails glides over calm water.",
        "What is the hull made of?",
        "Brown wooden planks.",
    ),
    Scene(
        "lighthouse",
        "#14213d",
        _lighthouse,
        "It is night and a striped lighthouse sends out its yellow beam.",
        "Which colours are the stripes?",
        "They alternate between red and cream.",
    ),
    Scene(
        "cactus",
        "#ffd29d",
        _cactus,
        "One tall green cactus grows in the sandy desert below a pale sun.",
        "How many arms has the plant?",
        "Two, one on either side.",
    ),
    Scene(
        "snowman",
        "#dfeaf4",
        _snowman,
        "Somebody built a round snowman wearing a black top hat.",
        "Where is the carrot?",
        "The carrot serves as his nose.",
    ),
    Scene(
        "fish",
        "#1c5fa8",
        _fish,
        "An orange goldfish swims to the left while bubbles rise.",
        "Is the animal on land?",
        "No, everything around it is under water.",
    ),
    Scene(
        "door",
        "#d9c7b8",
        _door,
        "This brick wall has exactly one purple door that stays shut.",
        "What shines on it?",
        "Only the golden knob.",
    ),
)


def conversation(number: int, scene: Scene) -> dict[str, object]:
    """One item in LLaVA's format."""
    said = (
        ("human", f"<image>\n{FIRST_QUESTION}"),
        ("gpt", scene.answer),
        ("human", scene.follow_up),
        ("gpt", scene.second_answer),
    )
    return {
        "id": f"sample-{number}",
        "image": f"images/{scene.name}.png",
        "conversations": [{"from": who, "value": text} for who, text in said],
    }


def make_held_out(folder: Path) -> None:
    """Write one picture for each scene and their SHA256SUMS to ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for scene in SCENES:
        picture = Image.new("RGB", (SIDE, SIDE), scene.background)
        scene.draw(ImageDraw.Draw(picture))
        small = picture.transpose(Image.FLIP_LEFT_RIGHT).resize((SIDE - 6, SIDE - 6), Image.NEAREST)
        held_out = Image.new("RGB", (SIDE, SIDE), scene.background)
        held_out.paste(small, (3, 3))
        held_out.save(folder / f"{scene.name}.png", optimize=False)
    write_sums(folder, sorted(folder.glob("*.png")))


def make(folder: Path) -> None:
    """Write pictures, conversations.json and their SHA256SUMS to ``folder``."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for scene in SCENES:
        picture = Image.new("RGB", (SIDE, SIDE), scene.background)
        scene.draw(ImageDraw.Draw(picture))
        picture.save(folder / "images" / f"{scene.name}.png", optimize=False)
    items = [conversation(number, scene) for number, scene in enumerate(SCENES, start=1)]
    text = json.dumps(items, ensure_ascii=False, indent=4) + "\n"
    (folder / "conversations.json").write_text(text, encoding="utf-8")
    write_sums(folder, [folder / "conversations.json", *sorted((folder / "images").glob("*.png"))])


def write_sums(folder: Path, files: list[Path]) -> None:
    """SHA256SUMS of ``files``, which lie in ``folder``."""
    sums = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}\n"
        for path in files
    ]
    (folder / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--held-out", action="store_true")
    args = parser.parse_args()
    if args.held_out:
        make_held_out(args.folder or Path("data/grading"))
    else:
        make(args.folder or Path("data/sample"))

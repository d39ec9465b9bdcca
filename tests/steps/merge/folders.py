"""Where the merged folder and what it is made from lie, and what tests do with them."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from llavakit.errors import WeightsError
from llavakit.steps import merged_weights

MODELS, TUNED, MERGED = "models/m", "runs/r/tuned", "runs/r/merged"


def tokens_of(folder):
    config = json.loads((folder / "config.json").read_text())
    rows = config["text_config"]["vocab_size"]
    return merged_weights.Tokens(config["image_token_index"], config["pad_token_id"], rows)


def refused(chain, tuned, models=None):
    tokens = merged_weights.Tokens(557, 558, 576)
    with pytest.raises(WeightsError) as caught:
        merged_weights.opened(models or chain.root / MODELS, tuned, tokens, "float32")
    return caught.value


def picture(wide, high, mode="RGB"):
    """Every pixel has another colour than its neighbours."""
    count = wide * high * len(mode)
    return Image.frombytes(mode, (wide, high), bytes((7 * n + n // 91) % 256 for n in range(count)))

"""The list of licences is what the installed packages say."""

from __future__ import annotations

import email
import json
from importlib import util
from pathlib import Path

import pytest

KIT = Path(__file__).parents[2]
spec = util.spec_from_file_location("list_licences", KIT / "scripts" / "list_licences.py")
list_licences = util.module_from_spec(spec)
spec.loader.exec_module(list_licences)


def test_the_list_is_that_of_the_environment():
    assert json.loads((KIT / "docker" / "licences.json").read_text()) == list_licences.licences()


@pytest.mark.parametrize(
    ("about", "found"),
    [
        ("License-Expression: MIT", {"id": "MIT"}),
        ("License: MPL-2.0 AND MIT", {"expression": "MPL-2.0 AND MIT"}),
        ("License: BSD 3-Clause License\n        with all its words", {"id": "BSD-3-Clause"}),
        ("License: BSD\nClassifier: License :: OSI Approved :: BSD License",
         {"name": "BSD License"}),
        ("Classifier: License :: A\nClassifier: License :: OSI Approved :: MIT License",
         {"name": "A, MIT License"}),
        ("License: Their Own\nClassifier: License :: Other/Proprietary License",
         {"name": "Their Own"}),
        ("License: UNKNOWN", {}),
        ("Classifier: License :: Other/Proprietary License", {"name": "Other/Proprietary License"}),
    ],
)  # fmt: skip
def test_words_that_mean_one_licence_become_its_id(about, found):
    assert list_licences.licence(email.message_from_string(about)) == found

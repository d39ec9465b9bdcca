"""Records to test with, of version 2 and as version 1 wrote them."""

from __future__ import annotations

import copy
from typing import Any

SHA = {name: char * 64 for name, char in zip("abcdef", "abcdef", strict=True)}
MACHINE = {"python": "3.10.13", "cpu": "Some CPU", "instructions": "AVX512", "threads": 1,
           "torch": "2.1.2+cu121", "cuda": "12.1", "device": "cpu", "gpu": None}  # fmt: skip


def body(run: str = "tiny-1", **more: Any) -> dict[str, Any]:
    """A finished run of four iterations; ``more`` are parts of its identity."""
    losses = [4.0, 3.0, 2.0, 1.0]
    return {
        "version": 2,
        "id": run,
        "created": "2026-11-24T12:00:00Z",
        "identity": {
            "lock": SHA["a"],
            "base": None,
            "python": "3.10.13",
            "steps": SHA["b"],
            "template": SHA["c"],
            "weights": {"llm/model.safetensors": SHA["d"]},
            "data": {"conversations.json": SHA["e"]},
            "recipe": {"name": "tiny", "seed": 0, "train": {"learning_rate": 0.003},
                       "weights": {"llm": {"source": "drawn", "layers": 2}},
                       "data": {"folder": "data/sample", "file": "c.json", "repeat": 80}},
            "seed": 0,
            "world_size": 1,
            **more,
        },
        "provenance": {
            "hosts": {},
            "stages": [
                {
                    "label": "train",
                    "key": SHA["f"],
                    "outcome": "done",
                    "engine": "local",
                    "kit": {"commit": "1" * 40, "dirty": False},
                    "steps": SHA["b"],
                    "argv": ["-m", "llavakit.steps.train"],
                    "started": "2026-11-24T12:00:00Z",
                    "machine": copy.deepcopy(MACHINE),
                }
            ],
            "trained_on": [copy.deepcopy(MACHINE)],
        },
        "results": {
            "artefacts": {
                "models": {"models/drawn-1/llm/model.safetensors": SHA["d"]},
                "data": {"data/tiny-1/conversations.json": SHA["e"]},
                "train": {f"runs/{run}/train/iter_4_weights.pth": SHA["a"],
                          f"runs/{run}/train/history.json": SHA["b"]},
                "convert": {f"runs/{run}/tuned/projector/model.safetensors": SHA["c"]},
            },
            "iterations": 4,
            "losses": losses,
            "learning_rates": [0.003, 0.002, 0.001, 0.0],
            "seconds": [None, 0.1, 0.1, 0.3],
            "seconds_per_iteration": 0.1,
            "peak_host_mib": 700,
            "scores": {"before": {"rouge_l": 0.0, "exact": 0.0},
                       "after": {"rouge_l": 1.0, "exact": 1.0}},
        },
    }  # fmt: skip


def first_version() -> dict[str, Any]:
    """What the kit wrote on 2026-11-24, at commit 6227619 and later, cut short."""
    return {
        "version": 1,
        "id": "tiny-3a14cde5",
        "created": "2026-11-24T14:40:25Z",
        "identity": {"lock": SHA["a"], "recipe": {"name": "tiny"}, "seed": 0, "steps": SHA["b"],
                     "weights": {"llm/config.json": SHA["c"]}, "data": {}, "world_size": 1},
        "provenance": {
            "stages": [
                {
                    "argv": ["-m", "llavakit.steps.models"],
                    "described": {"engine": "local", "kernel": "6.18.44"},
                    "engine": "local",
                    "error": None,
                    "exit_code": 0,
                    "gpus": [],
                    "guarantees": ["outlives-client"],
                    "key": SHA["d"],
                    "kit": "62276198370cfc7d40d30e10d3f3b6045585e060-dirty",
                    "label": "models",
                    "seconds": 7.63,
                    "started": "2026-11-24T14:40:17Z",
                    "steps": SHA["b"],
                },
                {
                    "argv": [], "described": {}, "engine": None, "error": "step.failed",
                    "exit_code": None, "guarantees": [], "key": SHA["d"], "kit": "unknown",
                    "label": "train", "seconds": 1.0, "started": "2026-11-24T14:41:17Z",
                    "steps": SHA["b"],
                },
            ]
        },
        "results": {"artefacts": {"models": {"models/x/llm/config.json": SHA["c"]}},
                    "iterations": 2, "losses": [2.5, 1.5],
                    "scores": {"after": {"exact": 1.0, "rouge_l": None}}},
    }  # fmt: skip

"""The few places where XTuner 0.1.18 and mmengine 0.10.4 are changed, and why.

Each function changes one thing, for the life of the process. Nothing here changes what is
trained: the same config gives the same weights under plain ``xtuner train``.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any


def map_in_this_process() -> None:
    """XTuner maps every dataset with 32 processes, whatever the host and the data's size.

    The number is a default argument that no config reaches. On two cores the six passes over a
    few hundred samples take 20 s by processes and less than one without.
    """
    import xtuner.dataset.llava as module

    module.process_hf_dataset = functools.partial(module.process_hf_dataset, map_num_proc=None)


def keep_rendered_config() -> None:
    """mmengine dumps the parsed config over a file of the same name in the work folder.

    That file is ours, with its comments; the dump would add absolute paths.
    """
    from mmengine.runner import Runner
    from mmengine.runner._flexible_runner import FlexibleRunner

    for runner in (Runner, FlexibleRunner):
        runner.dump_config = lambda self: None


def load_projector_safely() -> None:
    """XTuner unpickles the pretrained projector with ``torch.load``, which runs what is in it."""
    import torch
    import xtuner.model.llava as module

    def load(path: str) -> Any:
        state = torch.load(Path(path), map_location="cpu", weights_only=True)
        return state.get("state_dict", state)

    module.guess_load_checkpoint = load


def register_hook(hook: Any) -> None:
    """Add a hook to whatever runner XTuner builds; a config cannot name one of ours without
    importing the kit.
    """
    from mmengine.runner import Runner
    from mmengine.runner._flexible_runner import FlexibleRunner

    for runner in (Runner, FlexibleRunner):
        runner.train = _with_hook(runner.train, hook)


def _with_hook(train: Any, hook: Any) -> Any:
    @functools.wraps(train)
    def wrapped(self: Any) -> Any:
        self.register_hook(hook)
        return train(self)

    return wrapped

"""Read the tensors of a ``.pth`` file whose pickle names more than tensors, and run none of it.

XTuner's checkpoints hold mmengine's counters beside the weights, which ``weights_only`` refuses.
Here their classes become :class:`Inert`, which takes whatever it is given and does nothing; a name
outside a short list of such classes is refused.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

TENSORS = frozenset(
    {
        ("torch._utils", "_rebuild_tensor_v2"),
        ("torch._utils", "_rebuild_parameter"),
        ("collections", "OrderedDict"),
    }
)
"""What rebuilds tensors and the dict they lie in; storages are torch.load's own affair."""
PLAIN = frozenset({"set", "dict", "list"})
BUILTINS = ("builtins", "__builtin__")
"""Under both names that pickles of different protocols use."""
INERT_MODULES = ("mmengine.", "numpy.", "_codecs.")
"""Whose objects a checkpoint of XTuner's holds beside its tensors: none of them is ever made."""


class Inert:
    """Stands for an object that is not wanted; every way to fill it does nothing."""

    def __new__(cls, *_: Any, **__: Any) -> Inert:
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        return

    def __setstate__(self, _: Any) -> None:
        return

    def __setitem__(self, *_: Any) -> None:
        return

    def append(self, _: Any) -> None:
        """As a list would."""

    def extend(self, _: Any) -> None:
        """As a list would."""

    def add(self, _: Any) -> None:
        """As a set would."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in TENSORS or (module in BUILTINS and name in PLAIN):
            return super().find_class(module, name)
        # mmengine's history keeps its methods, as getattr(history, name).
        if f"{module}.".startswith(INERT_MODULES) or (module in BUILTINS and name == "getattr"):
            return Inert
        raise pickle.UnpicklingError(f"it names {module}.{name}, which could run code")


_MODULE = SimpleNamespace(__name__="pickle", Unpickler=_Unpickler, load=None)


def load(path: Path) -> Any:
    """What :func:`torch.load` gives for a zip checkpoint, everything but tensors made inert.

    Raises whatever torch and pickle raise for a file that is none, and UnpicklingError for one
    that names what could run code.
    """
    import torch

    return torch.load(path, map_location="cpu", pickle_module=_MODULE, weights_only=False)

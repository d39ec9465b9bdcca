"""The adapters' first numbers, drawn by a thread while libraries and weights are loaded.

PEFT draws them one after the other, three times as many as it keeps: of the tutorial's start that
was 16 s of 61 (on an H100's host). Here they come from a generator of the same seed in the same
order, so that the weights are the same bits; and where anything is not as it was foreseen, PEFT
draws them itself.
"""

from __future__ import annotations

import itertools
import math
import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llavakit.recipe import Recipe
from llavakit.steps import adapted, weights
from llavakit.steps.adapted import Layer

SLOPE = math.sqrt(5)
"""torch's and PEFT's argument for what a linear layer begins with."""
SKIPPED = 1 << 16


def draw(recipe: Recipe, models: Path, depth: int) -> Draws:
    """Begin to draw for ``recipe``; ``depth`` is the projector's number of layers.

    mmengine's runner for DeepSpeed begins to go through the data before it makes the model.
    """
    sizes = weights.sizes(models)
    widths = [sizes.vision, *[sizes.llm] * depth]
    projector = [Layer(*pair) for pair in itertools.pairwise(widths)]
    rank = recipe.train.llm_lora.rank
    loader = recipe.train.deepspeed != "none"
    return Draws(recipe.seed, sizes.vision, projector, adapted.llm(models), rank, loader=loader)


class Draws:
    """Begins to draw at once.

    Before the adapters XTuner draws the vision tower's class embedding, of ``width`` numbers, and
    the projector's layers with their biases; what is loaded then takes their places. With
    ``loader`` a data loader has drawn its seed before all of it.
    """

    def __init__(
        self,
        seed: int,
        width: int,
        projector: Sequence[Layer],
        layers: Sequence[Layer],
        rank: int,
        *,
        loader: bool = False,
    ) -> None:
        import torch

        self._layers, self._rank = list(layers), rank
        self._width, self._projector, self._loader = width, list(projector), loader
        self._generator = torch.Generator().manual_seed(seed)
        self._skipped = torch.empty(SKIPPED, dtype=torch.uint8)
        self._drawn: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._stopped = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def stop(self) -> None:
        """Draw no more, and keep nothing."""
        self._stopped.set()
        self._drawn = queue.SimpleQueue()

    def fits(self, model: Any) -> bool:
        """Whether torch's generator stands where these begin, and ``model`` has these layers."""
        import torch

        begin = self._drawn.get()
        found = (
            begin is not None
            and adapted.layers(model) == self._layers
            and torch.equal(begin, torch.get_rng_state())
        )
        if not found:
            self.stop()
        return found

    @contextmanager
    def given(self, device: Any) -> Iterator[None]:
        """Within, each new adapter is made on ``device`` and gets the next numbers; torch's
        generator goes on after them.
        """
        import torch

        draw, calls = torch.nn.init.kaiming_uniform_, self._calls()
        torch.nn.init.kaiming_uniform_ = lambda tensor, *args, **kwargs: next(calls)(tensor)
        try:
            with torch.device(device):
                yield
        finally:
            torch.nn.init.kaiming_uniform_ = draw
        torch.set_rng_state(self._next())

    def _calls(self) -> Iterator[Any]:
        """What to do with each tensor that PEFT would fill: both matrices of a new adapter, which
        torch fills first, and then the first of them again.
        """
        for _ in self._layers:
            yield _leave
            yield _leave
            yield self._give

    def _give(self, tensor: Any) -> Any:
        tensor.data = self._next().view_as(tensor).to(tensor.device)
        return tensor

    def _next(self) -> Any:
        found = self._drawn.get()
        if found is None:
            raise RuntimeError("the thread that draws ahead has failed; its error is above")
        return found

    def _run(self) -> None:
        drawn = self._drawn
        try:
            self._draw()
        except BaseException:  # nobody may wait for a thread that has ended
            drawn.put(None)
            raise

    def _draw(self) -> None:
        import torch

        drawn = self._drawn
        if self._loader:
            torch.empty((), dtype=torch.int64).random_(generator=self._generator)
        torch.randn(self._width, generator=self._generator)
        for layer in self._projector:
            self._skip(layer.inputs * layer.outputs + layer.outputs)
        drawn.put(self._generator.get_state())
        for layer in self._layers:
            if self._stopped.is_set():
                return
            first, second = self._rank * layer.inputs, self._rank * layer.outputs
            self._skip(first + second)
            drawn.put(self._uniform(first, _bound(layer.inputs)))
        drawn.put(self._generator.get_state())

    def _skip(self, count: int) -> None:
        """Go past ``count`` numbers, in half the time: a byte takes as much from torch's CPU
        generator as a float, and a small buffer stays in the CPU's cache.
        """
        for start in range(0, count, len(self._skipped)):
            self._skipped[: count - start].random_(generator=self._generator)

    def _uniform(self, count: int, bound: float) -> Any:
        import torch

        return torch.empty(count).uniform_(-bound, bound, generator=self._generator)


def _leave(tensor: Any) -> Any:
    return tensor


def _bound(inputs: int) -> float:
    """As torch's kaiming_uniform_ computes it."""
    import torch

    gain = float(torch.nn.init.calculate_gain("leaky_relu", SLOPE))
    return math.sqrt(3.0) * (gain / math.sqrt(inputs))

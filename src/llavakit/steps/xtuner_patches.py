"""The few places where XTuner 0.1.18, mmengine 0.10.4 and Transformers 4.40.1 are changed, and why.

Each function changes one thing, for the life of the process. Nothing here changes what is
trained: the same config gives the same weights under plain ``xtuner train``.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any

from llavakit.errors import WeightsError
from llavakit.steps import weights
from llavakit.steps.ahead import Draws

NOT_AHEAD = "llavakit: what was drawn ahead does not fit; PEFT draws"
"""In the log of a training whose start took longer than it needed."""


def map_in_this_process() -> None:
    """XTuner maps every dataset with 32 processes, whatever the host and the data's size.

    The number is a default argument that no config reaches. On two cores the six passes over a
    few hundred samples take 20 s by processes and less than one without. Data that are repeated,
    as the tutorial's 200 times, are mapped once.
    """
    import xtuner.dataset.llava as module

    from llavakit.steps import repeated

    process = functools.partial(module.process_hf_dataset, map_num_proc=None)
    module.process_hf_dataset = functools.partial(repeated.process, process)


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
    import xtuner.model.llava as module

    module.guess_load_checkpoint = lambda path: weights.tensors(Path(path))


def prepare_without_fp32_copies() -> None:
    """PEFT makes fp32 of whatever is not quantised, which the cast to bf16 then takes back.

    From fp16 to bf16 by way of fp32 is the same as at once. Of Llama-3-8B these are 2.1 GB on the
    GPU, twice.
    """
    import xtuner.model.llava as module

    module.prepare_model_for_kbit_training = _prepare_for_lora


def _prepare_for_lora(model: Any, use_gradient_checkpointing: bool = True) -> Any:
    model.requires_grad_(False)
    if use_gradient_checkpointing:
        model.enable_input_require_grads()
        model.gradient_checkpointing_enable()
    return model


def begin_adapters_with(draws: Draws) -> None:
    """The language model's adapters begin with numbers that were drawn ahead, if they fit."""
    import xtuner.model.llava as module

    make = module.get_peft_model

    def adapt(model: Any, *args: Any, **kwargs: Any) -> Any:
        module.get_peft_model = make  # the vision tower's are few
        if not draws.fits(model):
            sys.stdout.write(f"{NOT_AHEAD}\n")
            return make(model, *args, **kwargs)
        with draws.given(model.device):
            return make(model, *args, **kwargs)

    module.get_peft_model = adapt


def run_deepspeed_without_gpu() -> None:
    """Let ZeRO-2 run over gloo in a process that has no GPU; for tests of what GPU hosts run.

    * XTuner's strategy moves the preprocessor to the GPU.
    * DeepSpeed would compile a communication library of its own, with a compiler.
    * gloo cannot gather into one tensor; DeepSpeed takes it from torch that it can.
    * mmengine gives every rank its GPU before it looks whether there is one.
    """
    import deepspeed
    import torch
    from deepspeed.comm.torch import TorchBackend
    from mmengine.model.base_model.data_preprocessor import BaseDataPreprocessor

    BaseDataPreprocessor.cuda = lambda self, *args, **kwargs: self
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    TorchBackend.has_all_gather_into_tensor = lambda self: False
    torch.cuda.set_device = lambda device: None


def look_at_answers_on_one_rank() -> None:
    """XTuner writes the answers that it looks at from every rank, to one file.

    On a host without rank 0 that file's folder is not even there, and the rank dies.
    """
    from mmengine.dist import master_only
    from xtuner.engine.hooks import EvaluateChatHook

    EvaluateChatHook._save_eval_output = master_only(EvaluateChatHook._save_eval_output)


def never_run_foreign_code() -> None:
    """A folder of weights is data: no Python beside it and no pickle in it is ever run.

    * LLaVAModel reads the language model's config with ``trust_remote_code=True``, which imports
      the module that an ``auto_map`` in it names, whatever the rendered config says.
    * Whoever else asks Transformers for a class from a file is refused.
    * Transformers follows an ``adapter_config.json`` in a model's folder: to another model, and to
      an ``adapter_model.bin`` that PEFT unpickles. The kit's adapters never lie there.
    """
    import xtuner.model.llava as llava
    from transformers import dynamic_module_utils, modeling_utils
    from transformers.models.auto import auto_factory

    llava.AutoConfig = _LocalConfig
    dynamic_module_utils.get_class_in_module = _refuse_module
    for module in (modeling_utils, auto_factory):
        module.find_adapter_config_file = lambda *args, **kwargs: None


class _LocalConfig:
    """Transformers' AutoConfig, deaf to ``trust_remote_code``."""

    @staticmethod
    def from_pretrained(path: str, **kwargs: Any) -> Any:
        from transformers import AutoConfig

        return AutoConfig.from_pretrained(path, **{**kwargs, "trust_remote_code": False})


def _refuse_module(class_name: str, module_path: str | Path) -> Any:
    raise WeightsError("code", file=module_path)


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

"""What mmengine builds from a config, and what goes into its checkpoints."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.optim import CosineAnnealingLR, build_optim_wrapper
from mmengine.registry import MODEL_WRAPPERS
from mmengine.runner import runner as mmengine_runner
from steps.optimizer.small import make_model

from llavakit.steps.optimizer import (
    MasterWeightsHook,
    MixedPrecisionConstructor,
    MixedPrecisionOptimWrapper,
    hooks,
)


def config(**more):
    return {
        "type": MixedPrecisionOptimWrapper,
        "constructor": MixedPrecisionConstructor,
        "optimizer": {"lr": 0.1, "betas": (0.9, 0.95), "weight_decay": 0.0, "states": "host"},
        **more,
    }


class Model(BaseModel):
    """As XTuner's: it saves what is trained, by names of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.net = make_model()
        self.forgets = "nothing"

    def forward(self, x, mode="loss"):
        return {"loss": self.net(x).float().square().mean()}

    def state_dict(self, *args, **kwargs):
        state = super().state_dict(*args, **kwargs)
        kept = {name: value for name, value in state.items() if self.forgets not in name}
        return {name.replace("net.", "saved_"): value for name, value in kept.items()}


@pytest.fixture
def made(device):
    model = Model().to(device)
    return model, build_optim_wrapper(model, config(accumulative_counts=2))


def test_the_model_is_cast_as_zero2_does_it(made, device):
    model, wrapper = made
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    assert {value.dtype for value in [*model.parameters(), *model.buffers()]} == {dtype}
    trained = [param for param in model.parameters() if param.requires_grad]
    (group,) = wrapper.optimizer.param_groups
    assert all(a is b for a, b in zip(group["params"], trained, strict=True))
    assert group["betas"] == (0.9, 0.95)
    assert wrapper.clip_grad_kwargs is None


def test_parameters_move_when_the_gradients_are_complete_and_schedulers_reach_the_rate(made):
    model, wrapper = made
    torch.manual_seed(0)
    scheduler = CosineAnnealingLR(wrapper, T_max=4)
    param = wrapper.optimizer.param_groups[0]["params"][-1]
    seen = [param.detach().clone()]
    for _ in range(4):
        x = torch.randn(2, 3, 40).to(param)
        wrapper.update_params(model(x)["loss"])
        seen.append(param.detach().clone())
        scheduler.step()
    moved = [not torch.equal(a, b) for a, b in pairwise(seen)]
    assert moved == [False, True, False, True]
    assert wrapper.get_lr()["lr"][0] == pytest.approx(0.0)


def runner_of(made):
    model, wrapper = made
    return SimpleNamespace(model=model, optim_wrapper=wrapper)


def test_a_checkpoint_has_the_masters_and_gives_them_back(made, tmp_path):
    model, wrapper = made
    masters = wrapper.optimizer.masters()
    for value in masters.values():
        value.add_(torch.linspace(0, 1e-6, value.numel(), device=value.device).view_as(value))
    checkpoint = {"state_dict": {name: v.cpu() for name, v in model.state_dict().items()}}
    MasterWeightsHook().before_save_checkpoint(runner_of(made), checkpoint)
    named = dict(model.state_dict(keep_vars=True))
    saved = checkpoint["state_dict"]
    assert list(saved) == list(named)
    for name, param in named.items():
        if id(param) in masters:
            assert torch.equal(saved[name], masters[id(param)].cpu())
            assert saved[name].untyped_storage().nbytes() == saved[name].nbytes

    torch.save(checkpoint, tmp_path / "saved.pth")
    for value in masters.values():
        value.zero_()
    loaded = torch.load(tmp_path / "saved.pth")
    MasterWeightsHook().after_load_checkpoint(runner_of(made), loaded)
    for name, param in named.items():
        if id(param) in masters:
            assert torch.equal(masters[id(param)].cpu(), saved[name])
            assert torch.equal(param.detach().cpu(), saved[name].to(param.dtype))


def test_a_weight_that_the_model_does_not_save_is_told(made):
    model, _ = made
    model.forgets = "out.2"
    checkpoint = {"state_dict": {}}
    with pytest.raises(ValueError, match="4 trained parameters are not in the checkpoint"):
        MasterWeightsHook().before_save_checkpoint(runner_of(made), checkpoint)
    with pytest.raises(ValueError, match=r"4 of \d+ weights are missing"):
        MasterWeightsHook().after_load_checkpoint(
            runner_of(made), {"state_dict": model.state_dict()}
        )


def test_what_it_cannot_do_is_refused():
    with pytest.raises(ValueError, match="no paramwise_cfg"):
        build_optim_wrapper(Model(), config(paramwise_cfg={"bias_lr_mult": 2.0}))
    wrapped = MODEL_WRAPPERS.get("MMDistributedDataParallel")
    with pytest.raises(ValueError, match="one process"):
        build_optim_wrapper(wrapped.__new__(wrapped), config())


def test_checkpoints_go_straight_to_the_disk_and_are_read_as_files(tmp_path, monkeypatch):
    import xtuner.tools.train as xtuner_train

    monkeypatch.setattr(mmengine_runner, "save_checkpoint", mmengine_runner.save_checkpoint)
    monkeypatch.setattr(
        xtuner_train, "get_seed_from_checkpoint", xtuner_train.get_seed_from_checkpoint
    )
    (hook,) = hooks()
    assert isinstance(hook, MasterWeightsHook)
    path = str(tmp_path / "iter_1.pth")
    mmengine_runner.save_checkpoint({"meta": {"seed": 7}}, path, backend_args=None)
    assert xtuner_train.get_seed_from_checkpoint(path) == 7

    def resume(filename, resume_optimizer=True, map_location="default"):
        return torch.load(filename, map_location=map_location), map_location

    runner = SimpleNamespace(resume=resume)
    load = torch.load
    hook.before_run(runner)
    runner.resume(path)
    assert torch.load is load

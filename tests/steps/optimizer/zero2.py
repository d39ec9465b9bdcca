"""The small training by DeepSpeed's ZeRO-2 itself: ``python zero2.py SETTINGS.json OUT.pt``."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

import torch
from steps.optimizer.small import Settings, loss_of, make_model

from llavakit.steps import xtuner_patches
from llavakit.steps.device import prepare

KIT = Path(__file__).parents[3]


def main(settings: Settings, out: Path) -> None:
    engine, optimizer = initialize(settings)
    losses, norms = [], []
    for step in range(settings.steps):
        optimizer.param_groups[0]["lr"] = settings.lr(step)
        for micro in range(settings.accumulation):
            loss = loss_of(engine, settings, step, micro)
            engine.backward(loss)
            engine.step()
        losses.append(loss.detach())
        norms.append(engine.get_global_grad_norm())
    (master,) = optimizer.single_partition_of_fp32_groups
    state = optimizer.optimizer.state[master]
    result = {
        "losses": torch.stack(losses),
        "norms": torch.stack(norms),
        "params": [param.detach().clone() for param in engine.module.parameters()],
        "buffers": list(engine.module.buffers()),
        "master": master.detach(),
        "exp_avg": state["exp_avg"],
        "exp_avg_sq": state["exp_avg_sq"],
    }
    torch.save(result, out)


def initialize(settings: Settings):
    import deepspeed

    config = json.loads((KIT / "configs/deepspeed/zero2.json").read_text())
    config |= {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": settings.accumulation,
        "gradient_clipping": settings.max_norm,
        "bf16": {"enabled": settings.dtype == "bfloat16"},
        "fp16": {"enabled": False},
    }
    deepspeed.init_distributed("nccl" if settings.device == "cuda" else "gloo")
    model = make_model()
    adamw = torch.optim.AdamW(
        model.parameters(), lr=1.0, betas=settings.betas, weight_decay=settings.weight_decay
    )
    engine, optimizer, *_ = deepspeed.initialize(model=model, optimizer=adamw, config=config)
    assert type(optimizer).__name__ == "DeepSpeedZeroOptimizer"
    return engine, optimizer


def let_gloo_pass_bf16() -> None:
    """gloo has no bf16. Among one process, sending and summing leave a tensor as it is."""
    from deepspeed.comm.torch import TorchBackend

    for name in ("broadcast", "all_reduce"):
        setattr(TorchBackend, name, unless_bf16(getattr(TorchBackend, name)))


def unless_bf16(real):
    def call(self, tensor, *args, **kwargs):
        return None if tensor.dtype is torch.bfloat16 else real(self, tensor, *args, **kwargs)

    return call


if __name__ == "__main__":
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
    os.environ.update(alone, MASTER_PORT=port)
    prepare()
    wanted = Settings(**json.loads(Path(sys.argv[1]).read_text()))
    if wanted.device == "cpu":
        xtuner_patches.run_deepspeed_without_gpu()
        let_gloo_pass_bf16()
    main(wanted, Path(sys.argv[2]))

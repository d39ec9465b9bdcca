"""What the kit says: steps."""

from __future__ import annotations

from llavakit.messages_form import Entry, Text

TABLE: dict[str, Entry] = {
    "step.failed": Entry(
        Text("The step {step} failed ({how}).", "Its whole output is in {log}."),
        Text("步骤 {step} 失败({how})。", "完整输出见 {log}。"),
    ),
    "step.no-result": Entry(
        Text(
            "The step {step} ended without an error but {missing}.",
            "Its whole output is in {log}; report it together with that file.",
        ),
        Text("步骤 {step} 没有报错,但 {missing}。", "完整输出见 {log};报告问题时请附上它。"),
    ),
    "step.out-of-memory": Entry(
        Text(
            "The step {step} was ended because it ran out of memory.",
            "Close other programs, or use a machine with more memory.",
        ),
        Text("步骤 {step} 因内存不足被终止。", "请关闭其他程序,或换用内存更大的机器。"),
    ),
    "step.gpu-memory": Entry(
        Text(
            "The GPU's memory was not enough for the step {step}.",
            "`nvidia-smi` shows who else holds it; or take a recipe that needs less, such as "
            "`--recipe tutorial-24g`.",
        ),
        Text(
            "步骤 {step} 的显存不足。",
            "用 `nvidia-smi` 查看还有谁占用显存;或换用需求更低的配方,如 `--recipe tutorial-24g`。",
        ),
    ),
    "step.gpu-lost": Entry(
        Text(
            "The GPU stopped working during the step {step}.",
            "`nvidia-smi` and `sudo dmesg | grep -i xid` say more; restart the host if it is gone, "
            "then run this again: a training goes on from its last checkpoint.",
        ),
        Text(
            "步骤 {step} 运行中 GPU 停止了工作。",
            "用 `nvidia-smi` 和 `sudo dmesg | grep -i xid` 查看详情;如果 GPU 已消失,请重启主机,"
            "然后重新运行:训练会从最后一个检查点继续。",
        ),
    ),
    "step.cuda-kernels": Entry(
        Text(
            "The pinned torch 2.1.2 has no code for this GPU.",
            "`invoke doctor` names it; use one from Maxwell (5.0) to Hopper (9.0), or "
            "`--gpus none` with `invoke demo`.",
        ),
        Text(
            "锁定的 torch 2.1.2 不含这块 GPU 的代码。",
            "用 `invoke doctor` 查看其型号;请使用 Maxwell(5.0)至 Hopper(9.0)的 GPU,"
            "或运行 `invoke demo --gpus none`。",
        ),
    ),
    "step.cuda-driver": Entry(
        Text(
            "The NVIDIA driver is too old for CUDA 12.1, which needs 525 or newer.",
            "Update the driver (on Ubuntu `sudo ubuntu-drivers install`, then restart the host).",
        ),
        Text(
            "NVIDIA 驱动过旧:CUDA 12.1 需要 525 或更新版本。",
            "请更新驱动(Ubuntu 上运行 `sudo ubuntu-drivers install`,然后重启主机)。",
        ),
    ),
    "step.cuda-none": Entry(
        Text(
            "The step {step} was to use a GPU, and CUDA finds none.",
            "`invoke doctor` says what is missing between the driver and the job.",
        ),
        Text(
            "步骤 {step} 需要 GPU,但 CUDA 没有找到。",
            "运行 `invoke doctor`,查看驱动与任务之间缺少什么。",
        ),
    ),
    "step.shared-memory": Entry(
        Text(
            "The step {step} had too little shared memory (/dev/shm).",
            "In a container of your own, start it with `--shm-size 8g`; elsewhere "
            "`sudo mount -o remount,size=8g /dev/shm`.",
        ),
        Text(
            "步骤 {step} 的共享内存(/dev/shm)不足。",
            "在您自己的容器中,请以 `--shm-size 8g` 启动;其他情况运行 "
            "`sudo mount -o remount,size=8g /dev/shm`。",
        ),
    ),
    "step.unexpected": Entry(
        Text(
            "The run ended, but not with the results that the recipe {recipe} expects.",
            "Run it again with --fresh; if it happens again, report it with the run's folder.",
        ),
        Text(
            "运行已结束,但结果不符合配方 {recipe} 的预期。",
            "用 --fresh 再运行一次;若再次出现,请附上该运行的文件夹报告问题。",
        ),
    ),
    "step.needs-gpu": Entry(
        Text(
            "The recipe {recipe} loads its language model in 4 bits, which needs an NVIDIA GPU.",
            "Run it on a host with one; `invoke demo` is the free try on any machine.",
        ),
        Text(
            "配方 {recipe} 以 4 bit 加载语言模型,需要 NVIDIA GPU。",
            "请在有 GPU 的机器上运行;任何机器都可以先试 `invoke demo`。",
        ),
    ),
    "step.no-such-gpu": Entry(
        Text(
            "This host has no GPU {wanted}; it has {found}.",
            "Name one of these with --gpus, or leave --gpus out.",
        ),
        Text("本机没有 GPU {wanted};现有:{found}。", "请用 --gpus 指定其中之一,或去掉 --gpus。"),
    ),
    "step.no-kernels": Entry(
        Text(
            "{gpu} has compute capability {capability}; the pinned torch 2.1.2 (CUDA 12.1) "
            "has kernels for {built}.",
            "Use a GPU from Maxwell (5.0) to Hopper (9.0), such as L20, A100, RTX 4090 or H100; "
            "`invoke demo --gpus none` runs on any machine.",
        ),
        Text(
            "{gpu} 的计算能力是 {capability};锁定的 torch 2.1.2(CUDA 12.1)只含 {built} 的内核。",
            "请使用 Maxwell(5.0)至 Hopper(9.0)的 GPU,如 L20、A100、RTX 4090、H100;"
            "任何机器都可以运行 `invoke demo --gpus none`。",
        ),
    ),
    "step.old-driver": Entry(
        Text(
            "The NVIDIA driver is {found}; CUDA 12.1 needs {needed} or newer.",
            "Update the driver (on Ubuntu `sudo ubuntu-drivers install`, then restart the host).",
        ),
        Text(
            "NVIDIA 驱动版本是 {found};CUDA 12.1 需要 {needed} 或更新版本。",
            "请更新驱动(Ubuntu 上运行 `sudo ubuntu-drivers install`,然后重启主机)。",
        ),
    ),
    "step.small-gpu": Entry(
        Text(
            "{gpu} has {total} MiB; the recipe {recipe} takes {need} MiB of one GPU.",
            "Use a larger GPU (48 GB for the tutorial); `invoke demo` is the free try.",
        ),
        Text(
            "{gpu} 的显存为 {total} MiB;配方 {recipe} 需要单卡 {need} MiB。",
            "请换用显存更大的 GPU(教程需要 48 GB);可先试 `invoke demo`。",
        ),
    ),
    "step.other-profile": Entry(
        Text(
            "{gpu} has {total} MiB; the recipe {recipe} takes {need} MiB of one GPU.",
            "`--recipe {fits}` trains in {fits_need} MiB (maths: {maths}).",
        ),
        Text(
            "{gpu} 的显存为 {total} MiB;配方 {recipe} 需要单卡 {need} MiB。",
            "`--recipe {fits}` 训练只需 {fits_need} MiB(maths: {maths})。",
        ),
    ),
    "step.small-to-ask": Entry(
        Text(
            "{gpu} has {total} MiB; the model of {recipe} takes {need} to answer.",
            "`invoke train` and `invoke convert` run here, and `--set ask.quantization=nf4` lets "
            "ask, chat and compare answer in 4 bits; the check of merge, in 16, takes a GPU with "
            "24 GB: take the workspace there.",
        ),
        Text(
            "{gpu} 的显存为 {total} MiB;{recipe} 的模型回答时需要 {need} MiB。",
            "`invoke train` 和 `invoke convert` 可以在这里运行;加上 `--set ask.quantization=nf4`,"
            "ask、chat、compare 以 4 位回答;merge 的检查以 16 位进行,"
            "请把工作区带到 24 GB 显存的 GPU 上。",
        ),
    ),
    "step.needs-bf16": Entry(
        Text(
            "The recipe {recipe} trains in bf16, which this GPU does not compute in.",
            "Use a GPU from Ampere (8.0) on, or a recipe without train.memory.",
        ),
        Text(
            "配方 {recipe} 以 bf16 训练,而这块 GPU 不支持 bf16。",
            "请使用 Ampere(8.0)或更新的 GPU,或换用没有 train.memory 的配方。",
        ),
    ),
    "step.busy-gpu": Entry(
        Text(
            "{gpu} has {free} of {total} MiB free; the recipe {recipe} takes {need}. "
            "It is held by: {holders}.",
            "End those processes, or choose another GPU with --gpus; with enough room: {others}.",
        ),
        Text(
            "{gpu} 空闲显存为 {free} MiB(共 {total} MiB);配方 {recipe} 需要 {need} MiB。"
            "占用者:{holders}。",
            "请结束这些进程,或用 --gpus 换一块 GPU;空间足够的有:{others}。",
        ),
    ),
    "step.little-memory": Entry(
        Text(
            "{free} GiB of memory are free; the recipe {recipe} takes {need} GiB.",
            "Close other programs, or raise the memory limit of the container you are in.",
        ),
        Text(
            "空闲内存为 {free} GiB;配方 {recipe} 需要 {need} GiB。",
            "请关闭其他程序;若在容器中,请调高其内存上限。",
        ),
    ),
    "step.no-evaluation-picture": Entry(
        Text(
            "The picture for looks during training, {image}, is not among the data's pictures.",
            "Correct train.evaluation.image in the recipe.",
        ),
        Text("训练中评估用的图片 {image} 不在数据中。", "请修改配方中的 train.evaluation.image。"),
    ),
    "step.drifted": Entry(
        Text(
            "Of {total} files, {count} drifted from what was locked.",
            "Run `invoke models`: it gets exactly these again.",
        ),
        Text(
            "{total} 个文件中有 {count} 个与锁定的内容不符。",
            "运行 `invoke models`,只重新获取这些文件。",
        ),
    ),
    "step.not-verified": Entry(
        Text("There is nothing to verify yet in {what}.", "Run `invoke models` first."),
        Text("{what} 中还没有可校验的内容。", "请先运行 `invoke models`。"),
    ),
    "step.not-comparable": Entry(
        Text(
            "{before} and {after} answer different questions.",
            "Run `invoke compare` for one run, so that both are asked the same.",
        ),
        Text(
            "{before} 和 {after} 回答的问题不同。",
            "请用 `invoke compare` 比较同一次运行,两边的问题会相同。",
        ),
    ),
    "step.merged-differs": Entry(
        Text(
            "The merged model is not the one that was trained: {what}.",
            "Run `invoke merge` again; if it happens again, report it with {file}.",
        ),
        Text(
            "合并后的模型与训练得到的模型不一致:{what}。",
            "请再次运行 `invoke merge`;若再次出现,请附上 {file} 报告问题。",
        ),
    ),
    "step.no-answers": Entry(
        Text("{file} holds no answers.", "Run `invoke ask` to make it again."),
        Text("{file} 中没有回答。", "运行 `invoke ask` 重新生成。"),
    ),
    "step.left-running": Entry(
        Text(
            "Stopped following; the step {step} goes on in the other process.",
            "Run the same command again to follow it; `invoke stop` ends it.",
        ),
        Text(
            "已停止跟踪;步骤 {step} 仍在另一个进程中运行。",
            "再次运行同一命令即可继续跟踪;用 `invoke stop` 停止它。",
        ),
    ),
    "step.detached": Entry(
        Text(
            "Stopped following; {run} goes on.",
            "`invoke attach {run}` follows it again; `invoke stop {run}` ends it.",
        ),
        Text(
            "已停止跟踪;{run} 仍在运行。",
            "用 `invoke attach {run}` 继续跟踪,用 `invoke stop {run}` 停止它。",
        ),
    ),
    "step.not-detached": Entry(
        Text(
            "The process that was to go on by itself ended at once.",
            "Read its last lines above, or {log}; without --detach it says the same here.",
        ),
        Text("后台进程启动后立即结束了。", "请查看上面的最后几行或 {log};也可去掉 --detach 重试。"),
    ),
    "step.no-driver": Entry(
        Text(
            "The job of {run} goes on, but nobody knows which command started it.",
            "Run that command again: it follows the job and does the rest.",
        ),
        Text(
            "{run} 的任务仍在运行,但不知道是哪条命令启动的。", "请再次运行当初的命令,即可接着完成。"
        ),
    ),
    "step.not-stopped": Entry(
        Text(
            "{run} was not stopped; it is driven by {who}.",
            "Stop it on that host as that user; `invoke stop --now {run}` does not wait.",
        ),
        Text(
            "未能停止 {run};正在运行它的是 {who}。",
            "请在该主机上以该用户停止它;`invoke stop --now {run}` 不等待正常结束。",
        ),
    ),
    "step.declined": Entry(
        Text("Nothing was started.", "Try `invoke demo`, which costs nothing; --yes does not ask."),
        Text("没有启动任何操作。", "可先试 `invoke demo`,没有开销;加 --yes 则不再询问。"),
    ),
    "step.interrupted": Entry(
        Text(
            "Stopped while the step {step} ran.",
            "Run the same command again: it goes on from the last checkpoint.",
        ),
        Text("在步骤 {step} 运行中被停止。", "再次运行同一命令,会从最近的检查点继续。"),
    ),
    "step.bench-failed": Entry(
        Text(
            "Not all could be measured: {failed}.",
            "What they wrote is in {logs}; leave them out with --recipes or --no-plain.",
        ),
        Text(
            "有些项目未能测量:{failed}。",
            "其输出在 {logs};可用 --recipes 或 --no-plain 去掉这些项目。",
        ),
    ),
}

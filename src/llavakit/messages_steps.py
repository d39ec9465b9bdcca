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
    "step.no-answers": Entry(
        Text("{file} holds no answers.", "Run `invoke ask` to make it again."),
        Text("{file} 中没有回答。", "运行 `invoke ask` 重新生成。"),
    ),
    "step.left-running": Entry(
        Text(
            "Stopped following; the step {step} goes on in the other process.",
            "Run the same command again to follow it.",
        ),
        Text("已停止跟踪;步骤 {step} 仍在另一个进程中运行。", "再次运行同一命令即可继续跟踪。"),
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
}

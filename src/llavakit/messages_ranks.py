"""What the kit says: several ranks, on one host or on several."""

from __future__ import annotations

from llavakit.messages_form import Entry, Text

TABLE: dict[str, Entry] = {
    "configuration.no-count": Entry(
        Text(
            "--ranks all is one for each GPU, and nvidia-smi counts none here (--gpus {gpus}).",
            "Give the number: --ranks 2.",
        ),
        Text(
            "--ranks all 表示每块 GPU 一个训练进程,但 nvidia-smi 在本机没有找到 GPU"
            "(--gpus {gpus})。",
            "请直接写数字,如 --ranks 2。",
        ),
    ),
    "step.ranks-gpus": Entry(
        Text(
            "{ranks} ranks need a GPU each, and the job has {gpus}.",
            "Name that many with --gpus, or train with --ranks {gpus}.",
        ),
        Text(
            "{ranks} 个训练进程各需一块 GPU,而任务只有 {gpus} 块。",
            "请用 --gpus 指定足够的 GPU,或用 --ranks {gpus} 训练。",
        ),
    ),
    "step.rank-died": Entry(
        Text(
            "Rank {rank} of {ranks} on {host} ended ({how}), and with it the training.",
            "Its output is in {log}; SIGKILL mostly means too little memory. The same command "
            "goes on from the last checkpoint.",
        ),
        Text(
            "{host} 上的 {rank} 号进程(共 {ranks} 个)已结束({how}),训练随之停止。",
            "其输出在 {log};SIGKILL 多半表示内存不足。再次运行同一命令,会从最近的检查点继续。",
        ),
    ),
    "step.rank-alone": Entry(
        Text(
            "Rank {rank} lost its connection to another rank, and the training ended.",
            "What happened there is in the other host's log, here it is {log}. The same command "
            "goes on from the last checkpoint.",
        ),
        Text(
            "{rank} 号进程与另一个进程的连接中断,训练已停止。",
            "原因见另一台主机的日志,本机日志为 {log}。再次运行同一命令,会从最近的检查点继续。",
        ),
    ),
}

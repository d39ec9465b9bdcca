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
    "configuration.nodes-incomplete": Entry(
        Text(
            "Several hosts need --nodes, --node-rank and --rendezvous, all three.",
            "For example, on the first of two: --ranks 2 --nodes 2 --node-rank 0 "
            "--rendezvous 10.0.0.1:29500.",
        ),
        Text(
            "多台主机训练需要同时给出 --nodes、--node-rank 和 --rendezvous。",
            "例如两台主机中的第一台:--ranks 2 --nodes 2 --node-rank 0 "
            "--rendezvous 10.0.0.1:29500。",
        ),
    ),
    "configuration.nodes-ranks": Entry(
        Text(
            "{ranks} ranks cannot be shared evenly by {nodes} hosts.",
            "--ranks counts those of all hosts: --ranks {fits} is one on each.",
        ),
        Text(
            "{ranks} 个训练进程无法平均分给 {nodes} 台主机。",
            "--ranks 是所有主机的总数:--ranks {fits} 表示每台一个。",
        ),
    ),
    "step.rendezvous": Entry(
        Text(
            "Host 0 cannot open the rendezvous {address}.",
            "It must be this host's own address as the others reach it, and a free port.",
        ),
        Text(
            "0 号主机无法打开汇合点 {address}。", "它必须是其他主机能访问到的本机地址,且端口空闲。"
        ),
    ),
    "step.hosts-missing": Entry(
        Text(
            "These hosts did not come to {address} within {minutes} minutes: {missing}.",
            "Start the same command there with its own --node-rank; that port must be open to all.",
        ),
        Text(
            "{minutes} 分钟内没有来到 {address} 的主机:{missing}。",
            "请在那里用各自的 --node-rank 运行同一命令;该端口必须对所有主机开放。",
        ),
    ),
    "step.host-taken": Entry(
        Text(
            "Another host has come as number {host} already.",
            "Give each host a --node-rank of its own, from 0.",
        ),
        Text("已有另一台主机使用编号 {host}。", "请给每台主机各自的 --node-rank,从 0 开始。"),
    ),
    "step.hosts-differ": Entry(
        Text(
            "Host {host} was started for something else ({what}: there {theirs}, here {mine}).",
            "Type the same command on every host, but for --node-rank, in the same version.",
        ),
        Text(
            "主机 {host} 启动的内容不同({what}:那边 {theirs},这里 {mine})。",
            "除 --node-rank 外,请在每台主机上用同一版本运行同一命令。",
        ),
    ),
    "step.host-lost": Entry(
        Text(
            "Host {host} was lost ({how}), and the training ended here.",
            "See whether it and the network between are up; then the same command on every host "
            "goes on from the last checkpoint.",
        ),
        Text(
            "与主机 {host} 失去联系({how}),本机的训练已停止。",
            "请检查该主机和之间的网络;然后在每台主机上再次运行同一命令,会从最近的检查点继续。",
        ),
    ),
    "step.host-failed": Entry(
        Text(
            "Host {host} ended the training: {what}",
            "Mend it there; then the same command on every host goes on from the last checkpoint.",
        ),
        Text(
            "主机 {host} 结束了训练:{what}",
            "请在那里排除问题;然后在每台主机上再次运行同一命令,会从最近的检查点继续。",
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

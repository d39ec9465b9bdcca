"""What the kit says when `invoke submit` cannot do as it is asked."""

from __future__ import annotations

from llavakit.messages_form import Entry, Text

TABLE: dict[str, Entry] = {
    "configuration.containers-only": Entry(
        Text(
            "{to} runs containers of the kit's image only.",
            "Leave --runtime and --engine local out; they are for --to slurm.",
        ),
        Text(
            "{to} 只运行本工具镜像的容器。",
            "请去掉 --runtime 和 --engine local,它们仅用于 --to slurm。",
        ),
    ),
    "configuration.bad-image": Entry(
        Text(
            "{image} names no image with a tag or a digest.",
            "Write --image REGISTRY/NAME:TAG, or NAME@sha256:...; for Slurm also a .sqsh or .sif "
            "file.",
        ),
        Text(
            "{image} 不是带标签或摘要的镜像名。",
            "请写成 --image REGISTRY/NAME:TAG 或 NAME@sha256:...;Slurm 还可用 .sqsh 或 .sif 文件。",
        ),
    ),
    "configuration.fetch-first": Entry(
        Text(
            "Not downloaded yet: {parts}. The nodes of a cluster often have no network.",
            "Run `invoke models --recipe {recipe} --yes` and `invoke data --recipe {recipe} --yes` "
            "here with the same options, then this again.",
        ),
        Text(
            "尚未下载:{parts}。集群的计算节点往往没有网络。",
            "请先在本机以相同选项运行 `invoke models --recipe {recipe} --yes` 和 "
            "`invoke data --recipe {recipe} --yes`,再运行此命令。",
        ),
    ),
    "configuration.no-environment": Entry(
        Text(
            "The environment that the nodes are to use is not there: {folder}.",
            "Make it with `invoke data --engine local --recipe {recipe}`, or choose containers "
            "with --runtime pyxis or --runtime apptainer.",
        ),
        Text(
            "节点要使用的环境不存在:{folder}。",
            "用 `invoke data --engine local --recipe {recipe}` 建立它,或用 --runtime pyxis、"
            "--runtime apptainer 选择容器。",
        ),
    ),
    "configuration.outside": Entry(
        Text(
            "{path} is on this host only, and too large to go along in a ConfigMap.",
            "Name a source that the cluster can reach: a recipe with a download, or --llm "
            "modelscope:OWNER/NAME.",
        ),
        Text(
            "{path} 只在本机上,而且太大,无法随 ConfigMap 一同提交。",
            "请指定集群能访问的来源:带下载地址的配方,或 --llm modelscope:OWNER/NAME。",
        ),
    ),
    "configuration.unfit-path": Entry(
        Text(
            "{runtime} cannot mount {path}: a comma or a colon parts its mounts.",
            "Give that folder another name, or reach it by a link.",
        ),
        Text(
            "{runtime} 无法挂载 {path}:逗号和冒号是它的分隔符。",
            "请给该文件夹改名,或通过链接访问它。",
        ),
    ),
    "configuration.secret-in-file": Entry(
        Text(
            "{file} would hold a secret of this shell's environment; nothing was written.",
            "Take it out of the image's name, the paths or the --set values.",
        ),
        Text(
            "{file} 会包含当前终端 环境中的密钥;没有写入任何文件。",
            "请把它从镜像名、路径或 --set 的值中去掉。",
        ),
    ),
    "configuration.refused-file": Entry(
        Text(
            "{tool} refuses {file}.",
            "Its words are above. For a queue that needs more options, hand the file in with them "
            "by hand.",
        ),
        Text(
            "{tool} 拒绝了 {file}。", "原因见上。若队列需要更多选项,请手工带上这些选项提交该文件。"
        ),
    ),
}

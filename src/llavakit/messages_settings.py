"""What the kit says: the command line, recipes and the workspace."""

from __future__ import annotations

from llavakit.messages_form import Entry, Text

TABLE: dict[str, Entry] = {
    "kit.unforeseen": Entry(
        Text(
            "The kit failed in a way that nobody foresaw ({kind}).",
            "Report it with the lines above; what was trained is kept, and the same command goes "
            "on.",
        ),
        Text(
            "本工具出现了未预料到的错误({kind})。",
            "请附上上面的内容报告问题;已训练的内容会保留,再次运行同一命令即可继续。",
        ),
    ),
    "configuration.bad-value": Entry(
        Text("{key} cannot be {value}.", "Use one of: {allowed}."),
        Text("{key} 不能是 {value}。", "可选值:{allowed}。"),
    ),
    "configuration.needs-yes": Entry(
        Text("This command would delete what is named above.", "Add --yes to do it."),
        Text("此命令会删除上面列出的内容。", "确认后加上 --yes 再运行。"),
    ),
    "configuration.needs-consent": Entry(
        Text("This is much to begin unasked: {needs}.", "Add --yes to do it."),
        Text("此操作开销较大,需要先确认:{needs}。", "确认后加上 --yes 再运行。"),
    ),
    "configuration.no-terminal": Entry(
        Text(
            "chat needs a terminal to talk to you.",
            "Use `invoke ask --picture FILE --question TEXT`.",
        ),
        Text("chat 需要在终端中使用。", "请改用 `invoke ask --picture 文件 --question 问题`。"),
    ),
    "configuration.no-picture": Entry(
        Text("No picture was named.", "Add --picture FILE."),
        Text("没有指定图片。", "请加上 --picture 文件。"),
    ),
    "configuration.half-a-question": Entry(
        Text(
            "Asking about a picture needs the picture and the question.",
            "Write `invoke ask --picture FILE --question TEXT`.",
        ),
        Text(
            "提问需要同时给出图片和问题。", "请写成 `invoke ask --picture 文件 --question 问题`。"
        ),
    ),
    "configuration.unknown-setting": Entry(
        Text("invoke.yaml has no setting {key}.", "Did you mean {nearest}?"),
        Text("invoke.yaml 中没有 {key} 这个设置。", "您是不是想写 {nearest}?"),
    ),
    "configuration.not-an-image": Entry(
        Text("{path} cannot be read as a picture.", "Name a JPEG or PNG file."),
        Text("无法把 {path} 当作图片读取。", "请指定一个 JPEG 或 PNG 文件。"),
    ),
    "recipe.not-found": Entry(
        Text("There is no recipe at {recipe}.", "`ls configs/recipes` shows the names that exist."),
        Text("找不到配方 {recipe}。", "用 `ls configs/recipes` 查看已有的配方名。"),
    ),
    "recipe.not-yaml": Entry(
        Text("{recipe} is not a recipe in YAML.", "Compare it with configs/recipes/tiny.yaml."),
        Text("{recipe} 不是有效的 YAML 配方。", "请对照 configs/recipes/tiny.yaml 修改。"),
    ),
    "recipe.unknown-key": Entry(
        Text("A recipe has no key {key}.", "Did you mean {nearest}?"),
        Text("配方中没有 {key} 这个键。", "您是不是想写 {nearest}?"),
    ),
    "recipe.bad-value": Entry(
        Text("{recipe} has a value that cannot be used at {key}.", "Correct {key} as said above."),
        Text("{recipe} 中 {key} 的值不可用。", "请按上面的说明修改 {key}。"),
    ),
    "recipe.no-rehearsal": Entry(
        Text(
            "The recipe {recipe} has no weights to rehearse with.",
            "`--recipe tutorial` has; leave --weights out for this one.",
        ),
        Text(
            "配方 {recipe} 没有可用于排练的权重。",
            "`--recipe tutorial` 有;对此配方请去掉 --weights。",
        ),
    ),
    "recipe.bad-override": Entry(
        Text("--set {override} is not of the form key=value.", "Write for example --set seed=3."),
        Text("--set {override} 不是 key=value 的形式。", "例如写成 --set seed=3。"),
    ),
    "recipe.ranks-memory": Entry(
        Text(
            "A memory profile, which {recipe} has, trains in one process, not in {ranks} ranks.",
            "Leave --ranks out, or take one that trains with DeepSpeed: `--recipe tutorial`.",
        ),
        Text(
            "{recipe} 自带显存配置,只能用一个进程训练,不能用 {ranks} 个训练进程。",
            "请去掉 --ranks,或换用以 DeepSpeed 训练的配方:`--recipe tutorial`。",
        ),
    ),
    "recipe.ranks-zero2": Entry(
        Text(
            "{ranks} ranks train with DeepSpeed's ZeRO-2, and {recipe} trains without it.",
            "Add --set train.deepspeed=zero2, or leave --ranks out.",
        ),
        Text(
            "{ranks} 个训练进程需要用 DeepSpeed 的 ZeRO-2 训练,而 {recipe} 没有使用它。",
            "请加上 --set train.deepspeed=zero2,或去掉 --ranks。",
        ),
    ),
    "workspace.not-writable": Entry(
        Text(
            "The workspace {folder} cannot be written.", "Name another one with --workspace FOLDER."
        ),
        Text("无法写入工作区 {folder}。", "用 --workspace 指定另一个文件夹。"),
    ),
    "workspace.refused": Entry(
        Text(
            "The system does not let the kit use {path}.",
            "Check that path's owner, permissions and kind, then run this again.",
        ),
        Text("系统不允许访问 {path}。", "请检查该路径的所有者、权限和类型,然后重新运行。"),
    ),
    "workspace.disk-broken": Entry(
        Text(
            "The disk that holds {folder} reports an error.",
            "`sudo dmesg | tail` says which; copy the workspace to another disk and name it with "
            "--workspace FOLDER.",
        ),
        Text(
            "{folder} 所在的磁盘报告错误。",
            "用 `sudo dmesg | tail` 查看;请把工作区复制到另一块磁盘,并用 --workspace 指定。",
        ),
    ),
    "workspace.busy": Entry(
        Text(
            "Another process is writing to {folder}.",
            "Wait for it to end, or stop it; then run this command again.",
        ),
        Text("另一个进程正在写入 {folder}。", "等它结束或停止它,然后重新运行此命令。"),
    ),
    "workspace.disk-full": Entry(
        Text(
            "The disk that holds {folder} is full.",
            "Free some space (`invoke clean` names what the kit can delete) and run this again.",
        ),
        Text(
            "{folder} 所在的磁盘已满。",
            "请先腾出空间(`invoke clean` 会列出可删除的内容),再重新运行。",
        ),
    ),
    "workspace.too-little-disk": Entry(
        Text(
            "{need} GiB are needed on the disk that holds {folder}, {free} GiB are free.",
            "Free some space, or name a folder on another disk with --workspace FOLDER.",
        ),
        Text(
            "{folder} 所在磁盘需要 {need} GiB,只剩 {free} GiB。",
            "请腾出空间,或用 --workspace 指定另一块磁盘上的文件夹。",
        ),
    ),
}

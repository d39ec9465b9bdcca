"""What the kit says: records, verifying and reproducing."""

from __future__ import annotations

from llavakit.messages_form import Entry, Text

TABLE: dict[str, Entry] = {
    "record.not-found": Entry(
        Text("{path} cannot be read.", "Name a run's folder or its run.json."),
        Text("无法读取 {path}。", "请指定某次运行的文件夹或其 run.json。"),
    ),
    "record.not-a-record": Entry(
        Text(
            "{path} is not the record of a run.",
            "Name a run's folder or its run.json; docs/run.schema.json says what is in one.",
        ),
        Text(
            "{path} 不是运行记录。",
            "请指定某次运行的文件夹或其 run.json;其格式见 docs/run.schema.json。",
        ),
    ),
    "record.newer": Entry(
        Text(
            "{path} is a record of version {version}; this kit reads versions up to {known}.",
            "Update the kit: `git pull`.",
        ),
        Text("{path} 的记录版本是 {version},本工具最高支持 {known}。", "请更新:`git pull`。"),
    ),
    "record.no-run": Entry(
        Text("There is no run {run} in {folder}.", "`invoke runs` lists those that are there."),
        Text("{folder} 中没有运行 {run}。", "用 `invoke runs` 查看已有的运行。"),
    ),
    "record.no-runs": Entry(
        Text("There is no run in {folder} yet.", "`invoke demo` makes one on any machine."),
        Text("{folder} 中还没有运行。", "`invoke demo` 可在任何机器上运行一次。"),
    ),
    "record.export-link": Entry(
        Text(
            "{path} is a link, and an export would write where it leads.",
            "Remove it, or name a folder: --to FOLDER.",
        ),
        Text("{path} 是链接,导出会写到它指向的地方。", "请删除它,或用 --to 指定文件夹。"),
    ),
    "record.export-occupied": Entry(
        Text(
            "{folder} has other files in it, and no earlier export.",
            "Name a new or an empty folder: --to FOLDER.",
        ),
        Text("{folder} 中有其他文件,且没有以前的导出。", "请用 --to 指定新的或空的文件夹。"),
    ),
    "record.drifted": Entry(
        Text(
            "Of {total} pins, {count} drifted: {names}.",
            "`git checkout {commit}` brings the kit back; the run's files come back with "
            "`invoke reproduce`.",
        ),
        Text(
            "{total} 项锁定中有 {count} 项已改变:{names}。",
            "用 `git checkout {commit}` 恢复代码;用 `invoke reproduce` 重新生成该运行的文件。",
        ),
    ),
    "record.nothing-left": Entry(
        Text(
            "Nothing of the run {run} is here to verify.",
            "Name the workspace that it was made in: --workspace FOLDER.",
        ),
        Text("运行 {run} 的文件都不在这里,无法校验。", "请用 --workspace 指定它所在的工作区。"),
    ),
    "record.environment-drifted": Entry(
        Text(
            "The environment is not what the lock says: {names}.",
            "`invoke build` makes an image again; remove a folder and any task makes it: {where}.",
        ),
        Text(
            "环境与锁文件不符:{names}。",
            "镜像用 `invoke build` 重新生成;文件夹请删除,任何任务都会重新生成:{where}。",
        ),
    ),
    "record.no-environment": Entry(
        Text(
            "There is no environment of the engine {engine} to verify.",
            "Any task makes one; `invoke build` makes the image.",
        ),
        Text("没有可校验的 {engine} 环境。", "运行任意任务即可生成;镜像用 `invoke build`。"),
    ),
    "record.unfinished": Entry(
        Text(
            "The run {run} was not trained to its end: its record holds no weights.",
            "Finish it first: `invoke train` with its recipe goes on.",
        ),
        Text(
            "运行 {run} 的训练没有完成,记录中没有权重。", "请先用其配方运行 `invoke train` 完成它。"
        ),
    ),
    "record.other-lock": Entry(
        Text(
            "The run {run} was made with other packages: lock {theirs}, here {ours}.",
            "Use the kit that made it: `git checkout {commit}`.",
        ),
        Text(
            "运行 {run} 使用了不同的软件包:锁 {theirs},本机为 {ours}。",
            "请换用生成它的版本:`git checkout {commit}`。",
        ),
    ),
    "record.needs-input": Entry(
        Text(
            "The run {run} read {part} from a folder or file of its user's ({named}).",
            "Name yours, with the same bytes: {option} PATH.",
        ),
        Text(
            "运行 {run} 的 {part} 来自其用户自己的文件({named})。",
            "请指定内容相同的路径:{option} 路径。",
        ),
    ),
    "record.other-inputs": Entry(
        Text(
            "{names}: other bytes than the run {run} was made from.",
            "Name weights and data with the recorded hashes: --llm, --vision, --projector, --data.",
        ),
        Text(
            "{names} 的内容与运行 {run} 所用的不同。",
            "请用 --llm、--vision、--projector、--data 指定哈希相符的权重和数据。",
        ),
    ),
    "record.not-reproduced": Entry(
        Text("not reproduced: {what}.", "`invoke diff {run} {other}` shows all that differs."),
        Text("未能复现:{what}。", "用 `invoke diff {run} {other}` 查看全部差异。"),
    ),
    "record.other-recipe": Entry(
        Text(
            "The recipe has changed since {run} began: its runs are called {present} now.",
            "Run the command of that run again; it begins {present}.",
        ),
        Text(
            "自 {run} 开始以来配方已改变:现在的运行名为 {present}。",
            "请再次运行当初的命令,将开始 {present}。",
        ),
    ),
}

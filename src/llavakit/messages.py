"""What the kit says when something fails: one table, English and Chinese.

Each entry holds what happened and one remedy; ``{names}`` are filled in from the error.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

LANGUAGES = ("en", "zh")


class Text(NamedTuple):
    what: str
    remedy: str


class Entry(NamedTuple):
    en: Text
    zh: Text


def text(message_id: str, lang: str) -> Text:
    """The text of a message; English for a language that the table lacks.

    Raises KeyError for an id that is not in the table.
    """
    entry = TABLE[message_id]
    return entry.zh if lang == "zh" else entry.en


def language(environ: Mapping[str, str] = os.environ) -> str:
    """``zh`` where the locale is Chinese, else ``en``."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if value := environ.get(name):
            return "zh" if value.lower().startswith("zh") else "en"
    return "en"


TABLE: dict[str, Entry] = {
    # --- the command line and invoke.yaml ---
    "configuration.bad-value": Entry(
        Text("{key} cannot be {value}.", "Use one of: {allowed}."),
        Text("{key} 不能是 {value}。", "可选值:{allowed}。"),
    ),
    "configuration.needs-yes": Entry(
        Text("This command would delete what is named above.", "Add --yes to do it."),
        Text("此命令会删除上面列出的内容。", "确认后加上 --yes 再运行。"),
    ),
    "configuration.no-terminal": Entry(
        Text(
            "chat needs a terminal to talk to you.",
            "Use `invoke ask --image FILE --question TEXT`.",
        ),
        Text("chat 需要在终端中使用。", "请改用 `invoke ask --image 文件 --question 问题`。"),
    ),
    "configuration.not-an-image": Entry(
        Text("{path} cannot be read as a picture.", "Name a JPEG or PNG file."),
        Text("无法把 {path} 当作图片读取。", "请指定一个 JPEG 或 PNG 文件。"),
    ),
    # --- recipes and overrides ---
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
    "recipe.bad-override": Entry(
        Text("--set {override} is not of the form key=value.", "Write for example --set seed=3."),
        Text("--set {override} 不是 key=value 的形式。", "例如写成 --set seed=3。"),
    ),
    # --- environment and engines ---
    "environment.relock-failed": Entry(
        Text(
            "The locks could not be made again; they are as they were.", "Read what uv says above."
        ),
        Text("无法重新生成锁文件,原文件保持不变。", "请查看上面 uv 的输出。"),
    ),
    "engine.none-usable": Entry(
        Text(
            "Neither engine can run here.",
            "Install Docker Engine, or a Python 3.10 for --engine local.",
        ),
        Text(
            "此机器上两种引擎都无法运行。",
            "请安装 Docker Engine,或为 --engine local 安装 Python 3.10。",
        ),
    ),
    # --- the workspace ---
    "workspace.not-writable": Entry(
        Text(
            "The workspace {folder} cannot be written.", "Name another one with --workspace FOLDER."
        ),
        Text("无法写入工作区 {folder}。", "用 --workspace 指定另一个文件夹。"),
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
    # --- data ---
    "data.no-folder": Entry(
        Text("The data's folder {folder} does not exist.", "Correct data.folder in the recipe."),
        Text("数据文件夹 {folder} 不存在。", "请修改配方中的 data.folder。"),
    ),
    "data.no-file": Entry(
        Text("{file} is not in the data's folder.", "Correct data.file in the recipe."),
        Text("数据文件夹中没有 {file}。", "请修改配方中的 data.file。"),
    ),
    # --- weights ---
    "weights.missing": Entry(
        Text(
            "The weights in {folder} are not complete.", "Run `invoke models` to make them again."
        ),
        Text("{folder} 中的权重不完整。", "运行 `invoke models` 重新生成。"),
    ),
    # --- steps ---
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
    "step.interrupted": Entry(
        Text(
            "Stopped while the step {step} ran.",
            "Run the same command again: it goes on from the last checkpoint.",
        ),
        Text("在步骤 {step} 运行中被停止。", "再次运行同一命令,会从最近的检查点继续。"),
    ),
}

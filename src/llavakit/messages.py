"""What the kit says when something fails: one table, English and Chinese.

Each entry holds what happened and one remedy; ``{names}`` are filled in from the error.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple


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
    "engine.chosen": Entry(
        Text("{engine}, as asked for.", "`--engine auto` lets the kit choose."),
        Text("{engine}(按您的指定)。", "用 `--engine auto` 可由工具自动选择。"),
    ),
    "engine.auto-docker": Entry(
        Text("docker: a daemon answers at {address}.", "Add --engine local for the other."),
        Text("docker:{address} 有守护进程响应。", "如需另一种,请加 --engine local。"),
    ),
    "engine.auto-local": Entry(
        Text("local, not docker: {reason}", "Add --engine docker to see what is wrong."),
        Text("local,未用 docker:{reason}", "加上 --engine docker 可查看具体原因。"),
    ),
    "engine.no-sdk": Entry(
        Text("The Docker SDK for Python is not installed.", "Run `scripts/bootstrap`."),
        Text("未安装 Python 的 Docker SDK。", "请运行 `scripts/bootstrap`。"),
    ),
    "engine.no-daemon": Entry(
        Text(
            "No Docker Engine answers at {address}.",
            "Start it (`sudo systemctl start docker`), or add --engine local to do without it.",
        ),
        Text(
            "{address} 上没有 Docker 引擎响应。",
            "请启动它(`sudo systemctl start docker`),或加上 --engine local 不使用 Docker。",
        ),
    ),
    "engine.permission-denied": Entry(
        Text(
            "You may not use the Docker Engine at {address}.",
            "Run `sudo usermod -aG docker $USER` and log in again, or add --engine local.",
        ),
        Text(
            "当前用户无权使用 {address} 上的 Docker 引擎。",
            "运行 `sudo usermod -aG docker $USER` 后重新登录,或加上 --engine local。",
        ),
    ),
    "engine.image-missing": Entry(
        Text("There is no image {image} here.", "Make it with `invoke build`."),
        Text("本机没有镜像 {image}。", "用 `invoke build` 构建。"),
    ),
    "engine.bad-image": Entry(
        Text("The image {image} has no python to run.", "Make it again with `invoke build`."),
        Text("镜像 {image} 中没有可运行的 python。", "用 `invoke build` 重新构建。"),
    ),
    "engine.no-gpu-support": Entry(
        Text(
            "The Docker Engine cannot give a container the GPUs asked for ({gpus}).",
            "Install the NVIDIA Container Toolkit, then `sudo nvidia-ctk runtime configure "
            "--runtime=docker && sudo systemctl restart docker`; or run without GPUs: --gpus none.",
        ),
        Text(
            "Docker 引擎无法向容器提供所需的 GPU({gpus})。",
            "请安装 NVIDIA Container Toolkit,然后运行 `sudo nvidia-ctk runtime configure "
            "--runtime=docker && sudo systemctl restart docker`;或不使用 GPU:--gpus none。",
        ),
    ),
    "engine.guarantee-missing": Entry(
        Text(
            "The engine {engine} cannot promise what this needs: {missing}.",
            "Run it with --engine docker.",
        ),
        Text("引擎 {engine} 无法保证此任务所需的:{missing}。", "请用 --engine docker 运行。"),
    ),
    "engine.mount-missing": Entry(
        Text(
            "{path} does not exist, or the Docker Engine does not see it.",
            "Look where it should be: `ls -ld {path}`.",
        ),
        Text("{path} 不存在,或 Docker 引擎看不到它。", "请检查该路径:`ls -ld {path}`。"),
    ),
    "engine.mount-blocked": Entry(
        Text("Something is in the way at {path}.", "Look at it and move it: `ls -la {path}`."),
        Text("{path} 处已有其他内容。", "请查看并移走:`ls -la {path}`。"),
    ),
    "engine.disk-full": Entry(
        Text(
            "The disk of the Docker Engine is full.",
            "`docker system df` shows what takes the space; `docker image prune` frees some.",
        ),
        Text(
            "Docker 引擎所在的磁盘已满。",
            "用 `docker system df` 查看占用,用 `docker image prune` 释放空间。",
        ),
    ),
    "engine.cannot-start": Entry(
        Text("The job {job} could not be started.", "Run `invoke doctor` to see what is wrong."),
        Text("无法启动任务 {job}。", "运行 `invoke doctor` 查看问题所在。"),
    ),
    "engine.no-input": Entry(
        Text("The job {job} takes no input.", "Start it again."),
        Text("任务 {job} 不接受输入。", "请重新启动它。"),
    ),
    "engine.request-failed": Entry(
        Text(
            "The Docker Engine refused a request.",
            "Look at its log: `sudo journalctl -u docker -n 50`.",
        ),
        Text("Docker 引擎拒绝了请求。", "请查看其日志:`sudo journalctl -u docker -n 50`。"),
    ),
    # --- the pinned environment without Docker ---
    "environment.no-uv": Entry(
        Text("uv is not installed.", "Run `scripts/bootstrap`."),
        Text("未安装 uv。", "请运行 `scripts/bootstrap`。"),
    ),
    "environment.no-python": Entry(
        Text(
            "No Python 3.10 was found here and uv could not download one.",
            "Name one by `export INVOKE_LLAVAKIT_PYTHON=/path/to/python3.10`, or a mirror: "
            "`export UV_PYTHON_INSTALL_MIRROR=ADDRESS`.",
        ),
        Text(
            "本机没有 Python 3.10,uv 也无法下载。",
            "用 `export INVOKE_LLAVAKIT_PYTHON=/path/to/python3.10` 指定,或为 uv 指定镜像:"
            "`export UV_PYTHON_INSTALL_MIRROR=地址`。",
        ),
    ),
    "environment.not-python310": Entry(
        Text("{path} is not a Python 3.10 that runs.", "Check it with `{path} --version`."),
        Text("{path} 不是可运行的 Python 3.10。", "用 `{path} --version` 检查。"),
    ),
    "environment.hash-mismatch": Entry(
        Text(
            "A downloaded package is not the one that the lock names; nothing of it was kept.",
            "Try another index: `export UV_DEFAULT_INDEX=ADDRESS`, then run this again.",
        ),
        Text(
            "下载的软件包与锁文件不符,已全部丢弃。",
            "换一个软件源:`export UV_DEFAULT_INDEX=地址`,然后重新运行。",
        ),
    ),
    "environment.no-network": Entry(
        Text(
            "The package index could not be reached.",
            "Check the network, or name a mirror: `export UV_DEFAULT_INDEX=ADDRESS`.",
        ),
        Text("无法连接软件包源。", "请检查网络,或指定镜像:`export UV_DEFAULT_INDEX=地址`。"),
    ),
    "environment.disk-full": Entry(
        Text(
            "The disk was full before the environment in {folder} was complete (it needs 6 GB).",
            "Free some space, or name a folder on another disk with --workspace FOLDER.",
        ),
        Text(
            "环境 {folder} 尚未装完磁盘就满了(需要 6 GB)。",
            "请腾出空间,或用 --workspace 指定另一块磁盘上的文件夹。",
        ),
    ),
    "environment.install-failed": Entry(
        Text("The environment in {folder} could not be made.", "Read what uv says above."),
        Text("无法建立环境 {folder}。", "请查看上面 uv 的输出。"),
    ),
    "environment.relock-failed": Entry(
        Text(
            "The locks could not be made again; they are as they were.", "Read what uv says above."
        ),
        Text("无法重新生成锁文件,原文件保持不变。", "请查看上面 uv 的输出。"),
    ),
    "engine.build-failed": Entry(
        Text(
            "The image could not be built; this step failed: {step}\n{tail}",
            "Repair what the last lines name and run `invoke build` again: it goes on from there.",
        ),
        Text(
            "镜像构建失败,出错的步骤:{step}\n{tail}",
            "请根据最后几行修正问题,再运行 `invoke build`,已完成的步骤不会重做。",
        ),
    ),
    "engine.base-gone": Entry(
        Text(
            "The registry does not have the base image {base} (any more).",
            "Name another with `invoke build --base IMAGE`, for example an archived copy of it.",
        ),
        Text(
            "镜像仓库中没有(或已删除)基础镜像 {base}。",
            "用 `invoke build --base 镜像` 指定另一个,例如事先存档的副本。",
        ),
    ),
    "engine.build-no-network": Entry(
        Text(
            "The build reached no registry or package index.",
            "Check the network; behind a proxy or for a mirror set HTTPS_PROXY, PIP_INDEX_URL.",
        ),
        Text(
            "构建时无法连接镜像仓库或软件包索引。",
            "请检查网络;如需代理或镜像源,请设置 HTTPS_PROXY、PIP_INDEX_URL。",
        ),
    ),
    "environment.python-later": Entry(
        Text(
            "no Python 3.10 yet; uv will download one when the local engine is used",
            "`export UV_PYTHON_INSTALL_MIRROR=ADDRESS` names a mirror for it.",
        ),
        Text(
            "尚无 Python 3.10;使用 local 引擎时 uv 会下载一个",
            "可用 `export UV_PYTHON_INSTALL_MIRROR=地址` 指定镜像站。",
        ),
    ),
    # --- the workspace ---
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
    "data.not-json": Entry(
        Text("{file} is not JSON.", "Correct the file; its first error is named above."),
        Text("{file} 不是有效的 JSON。", "请修正文件,第一处错误见上。"),
    ),
    "data.not-a-list": Entry(
        Text(
            "{file} does not hold a list of conversations.",
            "Write it in LLaVA's format; data/sample/conversations.json is an example.",
        ),
        Text("{file} 不是对话列表。", "请使用 LLaVA 格式,可参考 data/sample/conversations.json。"),
    ),
    "data.empty": Entry(
        Text(
            "{file} holds no conversation.",
            "Add at least one, in the form of data/sample/conversations.json.",
        ),
        Text("{file} 中没有对话。", "请至少加入一条,格式参考 data/sample/conversations.json。"),
    ),
    "data.bad-item": Entry(
        Text(
            "Item {item} of the data is not in LLaVA's format at {where}.",
            "Correct that item; data/sample/conversations.json shows the format.",
        ),
        Text(
            "第 {item} 条数据的 {where} 不符合 LLaVA 格式。",
            "请修改该条数据,格式参考 data/sample/conversations.json。",
        ),
    ),
    "data.bad-roles": Entry(
        Text(
            "Turn {turn} of item {item} is from {found}, expected {expected}.",
            "Let human and gpt take turns, human first.",
        ),
        Text(
            "第 {item} 条数据的第 {turn} 轮来自 {found},应为 {expected}。",
            "请让 human 和 gpt 轮流发言,human 在先。",
        ),
    ),
    "data.no-answer": Entry(
        Text(
            "Item {item} of the data ends with a question.",
            "Add the answer of gpt, or remove the last turn.",
        ),
        Text("第 {item} 条数据以提问结束。", "请补上 gpt 的回答,或删除最后一轮。"),
    ),
    "data.image-token": Entry(
        Text(
            "Item {item} of the data does not have {token} exactly once, in its first turn.",
            "Begin its first question with {token} and remove it elsewhere.",
        ),
        Text(
            "第 {item} 条数据的 {token} 必须只在第一轮出现一次。",
            "请把 {token} 放在第一个问题的开头,并删除别处的。",
        ),
    ),
    "data.no-picture": Entry(
        Text(
            "Item {item} of the data names a picture that is not there: {image}.",
            "Add the picture to the data's folder, or correct its name.",
        ),
        Text("第 {item} 条数据的图片不存在:{image}。", "请把图片放进数据文件夹,或改正文件名。"),
    ),
    "data.outside-folder": Entry(
        Text(
            "Item {item} of the data names a picture outside the data's folder: {image}.",
            "Put the picture into the folder and name it by a relative path without links.",
        ),
        Text(
            "第 {item} 条数据的图片在数据文件夹之外:{image}。",
            "请把图片放进该文件夹,使用相对路径,不要用链接。",
        ),
    ),
    "data.not-a-picture": Entry(
        Text(
            "Item {item} of the data names a file that is not a whole picture: {image}.",
            "Replace it by a JPEG or PNG file that opens.",
        ),
        Text(
            "第 {item} 条数据的文件不是完整的图片:{image}。", "请换成可以打开的 JPEG 或 PNG 文件。"
        ),
    ),
    # --- where files come from: one of these for each source that was tried ---
    "source.unreachable": Entry(
        Text(
            "{source} does not answer.",
            "Look at the network; set HTTPS_PROXY, or a mirror (docs/sources.md).",
        ),
        Text("{source} 没有响应。", "请检查网络;设置 HTTPS_PROXY 或镜像(docs/sources.md)。"),
    ),
    "source.gated": Entry(
        Text(
            "{source} gives its files to permitted accounts only.",
            "Accept its terms on its page, then set HF_TOKEN or MODELSCOPE_API_TOKEN.",
        ),
        Text(
            "{source} 只向获得许可的账号提供文件。",
            "请在其页面接受条款,再设置 HF_TOKEN 或 MODELSCOPE_API_TOKEN。",
        ),
    ),
    "source.missing": Entry(
        Text(
            "{source} has no {what}.",
            "Correct the name or the revision in the recipe, or add another source.",
        ),
        Text("{source} 没有 {what}。", "请修改配方中的名称或版本,或增加其他来源。"),
    ),
    "source.no-files": Entry(
        Text(
            "{source} has no file that matches {wanted}.",
            "Correct the files in the recipe, or name another source.",
        ),
        Text("{source} 中没有匹配 {wanted} 的文件。", "请修改配方中的 files,或换用其他来源。"),
    ),
    "source.server": Entry(
        Text(
            "{source} answered {file} with status {status} again and again.",
            "Try again later, or name another source.",
        ),
        Text("{source} 对 {file} 一直返回状态码 {status}。", "请稍后再试,或换用其他来源。"),
    ),
    "source.redirects": Entry(
        Text(
            "{source} sends the request for {file} round in circles.",
            "Name another source or mirror.",
        ),
        Text("{source} 对 {file} 的请求不断重定向。", "请换用其他来源或镜像。"),
    ),
    "source.html": Entry(
        Text(
            "{source} sent a web page instead of {file}.",
            "Open the address in a browser: it may want a login or a confirmation.",
        ),
        Text("{source} 返回的是网页,不是 {file}。", "请在浏览器中打开该地址:可能需要登录或确认。"),
    ),
    "source.pointer": Entry(
        Text(
            "{source} sent git-lfs's pointer to {file}, not the file.",
            "Use the repository as a git source, which fetches what the pointer names.",
        ),
        Text(
            "{source} 返回的是 {file} 的 git-lfs 指针,不是文件本身。",
            "请把该仓库写成 git 来源,会取回指针所指的文件。",
        ),
    ),
    "source.empty": Entry(
        Text("{source} sent {file} without a byte in it.", "Name another source."),
        Text("{source} 返回的 {file} 是空文件。", "请换用其他来源。"),
    ),
    "source.wrong-length": Entry(
        Text(
            "{source} sent {found} bytes of {file}, which has {wanted}.",
            "Try again, or name another source.",
        ),
        Text("{source} 返回了 {file} 的 {found} 字节,应为 {wanted}。", "请重试,或换用其他来源。"),
    ),
    "source.wrong-bytes": Entry(
        Text(
            "{source} sent other bytes under the name {file}: sha256 {found}, wanted {wanted}.",
            "Nothing of it was kept. Name another source or mirror.",
        ),
        Text(
            "{source} 返回的 {file} 内容不符:sha256 为 {found},应为 {wanted}。",
            "文件已丢弃。请换用其他来源或镜像。",
        ),
    ),
    "source.moved": Entry(
        Text(
            "{source} has another {file} now than the one that was locked at first use.",
            "Name the revision of then; or remove {lock} to lock what is there now.",
        ),
        Text(
            "{source} 现在的 {file} 与首次使用时锁定的不同。",
            "请指定当时的版本;或删除 {lock},重新锁定现在的文件。",
        ),
    ),
    "source.mixed": Entry(
        Text(
            "{source} cannot show that its {file} belongs to what {others} gave.",
            "Run the same command again when {others} answers, or remove {folder} first.",
        ),
        Text(
            "{source} 无法证明它的 {file} 与 {others} 已提供的文件属于同一版本。",
            "等 {others} 恢复后再运行同一命令,或先删除 {folder}。",
        ),
    ),
    "source.stalled": Entry(
        Text(
            "{source} stopped sending {file}: nothing for {seconds} s, again and again.",
            "Run the same command again later; what was fetched is kept.",
        ),
        Text(
            "{source} 停止发送 {file}:多次 {seconds} 秒内没有数据。",
            "请稍后再运行同一命令;已下载的部分会保留。",
        ),
    ),
    "source.broken": Entry(
        Text(
            "The connection to {source} broke again and again while it sent {file}.",
            "Run the same command again; what was fetched is kept.",
        ),
        Text("从 {source} 下载 {file} 时连接反复中断。", "请再次运行同一命令;已下载的部分会保留。"),
    ),
    "source.no-tool": Entry(
        Text(
            "{source} needs the program {tool}, which is not installed here.",
            "Install it (`apt-get install git git-lfs`), or use --engine docker.",
        ),
        Text(
            "{source} 需要程序 {tool},本机没有安装。",
            "请安装(`apt-get install git git-lfs`),或使用 --engine docker。",
        ),
    ),
    "source.none-left": Entry(
        Text(
            "No source of {artefact} gave {file}.",
            "Correct one cause above, or name files that you have (docs/sources.md).",
        ),
        Text(
            "{artefact} 的所有来源都没能提供 {file}。",
            "请解决上面的一个原因,或指定您已有的文件(docs/sources.md)。",
        ),
    ),
    "data.other-repetition": Entry(
        Text(
            "Repeated {times} times, {file} has the sha256 {found}; the recipe knows {wanted}.",
            "Correct data.repeated in the recipe, or get the data again with `invoke data`.",
        ),
        Text(
            "{file} 重复 {times} 次后的 sha256 是 {found},配方中是 {wanted}。",
            "请修改配方中的 data.repeated,或用 `invoke data` 重新获取数据。",
        ),
    ),
    "source.cannot-be-had": Entry(
        Text(
            "No source can give {artefacts} now.",
            "Correct one cause above, or name files that you have (docs/sources.md).",
        ),
        Text(
            "目前没有来源能提供 {artefacts}。",
            "请解决上面的一个原因,或指定您已有的文件(docs/sources.md)。",
        ),
    ),
    # --- weights ---
    "weights.missing": Entry(
        Text(
            "The weights in {folder} are not complete.", "Run `invoke models` to make them again."
        ),
        Text("{folder} 中的权重不完整。", "运行 `invoke models` 重新生成。"),
    ),
    "weights.code": Entry(
        Text(
            "The weights bring Python of their own ({file}), which is never run.",
            "Use weights of a model that Transformers knows by itself.",
        ),
        Text(
            "权重自带 Python 代码({file}),本工具从不运行这类代码。",
            "请换用 Transformers 自身支持的模型权重。",
        ),
    ),
    "weights.not-converted": Entry(
        Text(
            "The converted weights in {folder} are not complete.",
            "Run `invoke convert` to make them again.",
        ),
        Text("{folder} 中转换后的权重不完整。", "运行 `invoke convert` 重新生成。"),
    ),
    "weights.unsafe": Entry(
        Text(
            "{file} does not hold tensors alone.",
            "Get it again from its source; a file that holds code is never loaded.",
        ),
        Text("{file} 中不只有张量。", "请从来源重新获取;含有代码的文件不会被加载。"),
    ),
    "weights.foreign": Entry(
        Text(
            "{folder} holds a model of the type {found}; the recipe needs {wanted}.",
            "Name the folder or the repository of such a model.",
        ),
        Text(
            "{folder} 中的模型类型是 {found},配方需要 {wanted}。",
            "请指定该类型模型的文件夹或仓库。",
        ),
    ),
    "weights.torn": Entry(
        Text(
            "{file} is not a whole file of weights.",
            "Remove it and run `invoke models`; of a folder of yours, copy it again.",
        ),
        Text(
            "{file} 不是完整的权重文件。",
            "请删除后运行 `invoke models`;如果是您自己的文件夹,请重新复制。",
        ),
    ),
    "weights.projector-shape": Entry(
        Text(
            "The projector {file} has the shape {found}, the two models need {wanted}.",
            "Use the projector that was trained for these two models.",
        ),
        Text(
            "projector {file} 的形状是 {found},两个模型需要 {wanted}。",
            "请使用为这两个模型训练的 projector。",
        ),
    ),
    "weights.projector-depth": Entry(
        Text(
            "The projector has {found} linear layers, the recipe says {wanted}.",
            "Set weights.projector.depth={found}, or use another projector.",
        ),
        Text(
            "projector 有 {found} 个线性层,配方中是 {wanted}。",
            "请设置 weights.projector.depth={found},或换用另一个 projector。",
        ),
    ),
    "weights.not-plain": Entry(
        Text("{file} cannot be loaded as plain weights.", "Make it again with `invoke convert`."),
        Text("无法把 {file} 作为纯权重加载。", "运行 `invoke convert` 重新生成。"),
    ),
    "weights.changed": Entry(
        Text(
            "The training's files in {folder} changed after it ended.",
            "Run `invoke train` to make them again.",
        ),
        Text("{folder} 中的训练结果在训练结束后被改动。", "运行 `invoke train` 重新生成。"),
    ),
    "weights.no-path": Entry(
        Text(
            "The {part} is to be yours, but {path} is no {wanted}.",
            "Correct --{part}, or weights.{part}.path in the recipe.",
        ),
        Text(
            "{part} 指定为本地的,但 {path} 不是所需的 {wanted}。",
            "请修改 --{part} 或配方中的 weights.{part}.path。",
        ),
    ),
    "weights.links-away": Entry(
        Text(
            "The files of the {part} in {path} are links that lead out of that folder.",
            "Name the folder that holds the files themselves, or a copy of it (`cp -rL`).",
        ),
        Text(
            "{part} 的文件夹 {path} 中的文件是指向文件夹之外的链接。",
            "请指定存放真实文件的文件夹,或先用 `cp -rL` 复制一份。",
        ),
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

"""What the kit says: engines and the pinned environment."""

from __future__ import annotations

from llavakit.messages_form import Entry, Text

TABLE: dict[str, Entry] = {
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
    "engine.wrong-context": Entry(
        Text(
            "No Docker Engine answers at {address}, which Docker's context {context} names.",
            "Take the default one with `docker context use default` (`unset DOCKER_CONTEXT` where "
            "that is set), start that engine, or add --engine local.",
        ),
        Text(
            "{address}(Docker 上下文 {context} 所指)上没有 Docker 引擎响应。",
            "用 `docker context use default` 换回默认上下文(若设置了 DOCKER_CONTEXT,则 "
            "`unset DOCKER_CONTEXT`),或启动该引擎,或加上 --engine local。",
        ),
    ),
    "engine.no-answer": Entry(
        Text(
            "The Docker Engine at {address} took a request and does not answer.",
            "Wait for what keeps it busy, or restart it (`sudo systemctl restart docker`); what "
            "was trained is kept, and the same command goes on.",
        ),
        Text(
            "{address} 上的 Docker 引擎接受了请求但没有响应。",
            "请等待它空闲,或重启它(`sudo systemctl restart docker`);已训练的内容会保留,"
            "再次运行同一命令即可继续。",
        ),
    ),
    "engine.too-old": Entry(
        Text(
            "The Docker Engine at {address} and the kit's Docker SDK have no API version in "
            "common.",
            "Update the engine (https://docs.docker.com/engine/install/; 20.10 or newer works), "
            "or add --engine local.",
        ),
        Text(
            "{address} 上的 Docker 引擎与本工具的 Docker SDK 没有共同的 API 版本。",
            "请更新引擎(https://docs.docker.com/engine/install/;20.10 或更新版本可用),"
            "或加上 --engine local。",
        ),
    ),
    "engine.old-driver": Entry(
        Text(
            "The NVIDIA driver is too old for the image's CUDA 12.1, which needs 525 or newer.",
            "Update the driver (on Ubuntu `sudo ubuntu-drivers install`, then restart the host).",
        ),
        Text(
            "NVIDIA 驱动过旧:镜像中的 CUDA 12.1 需要 525 或更新版本。",
            "请更新驱动(Ubuntu 上运行 `sudo ubuntu-drivers install`,然后重启主机)。",
        ),
    ),
    "engine.gpu-lost": Entry(
        Text(
            "A GPU of this host does not answer any more.",
            "`nvidia-smi` and `sudo dmesg | grep -i xid` say which; restart the host.",
        ),
        Text(
            "本机有一块 GPU 已不再响应。",
            "用 `nvidia-smi` 和 `sudo dmesg | grep -i xid` 查看是哪一块;请重启主机。",
        ),
    ),
    "engine.name-taken": Entry(
        Text(
            "A container has the name that {job} was to get.",
            "Run this again: it takes another name, and removes what a killed run left.",
        ),
        Text(
            "任务 {job} 的容器名已被占用。",
            "请重新运行:会换用另一个名称,并删除被终止的运行留下的容器。",
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
}

"""What `invoke doctor` says of engines, environments and GPUs, and of itself.

Each finding, and under ``.remedy`` what to do about it.
"""

from __future__ import annotations

from llavakit.host.words_form import Words, paste

TABLE: dict[str, Words] = {
    "doctor.status.pass": Words("pass", "通过"),
    "doctor.status.warn": Words("warn", "警告"),
    "doctor.status.fail": Words("FAIL", "失败"),
    "doctor.status.skip": Words("skip", "跳过"),
    "doctor.verdict.ready": Words("ready for {recipe}", "可以运行 {recipe}"),
    "doctor.verdict.ready-but": Words(
        "ready for {recipe} (warnings: {count})", "可以运行 {recipe}(警告 {count} 项)"
    ),
    "doctor.verdict.not-ready": Words(
        "not ready for {recipe}: {failed}", "还不能运行 {recipe}:{failed}"
    ),
    "doctor.verdict.demo": Words("what runs here: {demo}", "本机可以运行:{demo}"),
    "doctor.fix.container": Words("removing the container {name}", "正在删除容器 {name}"),
    "doctor.fix.files": Words("removing {path}", "正在删除 {path}"),
    "doctor.fix.refused": Words("cannot be removed: {path} ({why})", "无法删除:{path}({why})"),
    "doctor.fix.at-work": Words(
        "at work in the workspace, so what it may use is left alone: {owner}",
        "工作区正在使用中,可能用到的内容不会删除:{owner}",
    ),
    # --- the checks themselves ---
    "doctor.check-broke": Words("the check itself failed: {why}", "检查本身出错:{why}"),
    "doctor.check-broke.remedy": Words(
        "Report it, with what `invoke doctor --json` prints.",
        "请附上 `invoke doctor --json` 的输出反馈此问题。",
    ),
    "doctor.hung.engine": Words(
        "no answer within {seconds} s: the Docker Engine hangs",
        "{seconds} 秒内没有响应:Docker 引擎卡住了",
    ),
    "doctor.hung.engine.remedy": paste("sudo systemctl restart docker"),
    "doctor.hung.gpu": Words(
        "no answer within {seconds} s: nvidia-smi hangs, the driver may have lost the GPU",
        "{seconds} 秒内没有响应:nvidia-smi 卡住了,驱动可能已丢失 GPU",
    ),
    "doctor.hung.gpu.remedy": paste("sudo dmesg | grep -i xid"),
    "doctor.hung.network": Words(
        "no answer within {seconds} s: names are not resolved, or a proxy hangs",
        "{seconds} 秒内没有响应:域名无法解析,或代理卡住了",
    ),
    "doctor.hung.network.remedy": Words(
        "export HTTPS_PROXY=http://HOST:PORT", "export HTTPS_PROXY=http://主机:端口"
    ),
    "doctor.hung.place": Words(
        "no answer within {seconds} s: a disk or a command of this host hangs",
        "{seconds} 秒内没有响应:本机的磁盘或某个命令卡住了",
    ),
    "doctor.hung.place.remedy": paste("df -h; sudo dmesg | tail"),
    "doctor.host.linux": Words(
        "{system} {machine}, Python {python}, {cores} cores",
        "{system} {machine},Python {python},{cores} 核",
    ),
    "doctor.host.wsl": Words(
        "WSL2, {system} {machine}, Python {python}, {cores} cores",
        "WSL2,{system} {machine},Python {python},{cores} 核",
    ),
    "doctor.host.other": Words(
        "{system} {machine}: the pinned packages exist for Linux x86_64 only",
        "{system} {machine}:锁定的软件包只有 Linux x86_64 版本",
    ),
    "doctor.host.other.remedy": Words(
        "Use a Linux machine with an x86_64 processor.", "请改用 x86_64 处理器的 Linux 机器。"
    ),
    # --- the Docker Engine ---
    "doctor.engine.unused": Words("not asked for: --engine local", "未使用:--engine local"),
    "doctor.engine.none": Words("no engine answers", "没有引擎响应"),
    "doctor.engine.context": paste("{address} ({how})"),
    "doctor.engine.context-ignored": Words(
        "the context {context} is on another machine, so the kit asks this host's engine",
        "上下文 {context} 在另一台机器上,因此改用本机的引擎",
    ),
    "doctor.engine.context-ignored.remedy": paste("docker context use default"),
    "doctor.engine.elsewhere": Words(
        "{address} is another machine, which has none of this host's folders",
        "{address} 是另一台机器,看不到本机的文件夹",
    ),
    "doctor.engine.elsewhere.remedy": paste("unset DOCKER_HOST"),
    "doctor.engine.no-socket": Words("the engine is reached by a network", "通过网络连接引擎"),
    "doctor.engine.socket": Words("you may use {path}", "您有权使用 {path}"),
    "doctor.engine.other-socket": Words(
        "{path} cannot be used, {other} can", "{path} 不可用,而 {other} 可用"
    ),
    "doctor.engine.other-socket.remedy": paste("export DOCKER_HOST={other}"),
    "doctor.engine.denied": Words("you may not use {path}", "您无权使用 {path}"),
    "doctor.engine.denied.remedy": paste("sudo usermod -aG docker $USER && newgrp docker"),
    "doctor.engine.late": Words(
        "you may not use {path} yet: this session is older than your place in the group docker",
        "您还无权使用 {path}:本次登录早于您加入 docker 组",
    ),
    "doctor.engine.late.remedy": paste("newgrp docker"),
    "doctor.engine.no-such-socket": Words("there is no socket {path}", "没有套接字 {path}"),
    "doctor.engine.no-such-socket.remedy": paste("sudo systemctl start docker"),
    "doctor.engine.not-installed": Words(
        "there is no socket {path}, and no Docker Engine on this host",
        "没有套接字 {path},本机也没有安装 Docker 引擎",
    ),
    "doctor.engine.not-installed.remedy": paste("curl -fsSL https://get.docker.com | sudo sh"),
    "doctor.engine.answers": Words(
        "Docker Engine {version}, API {api}", "Docker 引擎 {version},API {api}"
    ),
    "doctor.engine.new": Words("{found}, {needed} is enough", "{found},最低要求 {needed}"),
    "doctor.engine.old": Words(
        "Docker Engine {found}, and {needed} is needed", "Docker Engine {found},至少需要 {needed}"
    ),
    "doctor.engine.old.remedy": paste("curl -fsSL https://get.docker.com | sudo sh"),
    "doctor.engine.rootful": Words(
        "jobs run as you, never as root", "任务以您的身份运行,绝不使用 root"
    ),
    "doctor.engine.rootful-for-root": Words(
        "jobs run as uid {uid}, since you are root, never as root",
        "您是 root,任务以编号 {uid} 的用户身份运行,绝不使用 root",
    ),
    "doctor.engine.remaps-for-root": Words(
        "the engine remaps users; jobs are kept out of that (userns=host) and run as uid {uid}, "
        "since you are root",
        "引擎会映射用户;任务不参与映射(userns=host);您是 root,任务以编号 {uid} 的用户身份运行",
    ),
    "doctor.engine.remaps": Words(
        "the engine remaps users; jobs are kept out of that (userns=host) and run as you",
        "引擎会映射用户;任务不参与映射(userns=host),以您的身份运行",
    ),
    "doctor.engine.rootless": Words(
        "rootless: root in a container is you on this host, and jobs run as that",
        "rootless:容器中的 root 即本机上的您,任务以此身份运行",
    ),
    "doctor.engine.limits": Words(
        "memory and processes of a job can be limited", "可以限制任务的内存和进程数"
    ),
    "doctor.engine.no-limits": Words(
        "the kernel limits neither memory nor processes of a job", "内核无法限制任务的内存和进程数"
    ),
    "doctor.engine.no-limits.remedy": paste(
        "sudo sed -i 's/^GRUB_CMDLINE_LINUX=\"/&cgroup_enable=memory swapaccount=1 /' "
        "/etc/default/grub && sudo update-grub && sudo reboot"
    ),
    "doctor.engine.no-delegation": Words(
        "the rootless engine was given no control of memory and processes",
        "rootless 引擎没有获得内存和进程控制权",
    ),
    "doctor.engine.no-delegation.remedy": paste(
        "sudo mkdir -p /etc/systemd/system/user@.service.d && printf "
        "'[Service]\\nDelegate=cpu cpuset io memory pids\\n' | sudo tee "
        "/etc/systemd/system/user@.service.d/delegate.conf && sudo systemctl "
        "daemon-reload"
    ),
    # --- the pinned environment ---
    "doctor.image.unused": Words("jobs run without an image", "任务不使用镜像"),
    "doctor.image.none": Words("there is no image yet", "还没有镜像"),
    "doctor.image.present": paste("{tag}"),
    "doctor.image.missing": Words(
        "no image {tag} yet; it is built when first needed (about 3 GB to fetch)",
        "还没有镜像 {tag};首次需要时会构建(约需下载 3 GB)",
    ),
    "doctor.image.missing.remedy": paste("invoke build"),
    "doctor.image.lock": Words("made from this lock, {lock}", "由当前锁文件 {lock} 构建"),
    "doctor.image.other-lock": Words(
        "made from other pins ({found}); it is built again when next needed",
        "由其他锁文件({found})构建;下次需要时会重新构建",
    ),
    "doctor.image.other-lock.remedy": paste("invoke build"),
    "doctor.image.source": Words("holds this clone's code", "包含当前代码"),
    "doctor.image.other-source": Words(
        "holds other code of the kit; its last layer is made again when next needed",
        "包含的代码与当前不同;下次需要时会重做最后一层",
    ),
    "doctor.image.other-source.remedy": paste("invoke build"),
    "doctor.local.unused": Words("jobs run in the image", "任务在镜像中运行"),
    "doctor.local.python": paste("3.10, {how}: {path}"),
    "doctor.local.python-kept": Words("3.10, in the environment", "3.10,在环境中"),
    "doctor.local.ready": paste("{folder}"),
    "doctor.local.missing": Words(
        "not made yet: {folder}; it is made when first needed (about 3 GB to fetch)",
        "尚未建立:{folder};首次需要时会建立(约需下载 3 GB)",
    ),
    "doctor.local.missing.remedy": paste("{demo}"),
    # --- the GPU ---
    "doctor.gpu.none": Words("no GPU, and this recipe needs none", "没有 GPU,此配方也不需要"),
    "doctor.gpu.not-there": Words("no GPU to look at", "没有可检查的 GPU"),
    "doctor.gpu.no-smi": Words(
        "an NVIDIA device is there, and no nvidia-smi that names it",
        "有 NVIDIA 设备,但没有可用的 nvidia-smi",
    ),
    "doctor.gpu.no-smi.remedy": paste("sudo ubuntu-drivers install"),
    "doctor.gpu.part": Words("a part of a GPU: {part}", "GPU 的一个分区:{part}"),
    "doctor.gpu.device": Words(
        "{gpu}, {uuid}; given to jobs: {count}", "{gpu},{uuid};分配给任务的数量:{count}"
    ),
    "doctor.gpu.driver": Words("{found}, {needed} is enough", "{found},最低要求 {needed}"),
    "doctor.gpu.kernels": Words(
        "compute capability {found}, which the pinned torch has kernels for",
        "计算能力 {found},锁定的 torch 支持",
    ),
    "doctor.gpu.capability-unknown": Words(
        "the driver does not tell the compute capability", "驱动没有给出计算能力"
    ),
    "doctor.gpu.capability-unknown.remedy": paste("nvidia-smi -q"),
    "doctor.gpu.own": Words(
        "{free} of {total} MiB free; this recipe's own training is under way",
        "{total} MiB 中空闲 {free} MiB;此配方的训练正在进行",
    ),
    "doctor.gpu.free": Words(
        "{free} of {total} MiB free, {need} needed", "{total} MiB 中空闲 {free} MiB,需要 {need} MiB"
    ),
    "doctor.gpu.nobody": Words("nobody that can be seen", "没有可见的占用者"),
    "doctor.gpu.holders": paste("{holders}"),
    "doctor.gpu.access": Words("given to containers by {how}", "通过 {how} 提供给容器"),
    "doctor.gpu.stale": Words(
        "the CDI spec gives containers what is not here (places: {count}), as after an update of "
        "the driver: {path}",
        "CDI 规范引用的 {count} 处内容不存在(例如驱动更新后):{path}",
    ),
    "doctor.gpu.stale.remedy": paste("sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml"),
    "doctor.gpu.local": Words("jobs see this host's ({how})", "任务直接使用本机 GPU({how})"),
    # --- the probe ---
    "doctor.probe.starts": Words(
        "a job of the engine {engine} tries the GPU", "正在用 {engine} 引擎的任务试用 GPU"
    ),
    "doctor.probe.no-use": Words("not tried: see what fails above", "未试用:请先看上面失败的项目"),
    "doctor.probe.no-access": Words("not tried: no job is given a GPU", "未试用:任务得不到 GPU"),
    "doctor.probe.no-environment": Words(
        "not tried: nothing is here yet that could run it (`invoke build`)",
        "未试用:本机还没有可运行它的环境(`invoke build`)",
    ),
    "doctor.probe.works": Words(
        "works in a job: {gpus}; memory allocated and read; torch {torch}; {seconds} s",
        "任务中可用:{gpus};显存可分配和读取;torch {torch};{seconds} 秒",
    ),
    "doctor.probe.no-smi": Words("(no nvidia-smi in the job)", "(任务中没有 nvidia-smi)"),
    "doctor.probe.silent": Words("the job said nothing: {why}", "任务没有输出:{why}"),
    "doctor.probe.silent.remedy": Words(
        "docker logs shows nothing more; `invoke build` makes the image again",
        "请用 `invoke build` 重新构建镜像",
    ),
    "doctor.probe.no-libcuda": Words(
        "the driver's libraries are not in the job ({why})", "任务中没有驱动的库({why})"
    ),
    "doctor.probe.no-libcuda.remedy": paste("nvidia-smi -L"),
    "doctor.probe.no-libcuda-cdi": Words(
        "CDI gives a job no libraries of the driver ({why})", "CDI 没有把驱动的库提供给任务({why})"
    ),
    "doctor.probe.no-libcuda-cdi.remedy": paste(
        "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml"
    ),
    "doctor.probe.no-libcuda-runtime": Words(
        "NVIDIA's runtime gives a job no libraries of the driver ({why})",
        "NVIDIA 运行时没有把驱动的库提供给任务({why})",
    ),
    "doctor.probe.no-libcuda-runtime.remedy": paste(
        "sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker"
    ),
    "doctor.probe.driver": Words(
        "CUDA cannot begin in a job: {why}; kernel module and libraries may differ",
        "任务中无法启动 CUDA:{why};内核模块与驱动库的版本可能不一致",
    ),
    "doctor.probe.driver.remedy": paste("sudo reboot"),
    "doctor.probe.cuda": Words("CUDA fails in a job: {why}", "任务中 CUDA 出错:{why}"),
    "doctor.probe.cuda.remedy": paste("nvidia-smi; sudo dmesg | grep -i xid"),
    "doctor.probe.smi": Words("nvidia-smi fails in a job: {why}", "任务中 nvidia-smi 出错:{why}"),
    "doctor.probe.smi.remedy": paste(
        "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml && sudo systemctl "
        "restart docker"
    ),
    "doctor.probe.torch": Words(
        "the driver works in a job, the pinned torch does not: {why}",
        "任务中驱动可用,但锁定的 torch 出错:{why}",
    ),
    "doctor.probe.torch.remedy": paste("{verify} --environment"),
}

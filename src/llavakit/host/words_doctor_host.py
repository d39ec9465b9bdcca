"""What `invoke doctor` says of memory, disks, the workspace, the network and what was left."""

from __future__ import annotations

from llavakit.host.words_form import Words, paste

TABLE: dict[str, Words] = {
    # --- memory and disk ---
    "doctor.memory.unknown": Words("this kernel does not tell", "内核没有提供"),
    "doctor.memory.ram": Words(
        "{free} GiB free, {need} needed to train and convert",
        "空闲 {free} GiB,训练和转换需要 {need} GiB",
    ),
    "doctor.memory.no-engine": Words("no engine is used", "没有使用引擎"),
    "doctor.memory.given": Words(
        "a job is given {given} GiB, {need} needed", "任务最多可用 {given} GiB,需要 {need} GiB"
    ),
    "doctor.memory.too-little": Words(
        "a job is given {given} GiB at most, and {need} are needed",
        "任务最多可用 {given} GiB,需要 {need} GiB",
    ),
    "doctor.memory.too-little.remedy": Words(
        "Use a machine with more memory, or a recipe that takes less: `ls configs/recipes`.",
        "请换用内存更大的机器,或占用更少的配方:`ls configs/recipes`。",
    ),
    "doctor.memory.small-engine": Words(
        "the engine's machine has {total} GiB, and {need} are needed",
        "引擎所在机器只有 {total} GiB,需要 {need} GiB",
    ),
    "doctor.memory.small-engine.remedy": Words(
        "Docker Desktop: Settings, Resources, Memory; WSL2: `memory=` in .wslconfig.",
        "Docker Desktop:设置 → 资源 → 内存;WSL2:.wslconfig 中的 `memory=`。",
    ),
    "doctor.memory.shm": Words("{free} MiB free in /dev/shm", "共享内存 /dev/shm 空闲 {free} MiB"),
    "doctor.memory.shm-given": Words(
        "each container is given 8 GiB of its own", "每个容器都有自己的 8 GiB"
    ),
    "doctor.memory.shm-unused": Words("this recipe needs none", "此配方不需要"),
    "doctor.memory.no-shm": Words("there is no /dev/shm", "没有 /dev/shm"),
    "doctor.memory.no-shm.remedy": paste(
        "sudo mkdir -p /dev/shm && sudo mount -t tmpfs -o size=1g shm /dev/shm"
    ),
    "doctor.memory.small-shm": Words(
        "{free} MiB free in /dev/shm, {need} needed",
        "共享内存 /dev/shm 空闲 {free} MiB,需要 {need} MiB",
    ),
    "doctor.memory.small-shm.remedy": paste("sudo mount -o remount,size=1g /dev/shm"),
    "doctor.disk.environment-there": Words("is there, takes nothing more", "已就绪,不再占用"),
    "doctor.disk.elsewhere": Words(
        "the engine keeps images in {folder}, which is not of this host",
        "引擎把镜像存放在 {folder},不在本机上",
    ),
    "doctor.disk.environment": Words(
        "needs {need} GiB in {folder}; {free} GiB free",
        "{folder} 中需要 {need} GiB;空闲 {free} GiB",
    ),
    "doctor.disk.no-image": Words(
        "the image needs {need} GiB in {folder}; {free} GiB free",
        "镜像在 {folder} 中需要 {need} GiB;空闲 {free} GiB",
    ),
    "doctor.disk.no-image.remedy": paste("docker system prune"),
    "doctor.disk.no-environment": Words(
        "the environment needs {need} GiB in {folder}; {free} GiB free",
        "环境在 {folder} 中需要 {need} GiB;空闲 {free} GiB",
    ),
    "doctor.disk.no-environment.remedy": Words(
        "export INVOKE_LLAVAKIT_ENVIRONMENTS=/a/larger/disk",
        "export INVOKE_LLAVAKIT_ENVIRONMENTS=/更大的磁盘",
    ),
    "doctor.disk.nothing-to-fetch": Words("nothing to fetch", "没有要下载的内容"),
    "doctor.disk.nothing-to-write": Words("nothing to write", "没有要写入的内容"),
    "doctor.disk.fetch": Words(
        "{need} GiB to fetch, {all} in all by then; {free} GiB free",
        "需下载 {need} GiB,届时共需 {all} GiB;空闲 {free} GiB",
    ),
    "doctor.disk.fetch-full": Words(
        "{need} GiB to fetch, {all} in all by then; only {free} GiB free in {folder}",
        "需下载 {need} GiB,届时共需 {all} GiB;{folder} 仅空闲 {free} GiB",
    ),
    "doctor.disk.fetch-full.remedy": Words(
        "{elsewhere} --workspace /a/larger/disk", "{elsewhere} --workspace /更大的磁盘"
    ),
    "doctor.disk.write": Words(
        "{need} GiB to write, {all} in all by then; {free} GiB free",
        "需写入 {need} GiB,届时共需 {all} GiB;空闲 {free} GiB",
    ),
    "doctor.disk.write-full": Words(
        "{need} GiB to write, {all} in all by then; only {free} GiB free in {folder}",
        "需写入 {need} GiB,届时共需 {all} GiB;{folder} 仅空闲 {free} GiB",
    ),
    "doctor.disk.write-full.remedy": Words(
        "{elsewhere} --workspace /a/larger/disk", "{elsewhere} --workspace /更大的磁盘"
    ),
    "doctor.disk.write-keep": Words(
        "{need} GiB to write, {all} in all by then; only {free} GiB free; one checkpoint at a "
        "time would fit",
        "需写入 {need} GiB,届时共需 {all} GiB;仅空闲 {free} GiB;若只保留一个检查点则够用",
    ),
    "doctor.disk.write-keep.remedy": paste("{keep_one}"),
    "doctor.disk.no-inodes": Words("this file system does not count them", "此文件系统不计数"),
    "doctor.disk.inodes": Words("room for {free} files", "还可存放 {free} 个文件"),
    "doctor.disk.few-inodes": Words(
        "room for {free} more files, {need} needed", "只能再存放 {free} 个文件,需要 {need} 个"
    ),
    "doctor.disk.few-inodes.remedy": paste("df -i; sudo du --inodes -xS / | sort -n | tail"),
    # --- the workspace and the clock ---
    "doctor.workspace.writable": paste("{folder}"),
    "doctor.workspace.read-only": Words(
        "{folder} cannot be written ({why})", "无法写入 {folder}({why})"
    ),
    "doctor.workspace.read-only.remedy": paste("export INVOKE_LLAVAKIT_WORKSPACE=$HOME/llavakit"),
    "doctor.workspace.owned": Words("all of it may be written", "全部可写"),
    "doctor.workspace.foreign": Words(
        "another user's, and you may not write there: {path} (places: {count})",
        "属于其他用户,您无权写入:{path}(共 {count} 处)",
    ),
    "doctor.workspace.foreign.remedy": paste("sudo chown -R $(id -u):$(id -g) {folder}"),
    "doctor.workspace.filesystem": Words(
        "{kind}: renames, locks and links", "{kind}:支持改名、加锁和链接"
    ),
    "doctor.workspace.not-tried": Words("not tried: it cannot be written", "未试:无法写入"),
    "doctor.workspace.cannot": Words(
        "{folder} is on {kind}, which lacks: {what}", "{folder} 位于 {kind},不支持:{what}"
    ),
    "doctor.workspace.cannot.remedy": paste("export INVOKE_LLAVAKIT_WORKSPACE=$HOME/llavakit"),
    "doctor.workspace.remote": Words(
        "on {kind} ({name}): slow, and its locks hold on this host only",
        "位于 {kind}({name}):速度慢,且锁只在本机有效",
    ),
    "doctor.workspace.remote.remedy": paste("export INVOKE_LLAVAKIT_WORKSPACE=$HOME/llavakit"),
    "doctor.workspace.free": Words("no other command is at work in it", "没有其他命令在使用"),
    "doctor.workspace.in-use": Words("in use by {owner}", "正被 {owner} 使用"),
    "doctor.workspace.in-use.remedy": paste("{runs}"),
    "doctor.clock.sane": Words("{now} UTC", "{now}(UTC 时间)"),
    "doctor.clock.behind": Words(
        "{now} UTC is before this clone's own {kit}", "{now} UTC 早于本代码的时间 {kit}"
    ),
    "doctor.clock.behind.remedy": paste("sudo timedatectl set-ntp true"),
    "doctor.clock.drift": Words(
        "the file system's clock differs by {seconds} s", "文件系统的时钟相差 {seconds} 秒"
    ),
    "doctor.clock.drift.remedy": paste("sudo timedatectl set-ntp true"),
    "doctor.clock.jumped": Words(
        "a run was written {seconds} s in the future: the clock has gone back",
        "有运行写于 {seconds} 秒之后的未来:时钟曾经倒退",
    ),
    "doctor.clock.jumped.remedy": paste("sudo timedatectl set-ntp true"),
    # --- the network ---
    "doctor.network.not-needed": Words("nothing to fetch", "没有要下载的内容"),
    "doctor.network.made": Words("nothing to make", "没有要建立的内容"),
    "doctor.network.answers": Words("answers: {hosts}", "有响应:{hosts}"),
    "doctor.network.why.name": Words("the name is not known", "域名无法解析"),
    "doctor.network.why.time": Words("time-out", "超时"),
    "doctor.network.why.refused": Words("refused", "拒绝连接"),
    "doctor.network.why.certificate": Words("its certificate is not trusted", "证书不受信任"),
    "doctor.network.some": Words(
        "no answer: {why}; but {others}", "没有响应:{why};但 {others} 可用"
    ),
    "doctor.network.some.remedy": Words(
        "Nothing: the others are enough.", "无需处理:其余来源已足够。"
    ),
    "doctor.network.none": Words("no answer: {why}", "没有响应:{why}"),
    "doctor.network.none.remedy": Words(
        "export HTTPS_PROXY=http://HOST:PORT", "export HTTPS_PROXY=http://主机:端口"
    ),
    "doctor.network.certificate": Words("no trusted answer: {why}", "没有可信的响应:{why}"),
    "doctor.network.certificate.remedy": Words(
        "export SSL_CERT_FILE=/path/to/the/proxy's/certificates.pem",
        "export SSL_CERT_FILE=/代理的证书.pem",
    ),
    # --- leftovers ---
    "doctor.left.no-engine": Words("no engine to ask", "没有可询问的引擎"),
    "doctor.left.no-containers": Words("none", "无"),
    "doctor.left.containers": Words(
        "nobody waits for these any more ({count}): {names}",
        "以下 {count} 个容器已无人等待:{names}",
    ),
    "doctor.left.containers.remedy": paste("{doctor} --fix"),
    "doctor.left.no-files": Words("none", "无"),
    "doctor.left.files": Words("half-made ({count}): {names}", "未完成的 {count} 项:{names}"),
    "doctor.left.files.remedy": paste("{doctor} --fix"),
    "doctor.left.no-downloads": Words("none", "无"),
    "doctor.left.downloads": Words(
        "cut off ({count}), {size} are here; `invoke models` goes on from there",
        "{count} 个下载中断,已有 {size};`invoke models` 会继续",
    ),
}

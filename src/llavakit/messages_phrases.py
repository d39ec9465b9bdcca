"""What the kit says: parts of sentences (see :mod:`llavakit.phrases`)."""

from __future__ import annotations

from llavakit.messages_form import Words

TABLE: dict[str, Words] = {
    # --- why a stage is to be done: locks ---
    "stale.new": Words("not made yet", "尚未生成"),
    "stale.inputs": Words("its inputs changed", "输入已改变"),
    "stale.missing": Words("{name} is missing", "缺少 {name}"),
    "stale.size": Words("{name} has another size than was locked", "{name} 的大小与锁定时不同"),
    "stale.bytes": Words("{name} has other bytes than were locked", "{name} 的内容与锁定时不同"),
    "stale.result": Words("its result: {reason}", "其结果:{reason}"),
    # --- what a training lacks ---
    "lacks.iterations": Words(
        "its history has {found} iterations instead of {wanted}",
        "记录中有 {found} 次迭代,应为 {wanted} 次",
    ),
    "lacks.finite": Words(
        "the loss of iteration {n} is not finite", "第 {n} 次迭代的损失不是有限值"
    ),
    "lacks.checkpoint": Words("the checkpoint {name} is not there", "缺少检查点 {name}"),
    # --- how a job ended ---
    "ended.status": Words("exit status {status}", "退出状态 {status}"),
    "ended.signal": Words("ended by {signal}", "被 {signal} 终止"),
    "ended.removed": Words("its container was removed by someone else", "容器已被他人删除"),
    "ended.early": Words("it ended early", "提前结束"),
    "ended.late": Words("it took too long", "用时过长"),
    "ended.output": Words("it printed more than it may", "输出超过了允许的大小"),
    "surrogate": Words(
        "a text in it is not Unicode: half of a surrogate pair",
        "其中有文字不是有效的 Unicode:只有半个代理对",
    ),
    "none": Words("none", "无"),
    # --- what may be named ---
    "the-source": Words("the source", "来源"),
    "allowed.source": Words(
        "a folder that is there, `modelscope:OWNER/NAME`, `huggingface:OWNER/NAME@REVISION`",
        "本机已有的文件夹、`modelscope:OWNER/NAME`、`huggingface:OWNER/NAME@REVISION`",
    ),
    "allowed.file": Words("a file that is there", "本机已有的文件"),
    "allowed.ranks": Words("`all`, or a number from 1", "`all` 或从 1 起的数"),
    "allowed.iterations": Words("a number from 2 on", "从 2 起的数"),
    "allowed.certificates": Words(
        "a file of certificates in PEM format, or unset it", "PEM 格式的证书文件,或取消该变量"
    ),
    "above": Words("the lines above", "上面几行"),
    "below": Words("the lines below", "下面几行"),
    # --- how a Python 3.10 was found ---
    "python.given": Words("as given", "由您指定"),
    "python.path": Words("on PATH", "在 PATH 中"),
    "python.pyenv": Words("pyenv", "由 pyenv 提供"),
    "python.uv": Words("known to uv", "由 uv 找到"),
    "python.installed": Words("installed by uv", "由 uv 安装"),
    # --- notes of steps: inputs ---
    "note.samples": Words(
        "{samples} samples over {pictures} pictures", "{samples} 个样本,{pictures} 张图片"
    ),
    "note.projector": Words(
        "the projector fits: {depth} layers from {vision} to {llm}",
        "projector 匹配:{depth} 层,从 {vision} 维到 {llm} 维",
    ),
    # --- notes of steps: training ---
    "note.loading": Words("loading XTuner", "正在加载 XTuner"),
    "note.warm-up": Words(
        "{ratio} of {iterations} iterations is too short for a warm-up; it takes {usable} "
        "iterations instead",
        "{iterations} 次迭代的 {ratio} 不足以预热学习率,改用 {usable} 次迭代",
    ),
    "note.ranks": Words(
        "{ranks} ranks: {batch} samples a step (one rank: {alone}), {iterations} iterations (one "
        "rank: {before}); the learning rate stays {rate}",
        "{ranks} 个训练进程:每步 {batch} 个样本(单进程为 {alone}),{iterations} 次迭代(单进程为 "
        "{before});学习率仍为 {rate}",
    ),
    "note.meets": Words(
        "host {host} waits at {address} for the hosts {others}",
        "{host} 号主机在 {address} 等待主机 {others}",
    ),
    "lost.silent": Words("silent for {seconds} s", "{seconds} 秒没有消息"),
    "lost.broken": Words("its connection broke", "连接中断"),
    "note.met": Words("hosts: {hosts}", "主机:{hosts}"),
    "note.float32": Words(
        "no GPU: the language model is loaded in float32 instead of {dtype}",
        "没有 GPU:语言模型以 float32 加载,而非 {dtype}",
    ),
    "note.room": Words("checkpoints take up to {gib} GiB", "检查点最多占用 {gib} GiB"),
    "note.resumes": Words("goes on from iteration {n}", "从第 {n} 次迭代继续"),
    "note.starts-over": Words(
        "no whole checkpoint is left: starts over", "没有完整的检查点:从头开始"
    ),
    "note.cut": Words(
        "{cut} of {all} samples are cut at max_length",
        "{all} 个样本中有 {cut} 个在 max_length 处被截断",
    ),
    "note.few": Words(
        "{all} iterations are all there are; {wanted} are measured",
        "总共只有 {all} 次迭代;测量 {wanted} 次",
    ),
    # --- notes of steps: downloads ---
    "note.here": Words("{count} files are here already", "已有 {count} 个文件"),
    "note.from": Words("{artefact} from {source}", "从 {source} 获取 {artefact}"),
    "note.locked": Words(
        "locked at first use: {file} sha256 {sha256}", "首次使用时锁定:{file} sha256 {sha256}"
    ),
    "note.other-now": Words(
        "{file} is another one at {source} now; fetching it anew",
        "{source} 上的 {file} 已更换,重新下载",
    ),
    "note.torn": Words(
        "{file}: what was here did not fit the rest; fetching it anew",
        "{file}:已下载的部分与其余部分不符,重新下载",
    ),
    "note.again-at": Words(
        "{file}: {what} (at byte {byte}); trying again", "{file}:{what}(位于字节 {byte});重试"
    ),
    "note.again": Words("{file}: {what}; trying again", "{file}:{what};重试"),
    "note.from-start": Words(
        "{file}: the server begins at the first byte again", "{file}:服务器又从第一个字节开始"
    ),
    "note.twice": Words(
        "{file}: its length is not told; fetched once more, to compare",
        "{file}:服务器未说明长度;再下载一次进行比较",
    ),
    "note.over": Words(
        "{file}: the answer does not fit what is there; starting over",
        "{file}:服务器的响应与已有部分不符;重新开始",
    ),
    "and-more": Words("{file} and {count} more", "{file} 等 {count} 个文件以上"),
    # --- why: details of a failure ---
    "why.no-mapping": Words("the top level is not a mapping", "顶层不是映射"),
    "why.in-the-way": Words("a file with something in it", "有内容的文件"),
    "why.lacks": Words("no {names}", "缺少 {names}"),
    "why.lacks-weights": Words("no {wanted}; there is: {found}", "缺少 {wanted};现有:{found}"),
    "why.names-nothing": Words("it names no file", "其中没有列出文件"),
    "why.names-other": Words(
        "it names {name}, no {wanted} beside it", "它列出的 {name} 不是同一文件夹中的 {wanted}"
    ),
    "why.no-match": Words("tensors do not match: {names}", "张量不匹配:{names}"),
    "why.no-object": Words("{name} is not an object", "{name} 不是对象"),
    "why.no-tensor": Words("no tensor {name}", "缺少张量 {name}"),
    "why.other-bytes": Words("{name} has other bytes", "{name} 的内容不同"),
    "why.not-locked": Words("{name} was not locked", "{name} 未被锁定"),
    "why.squeeze": Words(
        "the rest of the GPU's memory could not be held: {text}", "无法占用其余显存:{text}"
    ),
}

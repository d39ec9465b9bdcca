"""What the host says besides failures: one table, English and Chinese.

Failures have theirs in :mod:`llavakit.messages`. Names of parts, licences and commands stay as they
are in both languages.
"""

from __future__ import annotations

from llavakit.host import (
    words_doctor,
    words_doctor_host,
    words_grading,
    words_progress,
    words_records,
    words_report,
    words_runs,
    words_submit,
)
from llavakit.host.words_form import Words


def text(key: str, /, lang: str, **params: object) -> str:
    """The words of ``key`` with their ``{names}`` filled in. Raises KeyError for a key that the
    table lacks.
    """
    words = TABLE[key]
    return (words.zh if lang == "zh" else words.en).format(**params)


TABLE: dict[str, Words] = {
    **words_progress.TABLE,
    **words_records.TABLE,
    **words_report.TABLE,
    **words_doctor.TABLE,
    **words_doctor_host.TABLE,
    **words_runs.TABLE,
    **words_submit.TABLE,
    **words_grading.TABLE,
    # --- what is to come, and the question ---
    "needs.minutes": Words("about {minutes:g} min", "约 {minutes:g} 分钟"),
    "needs.memory": Words("{gib:g} GiB of memory", "内存 {gib:g} GiB"),
    "needs.disk": Words("{gib:.3g} GiB of disk", "磁盘 {gib:.3g} GiB"),
    "needs.download": Words(
        "up to {size} to download ({time} at 10 MB/s)", "最多下载 {size}(10 MB/s 时约 {time})"
    ),
    "needs.unknown": Words(
        "a download of unknown size: {parts} (`invoke models --check` tells it)",
        "另有大小未知的下载:{parts}(可用 `invoke models --check` 查看)",
    ),
    "needs.try": Words("`invoke demo` is the free try", "可先用 `invoke demo` 免费体验"),
    "licence": Words(
        "{artefact}: {name}, {address}: by downloading you accept it",
        "{artefact}:{name},{address}:下载即表示接受该许可",
    ),
    "go-on": Words("Go on? [y/N] ", "是否继续?[y/N] "),
    "projector.drawn": Words(
        "WARNING: drawn and untrained in the recipe {recipe}, so answers will mean nothing; "
        "the tutorial is --recipe tutorial",
        "警告:配方 {recipe} 的 projector 是随机生成、未经训练的,回答没有意义;"
        "教程请用 --recipe tutorial",
    ),
    "first-use": Words("files locked: {count}, in {locks}", "已锁定 {count} 个文件,见 {locks}"),
    "comma": Words(", ", ","),
    "semicolon": Words("; ", ";"),
    "stopped": Words("stopped", "已停止"),
    # --- invoke models --check ---
    "state.ok": Words("ok", "可用"),
    "state.other bytes": Words("other bytes", "内容不同"),
    "state.source.unreachable": Words("does not answer", "没有响应"),
    "state.source.gated": Words("permitted accounts only", "仅限获得许可的账号"),
    "state.source.missing": Words("not there", "不存在"),
    "state.source.no-files": Words("has none of the files", "没有所需的文件"),
    "state.source.no-tool": Words("git or git-lfs is missing here", "本机缺少 git 或 git-lfs"),
    "check.files": Words("{count} files", "{count} 个文件"),
    "check.answers": Words("answers in {ms:.0f} ms", "响应时间 {ms:.0f} ms"),
    "check.revision": Words("at {revision}", "版本 {revision}"),
    "check.none": Words(
        "nothing of this recipe comes from elsewhere", "此配方没有任何内容来自别处"
    ),
    "where.drawn": Words("drawn here", "在本机生成"),
    "where.here": Words("here: {path}", "本机:{path}"),
    "where.yours": Words("yours: {path}", "您的:{path}"),
    # --- invoke models --verify ---
    "verify.ok": Words("ok", "正常"),
    "verify.changed": Words("changed", "已改变"),
    "verify.missing": Words("missing", "缺失"),
    "verify.known to the recipe": Words("known to the recipe", "配方已知"),
    "verify.locked at first use": Words("locked at first use", "首次使用时锁定"),
    "verify.made here": Words("made here", "在本机生成"),
    "verify.yours": Words("yours", "您的"),
    "verify.moved": Words("{name} is now {target}", "{name} 已移至 {target}"),
    "verify.done": Words("{count} files are what was locked", "{count} 个文件与锁定的内容一致"),
    # --- invoke merge ---
    "merged.equal": Words(
        "{count} questions: prompts and pixel values are equal, the first token's logits differ by "
        "up to {logits:.1e} (roundings explain {tolerance:.1e})",
        "共 {count} 个问题:提示词与像素值完全相同,首个词元的 logits 最多相差 {logits:.1e}"
        "(舍入误差的容许范围为 {tolerance:.1e})",
    ),
    "merged.texts": Words(
        "{different} of {count} answers have other words: where two tokens are as likely, a "
        "rounding decides",
        "{count} 个回答中有 {different} 个文字不同:两个词元概率几乎相同时,舍入误差会决定取哪个",
    ),
    "merged.folder": Words(
        "{folder}; its README.md says how to use it and what binds whoever shares it",
        "{folder};用法及分享时须遵守的条款见其中的 README.md",
    ),
    # --- invoke bench ---
    "bench.what": Words("what", "对象"),
    "bench.first": Words("first\niter., s", "首次\n迭代,秒"),
    "bench.each": Words("s per\niter.", "每次\n迭代,秒"),
    "bench.gpu": Words("GPU,\nMiB", "显存,\nMiB"),
    "bench.memory": Words("memory,\nMiB", "内存,\nMiB"),
    "bench.disk": Words("disk,\nMiB", "磁盘,\nMiB"),
    "bench.maths": Words("maths", "数学"),
    "bench.reference": Words("reference", "基准"),
    "bench.identical": Words("identical", "相同"),
    "bench.changed": Words("changed", "有改动"),
    "bench.failed": Words("FAILED", "失败"),
    "bench.because": Words("FAILED: {reason}", "失败:{reason}"),
    "bench.kind.plain": Words("plain XTuner, {recipe}", "原版 XTuner,{recipe}"),
    "bench.kind.kit": Words("the kit, {recipe}", "本工具,{recipe}"),
    "bench.interrupted": Words("stopped", "已停止"),
    "bench.left": Words("{mib} MiB left", "剩 {mib} MiB"),
    "bench.caption": Words(
        "first iteration: from the process's start to its end; s per iteration: median from the "
        "6th on; peaks: GPU above what it had before, memory of the training's processes with "
        "what they pin and without files' pages, disk without checkpoints; x: ratio to plain "
        "XTuner",
        "首次迭代:从进程启动到该迭代结束;每次迭代:自第 6 次起的中位数;峰值:显存为超出启动前的部分,"
        "内存为训练各进程之和(含锁页内存,不含文件页),磁盘不含检查点;x:与原版 XTuner 之比",
    ),
}

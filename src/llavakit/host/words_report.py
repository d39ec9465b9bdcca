"""What a run's report says, as HTML and as Markdown."""

from __future__ import annotations

from llavakit.host.words_form import Words

TABLE: dict[str, Words] = {
    "report.title": Words("Run {run}", "运行 {run}"),
    "report.subtitle": Words("recipe {recipe}, begun {created}", "配方 {recipe},开始于 {created}"),
    # --- the verdict ---
    "report.verdict": Words("Verdict", "结论"),
    "report.met": Words(
        "As its recipe expects: {met} of {total} checks.",
        "符合配方预期:{total} 项检查中 {met} 项通过。",
    ),
    "report.partly": Words(
        "As its recipe expects, as far as could be judged: {met} of {total} checks; "
        "not judged: {names}.",
        "可判断的部分符合配方预期:{total} 项检查中有 {met} 项通过;未能判断:{names}。",
    ),
    "report.missed": Words("NOT as its recipe expects: {names}.", "不符合配方预期:{names}。"),
    "report.not-judged": Words(
        "Not judged: its recipe expects nothing that the record tells.",
        "未作判断:配方没有可与记录对照的预期。",
    ),
    "report.unknown-recipe": Words(
        "Not judged: this kit cannot read the recipe of the record.",
        "未作判断:本版本无法读取记录中的配方。",
    ),
    "report.unfinished": Words("Not finished: {missing}.", "尚未完成:{missing}。"),
    "report.no-training": Words("no training ended", "训练没有完成"),
    "report.no-answers": Words("no answers were compared", "没有可比较的回答"),
    "report.failed": Words("{label} failed ({error})", "{label} 失败({error})"),
    "report.is-again": Words(
        "Made from the record of {run}: {verdict}.", "依据 {run} 的记录重做:{verdict}。"
    ),
    "report.no-original": Words(
        "Made from the record of {run}, which is not in this workspace: not compared here.",
        "依据 {run} 的记录重做;该记录不在此工作区,未作比较。",
    ),
    "report.made-again": Words("Made again as {run}: {verdict}.", "重做为 {run}:{verdict}。"),
    "report.never-again": Words(
        "No run of this workspace was made from its record.", "此工作区中没有依据其记录重做的运行。"
    ),
    "report.not-reproduced": Words("NOT reproduced: {reasons}", "未能复现:{reasons}"),
    "report.drawn": Words(
        "Some weights were drawn at random ({parts}): the answers show that the steps work, and "
        "nothing about a real model.",
        "部分权重为随机生成({parts}):回答只能说明各步骤可用,不代表真实模型的水平。",
    ),
    # --- figures ---
    "report.figures": Words("Figures", "主要数据"),
    "report.expected": Words("expected", "预期"),
    "report.first-loss": Words("first loss", "首次损失"),
    "report.last-loss": Words("last loss", "末次损失"),
    "report.per-iteration": Words("time per iteration, median", "每次迭代时间(中位数)"),
    "report.training": Words("time of the iterations", "迭代总时间"),
    "report.train-stage": Words("time of the stage train", "train 阶段总时间"),
    "report.gpu": Words("peak GPU memory", "显存峰值"),
    "report.host": Words("peak host memory, training", "训练进程内存峰值"),
    "report.seconds": Words("{value:.3g} s", "{value:.3g} 秒"),
    "report.minutes": Words("{value:.1f} min", "{value:.1f} 分钟"),
    "report.minutes-on": Words("{gpu}: {value:g} min", "{gpu}:{value:g} 分钟"),
    "report.limit": Words("{figure} (limit: {limit})", "{figure}(限值:{limit})"),
    "report.none": Words("none", "无"),
    "report.sources": Words(
        "Expected figures are the recipe's. GPU memory is the whole GPU's, as nvidia-smi counts; "
        "host memory is the training process's own.",
        "预期数据来自配方。显存为 nvidia-smi 统计的整卡用量;内存为训练进程自身的用量。",
    ),
    # --- the loss ---
    "report.loss": Words("Loss", "损失曲线"),
    "report.loss-alt": Words(
        "Loss over {count} iterations, from {first:.4g} to {last:.4g}",
        "{count} 次迭代的损失,从 {first:.4g} 到 {last:.4g}",
    ),
    "report.log": Words("logarithmic scale", "对数刻度"),
    "report.bucketed": Words(
        "line: mean of {size} iterations each; band: their lowest and highest",
        "线:每 {size} 次迭代的平均值;色带:其最低与最高值",
    ),
    "report.no-losses": Words("No losses are recorded.", "没有损失记录。"),
    # --- questions ---
    "report.questions": Words("Questions and answers", "问题与回答"),
    "report.picture": Words("picture", "图片"),
    "report.question": Words("question", "问题"),
    "report.references": Words("reference", "参考答案"),
    "report.before": Words("before", "训练前"),
    "report.after": Words("after", "训练后"),
    "report.swapped": Words("after, shown {image} instead", "训练后,改看 {image}"),
    "report.exact": Words("exact", "完全一致"),
    "report.inexact": Words("not exact", "不完全一致"),
    "report.empty": Words("(an empty answer)", "(空回答)"),
    "report.metric": Words("Scores: {name}", "评分:{name}"),
    "report.picture.unnamed": Words("not named by the record", "记录中没有此图片"),
    "report.picture.missing": Words("not here any more", "已不在本机"),
    "report.picture.changed": Words("other bytes than recorded", "内容与记录不同"),
    "report.picture.large": Words("too large to show", "文件过大,未显示"),
    "report.picture.format": Words("no format that can be shown", "格式无法显示"),
    # --- pins ---
    "report.pins": Words("Pins", "锁定内容"),
    "report.pin": Words("pin", "项目"),
    "report.sha256": Words("value", "值"),
    "report.no-image": Words("no image (a virtual environment)", "未使用镜像(虚拟环境)"),
    "report.weights": Words("weights", "权重"),
    "report.data": Words("data", "数据"),
    "report.full": Words("all {count} values in full", "全部 {count} 个完整值"),
    "report.record": Words("record {name}", "记录 {name}"),
    "report.seed": Words("seed", "随机种子"),
    "report.files": Words(
        "{count} files; over their names and hashes", "{count} 个文件;对其名称与哈希的摘要"
    ),
    # --- provenance ---
    "report.provenance": Words("Provenance", "来源"),
    "report.machine": Words("trained on", "训练所用"),
    "report.computer": Words("host", "主机"),
    "report.engine": Words("engine", "引擎"),
    "report.guarantees": Words("guarantees", "保证"),
    "report.image": Words("image", "镜像"),
    "report.kit": Words("kit", "代码"),
    "report.dirty": Words(
        "{commit}, with changes that are not committed", "{commit},含未提交的改动"
    ),
    "report.computer-is": Words(
        "{system}, {cpu}, {cores} cores, {gib:.0f} GiB of memory",
        "{system},{cpu},{cores} 核,内存 {gib:.0f} GiB",
    ),
    "report.driver": Words("{name}, {mib} MiB, driver {driver}", "{name},{mib} MiB,驱动 {driver}"),
    "report.stage": Words("stage", "阶段"),
    "report.began": Words("begun (UTC)", "开始(UTC)"),
    "report.took": Words("took", "用时"),
    "report.outcome": Words("state", "状态"),
    "report.peak": Words("peak memory, MiB", "内存峰值,MiB"),
    "report.outcome.done": Words("done", "完成"),
    "report.outcome.failed": Words("FAILED", "失败"),
    "report.outcome.begun": Words("not ended", "未结束"),
    # --- how to reproduce ---
    "report.reproduce": Words("How to reproduce it", "如何复现"),
    "report.how": Words(
        "In a clone of the kit, with the record {name} that lies beside this report:",
        "在本工具的克隆中,使用与此报告放在一起的记录 {name}:",
    ),
    "report.how-dirty": Words(
        "The kit had changes that no commit holds: the commit alone may not give the same steps.",
        "当时的代码含未提交的改动:仅凭该提交不一定得到相同的步骤。",
    ),
    "report.how-not": Words(
        "It cannot be made again yet: its training did not end.", "训练没有完成,暂时无法复现。"
    ),
    "report.written": Words("{path} ({size})", "已写入 {path}({size})"),
    "report.made-by": Words(
        "Made by `invoke report` from {name}. This file holds all that it shows and asks nothing "
        "of the network.",
        "由 `invoke report` 根据 {name} 生成。本文件内容完整,不访问网络。",
    ),
}

"""What the host says about records: verifying, comparing, reproducing."""

from __future__ import annotations

from llavakit.host.words_form import Words

TABLE: dict[str, Words] = {
    # --- columns and states ---
    "records.what": Words("what", "项目"),
    "records.state": Words("state", "状态"),
    "records.number": Words("number", "数量"),
    "records.equal": Words("equal", "相同"),
    "records.differs": Words("differs", "不同"),
    "records.recorded": Words("recorded", "记录值"),
    "records.here": Words("here", "本机"),
    "records.identity": Words("identity: {count} differ", "身份:{count} 项不同"),
    "records.results": Words("results", "结果"),
    "records.same": Words("the same experiment: nothing differs", "同一实验:没有不同"),
    "records.series": Words(
        "from iteration {first}, by up to {most:.2g}", "自第 {first} 次迭代起,最多相差 {most:.2g}"
    ),
    "records.length": Words("other number of iterations", "迭代次数不同"),
    "records.files": Words("{count} differ: {names}", "{count} 个不同:{names}"),
    "records.answers": Words("{differ} of {both} differ", "{both} 个中有 {differ} 个不同"),
    "records.final": Words("last {value:.6g}", "末值 {value:.6g}"),
    "records.one": Words("only one has it", "只有一方有"),
    "records.count": Words("files: {count}", "{count} 个文件"),
    "records.texts": Words("answers: {count}", "{count} 个回答"),
    # --- names of results ---
    "result.iterations": Words("iterations", "迭代次数"),
    "result.losses": Words("losses", "损失"),
    "result.learning rates": Words("learning rates", "学习率"),
    "result.weights train": Words("trained weights", "训练后的权重"),
    "result.weights convert": Words("converted weights", "转换后的权重"),
    "result.answers before": Words("answers before", "训练前的回答"),
    "result.answers after": Words("answers after", "训练后的回答"),
    "result.answers swapped": Words("answers, next picture", "换图后的回答"),
    "result.rouge_l before": Words("ROUGE-L before", "训练前 ROUGE-L"),
    "result.rouge_l after": Words("ROUGE-L after", "训练后 ROUGE-L"),
    "result.rouge_l swapped": Words("ROUGE-L, next picture", "换图后 ROUGE-L"),
    "result.exact before": Words("exact before", "训练前完全一致率"),
    "result.exact after": Words("exact after", "训练后完全一致率"),
    "result.exact swapped": Words("exact, next picture", "换图后完全一致率"),
    "result.loss mean": Words("mean loss", "平均损失"),
    "result.loss quarter 1": Words("mean loss, 1st quarter", "平均损失(第 1 个四分之一)"),
    "result.loss quarter 2": Words("mean loss, 2nd quarter", "平均损失(第 2 个四分之一)"),
    "result.loss quarter 3": Words("mean loss, 3rd quarter", "平均损失(第 3 个四分之一)"),
    "result.loss quarter 4": Words("mean loss, 4th quarter", "平均损失(第 4 个四分之一)"),
    # --- invoke verify RUN ---
    "pin.title": Words("{run}: what it was pinned to", "{run}:锁定内容的校验"),
    "pin.ok": Words("ok", "正常"),
    "pin.drifted": Words("DRIFTED", "已改变"),
    "pin.missing": Words("not here", "不在本机"),
    "pin.unknown": Words("not recorded", "未记录"),
    "pin.lock": Words("package lock", "软件包锁"),
    "pin.steps": Words("steps and templates", "步骤与模板代码"),
    "pin.template": Words("config templates", "配置模板"),
    "pin.base": Words("base image", "基础镜像"),
    "pin.python": Words("Python", "Python 版本"),
    "pin.recipe": Words("recipe", "配方"),
    "pin.source": Words("the kit's own pictures", "自带图片"),
    "pin.record": Words("record and results", "记录与结果"),
    "pin.done": Words(
        "{ok} pins hold; not here any more: {missing}", "{ok} 项锁定正常;已不在本机:{missing}"
    ),
    # --- invoke verify --environment ---
    "packages.title": Words("environment of the engine {engine}", "{engine} 引擎的环境"),
    "packages.packages": Words("packages of the lock", "锁中的软件包"),
    "packages.files": Words("files with a hash", "有哈希的文件"),
    "packages.unhashed": Words("files without a hash", "没有哈希的文件"),
    "packages.not-looked-at": Words("not looked at", "未校验"),
    "packages.removed": Words("removed on purpose", "有意删除"),
    "packages.changed": Words("changed on purpose", "有意修改"),
    "packages.modified": Words("modified", "被修改"),
    "packages.missing": Words("missing", "缺失"),
    "packages.strangers": Words("of no package", "不属于任何软件包"),
    "packages.labels": Words("labels of the image", "镜像标签"),
    "packages.as-locked": Words("as locked", "与锁一致"),
    "packages.more": Words("{name} and {count} more", "{name} 等另 {count} 个"),
    "packages.list": Words("by {lists}", "依据 {lists}"),
    "packages.hashing": Words("hashing installed files", "正在校验已安装的文件"),
    # --- invoke reproduce ---
    "verdict.bitwise": Words(
        "reproduced bit by bit: losses and weights are equal", "逐位复现:损失与权重完全相同"
    ),
    "verdict.band": Words(
        "reproduced within the band of {count} reference runs", "在 {count} 次参考运行的范围内复现"
    ),
    "verdict.differs": Words("{name} differs", "{name} 不同"),
    "verdict.other-result": Words("{name}: another result", "{name}:结果不同"),
    "verdict.other-bits": Words(
        "{name}: other bits, on a CPU that owes the same",
        "{name}:在应当逐位相同的 CPU 上出现不同",
    ),
    "verdict.outside": Words("{name} is outside the band", "{name} 超出范围"),
    "verdict.no-band": Words(
        "other bits, and no band is known (reference runs: {count}, needed: 2)",
        "逐位不同,且没有可用的参考范围(参考运行 {count} 次,至少需要 2 次)",
    ),
    "verdict.band-title": Words("band of {count} reference runs", "{count} 次参考运行的范围"),
    "verdict.low": Words("from", "下限"),
    "verdict.high": Words("to", "上限"),
    "verdict.seen": Words("this run", "本次运行"),
    "verdict.inside": Words("inside", "在内"),
    "verdict.out": Words("OUTSIDE", "超出"),
    "verdict.surroundings": Words(
        "the same experiment in other surroundings: {names}", "同一实验,环境不同:{names}"
    ),
    "verdict.cannot-see": Words(
        "says nothing about answers to other questions; docs/records.md says what it means",
        "不说明对其他问题的回答;含义见 docs/records.md",
    ),
    "reproduce.from": Words("{run} of {created}, kit {commit}", "{run}({created},代码 {commit})"),
    "reproduce.drawn": Words(
        "drawn with other bits on this CPU, as can be: {names}",
        "在此 CPU 上生成时末位不同(属正常情况):{names}",
    ),
    # --- invoke expect ---
    "expect.title": Words("{run}: what its recipe expects", "{run}:与配方预期的比较"),
    "expect.expected": Words("expected", "预期"),
    "expect.seen": Words("seen", "实际"),
    "expect.met": Words("as expected", "符合预期"),
    "expect.missed": Words("NOT as expected", "不符合预期"),
    "expect.unknown": Words("not recorded", "未记录"),
    "expect.gpu_mib": Words("GPU memory, MiB", "显存,MiB"),
    "expect.minutes": Words("training, min ({gpu})", "训练时间,分钟({gpu})"),
    "expect.host_mib": Words("host memory, MiB", "内存,MiB"),
    "expect.other-gpu": Words(
        "no time is known for {gpu}; known: {known}", "没有 {gpu} 的预期时间;已知:{known}"
    ),
    # --- invoke export ---
    "export.how": Words(
        "In a clone of the kit, with the run's record {name}, whose hash is above:",
        "在本工具的克隆中,使用该运行的记录 {name}(哈希见上表):",
    ),
    "export.nothing-made": Words(
        "{name}: the run has made nothing yet that it could be about",
        "{name}:该运行尚未生成任何内容,无可说明",
    ),
    "export.changed": Words(
        "other bytes than recorded, so not in the crate: {names}",
        "内容与记录不同,未列入 crate:{names}",
    ),
    "export.missing": Words(
        "not here any more, so not in the crate: {count} recorded files",
        "{count} 个记录中的文件已不在本机,未列入 crate",
    ),
}

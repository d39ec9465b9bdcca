"""What the host says while it works: lines of progress, their labels, and short tables."""

from __future__ import annotations

from llavakit.host.words_form import Words

TABLE: dict[str, Words] = {
    # --- labels before a line; a stage's own is its name in both languages ---
    "label.run": Words("run", "运行"),
    "label.engine": Words("engine", "引擎"),
    "label.workspace": Words("workspace", "工作区"),
    "label.environment": Words("environment", "环境"),
    "label.image": Words("image", "镜像"),
    "label.gpu": Words("gpu", "GPU"),
    "label.needs": Words("needs", "需要"),
    "label.licence": Words("licence", "许可"),
    "label.sources": Words("sources", "来源"),
    "label.weights": Words("weights", "权重"),
    "label.first use": Words("first use", "首次使用"),
    "label.left out": Words("left out", "未列入"),
    "label.export": Words("export", "导出"),
    "label.moved aside": Words("moved aside", "已移开"),
    "label.verified": Words("verified", "已校验"),
    "label.merged": Words("merged", "已合并"),
    "label.report": Words("report", "报告"),
    "label.reproduce": Words("reproduce", "复现"),
    "label.verdict": Words("verdict", "结论"),
    "label.not judged": Words("not judged", "不作评判"),
    "label.as expected": Words("as expected", "符合预期"),
    "label.NOT as expected": Words("NOT as expected", "不符合预期"),
    "label.chat": Words("chat", "对话"),
    # --- a run ---
    "run.where": Words("{run} in {folder}", "{run},位于 {folder}"),
    "run.done": Words("done in {seconds:.1f} s", "完成,用时 {seconds:.1f} 秒"),
    "run.followed": Words(
        "this run is being worked on by another process; following it",
        "另一个进程正在处理此次运行;跟随其进度",
    ),
    "run.followed-done": Words("done by the other process", "已由另一个进程完成"),
    "run.waiting": Words(
        "is in use by {owner}; waiting for it to end", "正被 {owner} 使用;等待其结束"
    ),
    "action.run": Words("run", "运行"),
    "action.up to date": Words("up to date", "已是最新"),
    "action.not needed": Words("not needed", "不需要"),
    "plan.title": Words("plan of {run}", "{run} 的计划"),
    "plan.stage": Words("stage", "步骤"),
    "plan.action": Words("action", "操作"),
    "plan.why": Words("why", "原因"),
    "plan.recipe-name": Words("recipe", "配方"),
    "plan.by-hand": Words(
        "The same by hand, with the {where}:", "手工执行同样的步骤(需要{where}):"
    ),
    "plan.image": Words("image", "镜像"),
    "plan.local": Words("environment of the local engine", " local 引擎的环境"),
    "plan.recipe": Words(
        "the resolved recipe, which every step reads", "解析后的配方,每个步骤都会读取"
    ),
    # --- progress ---
    "progress.starting": Words("starting", "启动中"),
    "progress.iteration": Words(
        "iteration {n}/{of}  loss {loss:.4f}", "迭代 {n}/{of}  损失 {loss:.4f}"
    ),
    "progress.gpu": Words("GPU {mib} MiB", "显存 {mib} MiB"),
    "progress.part": Words("{done} of {total} {unit}", "{done}/{total} {unit}"),
    "progress.left": Words("{time} left", "剩余 {time}"),
    "progress.parts": Words("parts", "个部分"),
    "progress.pictures": Words("pictures", "张图片"),
    "progress.questions": Words("questions", "个问题"),
    "progress.submissions": Words("submissions", "份提交"),
    # --- engine and environment ---
    "environment.python": Words("Python 3.10: {how} ({path})", "Python 3.10:{how}({path})"),
    "environment.installing": Words(
        "installing the pinned packages once: about 3 GB to fetch, {gib:g} GiB on disk, some "
        "minutes, in {folder}",
        "首次安装锁定的软件包:下载约 3 GB,占用磁盘 {gib:g} GiB,需要几分钟,位于 {folder}",
    ),
    "image.none": Words(
        "{tag} is not there: building it once (about 3 GB to fetch, 6 GB on disk)",
        "没有 {tag}:首次构建(下载约 3 GB,占用磁盘 6 GB)",
    ),
    "image.pins": Words(
        "{tag} was made from other pins: building it again", "{tag} 的锁定版本已变:重新构建"
    ),
    "image.code": Words(
        "{tag} holds older code of the kit: its last layer is made again",
        "{tag} 中的工具代码较旧:重新生成最后一层",
    ),
    "image.ready": Words("{tag} is ready ({id}, {seconds} s)", "{tag} 已就绪({id},{seconds} 秒)"),
    "locks.same": Words("The locks are as they were.", "锁文件没有变化。"),
    "gpu.not-seen": Words(
        "not looked at: {why}; given by {access}", "未检查:{why};由 {access} 提供"
    ),
    "gpu.no-smi": Words("no nvidia-smi answers here", "本机的 nvidia-smi 没有响应"),
    "gpu.not-counted": Words("nvidia-smi does not count it", "nvidia-smi 不统计它"),
    "gpu.given": Words("{gpus}; given by {access}", "{gpus};由 {access} 提供"),
    "gpu.indices": Words("GPUs: {gpus}", "GPU:{gpus}"),
    "ranks.unused": Words(
        "{ranks} of {gpus} GPUs is used: --ranks {gpus} trains on all, with {batch} samples a step "
        "instead of {now}",
        "{gpus} 块 GPU 中使用 {ranks} 块:--ranks {gpus} 可全部用于训练,但每步样本数由 {now} 变为 "
        "{batch}",
    ),
    "ranks.other": Words(
        "{run} stopped after iteration {n}; its {ranks} ranks share the optimizer's state, so only "
        "--ranks {ranks} goes on with it: this one begins anew",
        "{run} 停在第 {n} 次迭代;优化器状态分布在它的 {ranks} 个训练进程上,只有 --ranks {ranks} "
        "能继续:本次从头开始",
    ),
    # --- answers ---
    "answers.title": Words("{run}: answers", "{run}:回答"),
    "answers.compared": Words(
        "{run}: answers before and after fine-tuning", "{run}:微调前后的回答"
    ),
    "answers.picture": Words("picture", "图片"),
    "answers.question": Words("question", "问题"),
    "answers.before": Words("before", "微调前"),
    "answers.after": Words("after", "微调后"),
    "answers.score": Words("score", "得分"),
    "answers.caption": Words(
        "score: ROUGE-L against the best reference, 0 to 1",
        "得分:与最接近的参考答案的 ROUGE-L,0 到 1",
    ),
    "answers.mean": Words("mean", "平均"),
    "answers.swapped": Words("shown the next picture", "换用下一张图片"),
    "answers.iterations": Words(
        "{seen} iterations, {planned} planned", "{seen} 次迭代,计划 {planned} 次"
    ),
    "answers.rouge before": Words("ROUGE-L before {seen} {limit}", "微调前 ROUGE-L {seen} {limit}"),
    "answers.rouge after": Words("ROUGE-L after {seen} {limit}", "微调后 ROUGE-L {seen} {limit}"),
    "answers.rouge swapped": Words(
        "ROUGE-L swapped {seen} {limit}", "换图后 ROUGE-L {seen} {limit}"
    ),
    "answers.changed": Words("the recipe was changed: {changes}", "配方已修改:{changes}"),
    # --- chat ---
    "chat.pretrained": Words("loading the pretrained model", "正在加载预训练模型"),
    "chat.trained": Words("loading the fine-tuned model", "正在加载微调后的模型"),
    "chat.how": Words(
        "Ask about the picture; an empty line ends the conversation.",
        "请就图片提问;输入空行结束对话。",
    ),
    # --- clean ---
    "clean.nothing": Words("There is nothing to delete.", "没有可删除的内容。"),
    "clean.would": Words("would delete", "将会删除"),
    "clean.deleted": Words("deleted", "已删除"),
    "clean.what": Words("what", "对象"),
    "clean.size": Words("size", "大小"),
    "clean.container": Words("container {name}", "容器 {name}"),
    "clean.image": Words("image {name}", "镜像 {name}"),
    # --- tests ---
    "test.inside": Words("tests with the environment's Python", "用环境中的 Python 测试"),
    "test.outside": Words("tests with the host's Python", "用本机的 Python 测试"),
    "test.at-once": Words(
        "{names}: at the same time, shown one after the other", "{names}:同时运行,依次显示"
    ),
    "test.passed": Words("passed", "通过"),
    "test.failed": Words("failed, with status {status}", "失败,状态码 {status}"),
    # --- the merged model's check ---
    "merged.title": Words(
        "{run}: asked with transformers {version}", "{run}:用 transformers {version} 提问"
    ),
    "merged.pixels": Words("pixels", "像素"),
    "merged.logits": Words("logits", "logits 差"),
    "merged.text": Words("text", "文字"),
    "merged.same": Words("equal", "相同"),
    "merged.different": Words("different", "不同"),
    "merged.caption": Words(
        "largest absolute differences from the model with its adapters apart",
        "与适配器未合并的模型相比的最大绝对差",
    ),
    "merged.model": Words("merged model", "合并后的模型"),
}

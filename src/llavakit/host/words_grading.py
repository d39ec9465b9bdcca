"""What the host says about grading."""

from __future__ import annotations

from llavakit.host.words_form import Words

TABLE: dict[str, Words] = {
    "label.grade": Words("grade", "评分"),
    "grade.declare": Words("what a submission may hold", "提交内容应有的形状"),
    "grade.title": Words("{assignment}: grades", "{assignment}:成绩"),
    "grade.student": Words("student", "学生"),
    "grade.verdict": Words("verdict", "结果"),
    "grade.points": Words("points", "得分"),
    "grade.why": Words("why", "原因"),
    "grade.graded": Words("graded", "已评分"),
    "grade.refused": Words("refused", "被拒绝"),
    "grade.not graded": Words("not graded", "未评分"),
    "grade.valid": Words("a valid submission", "提交内容有效"),
    "grade.record": Words("a valid training record", "训练记录有效"),
    "grade.seconds": Words("training time, s", "训练时间,秒"),
    "grade.gpu_mib": Words("GPU memory, MiB", "显存,MiB"),
    "grade.host_mib": Words("memory, MiB", "内存,MiB"),
    "grade.question": Words("question", "问题"),
    "grade.held-out": Words("a held-out question", "保留问题"),
    "grade.most": Words("{found:g}, at most {most:g}", "{found:g},不超过 {most:g}"),
    "grade.answered": Words("Answer: {answer}", "回答:{answer}"),
    "grade.mark": Words("{points:g} of {of:g} points", "{of:g} 分中得 {points:g} 分"),
    "grade.counts": Words(
        "{graded} graded, {refused} refused, {missing} not graded",
        "{graded} 份已评分,{refused} 份被拒绝,{missing} 份未评分",
    ),
    "grade.mean": Words(
        "mean of the graded: {mean:.1f} of {of:g}", "已评分的平均:{mean:.1f} / {of:g}"
    ),
    "grade.resumed": Words("{count} were graded before", "其中 {count} 份之前已评分"),
    "grade.alike": Words("Alike", "相似"),
    "grade.details": Words("Answers and points", "回答与得分"),
    "grade.alike-note": Words(
        "Equal tensors are no chance where every student has a seed of their own. The cosine "
        "compares what adapters compute, to a few hundredths; what it means a person must say.",
        "每名学生使用各自的种子,张量相同不会是巧合。余弦比较的是适配器的计算效果,精度为百分之几;"
        "其含义由人来判断。",
    ),
    "grade.files": Words("equal files", "文件相同"),
    "grade.tensors": Words("equal tensors", "张量相同"),
    "grade.cosine": Words("cosine", "余弦"),
    "grade.none": Words("none", "无"),
    "grade.seed": Words("seed", "种子"),
    "grade.answer": Words("answer", "回答"),
    "grade.reference": Words("reference", "参考答案"),
    "grade.of-host": Words(
        "Graded by {host} at {time}; assignment {sha}", "由 {host} 于 {time} 评分;作业 {sha}"
    ),
    "grade.checking": Words(
        "{count} submissions, {workers} worker(s)", "{count} 份提交,{workers} 个工作进程"
    ),
    "grade.speed": Words(
        "{seconds:.2f} s a submission ({total:.0f} s in all)",
        "每份 {seconds:.2f} 秒(共 {total:.0f} 秒)",
    ),
}  # fmt: skip

"""What the kit says: assignments and grading, to the teacher."""

from __future__ import annotations

from llavakit.messages_form import Entry, Text

TABLE: dict[str, Entry] = {
    "assignment.not-found": Entry(
        Text("There is no assignment {assignment}.", "Name one of these or a YAML file: {known}."),
        Text("没有作业 {assignment}。", "请指定以下之一或一个 YAML 文件:{known}。"),
    ),
    "assignment.not-yaml": Entry(
        Text(
            "The assignment {assignment} is not YAML.",
            "Correct the file; configs/grading shows two.",
        ),
        Text("作业 {assignment} 不是 YAML。", "请更正该文件;configs/grading 中有两个示例。"),
    ),
    "assignment.bad-value": Entry(
        Text(
            "The assignment {assignment} cannot be used.",
            "Correct what is named above; configs/grading shows two.",
        ),
        Text("作业 {assignment} 无法使用。", "请更正上述内容;configs/grading 中有两个示例。"),
    ),
    "assignment.no-picture": Entry(
        Text(
            "The assignment {assignment} asks about a picture that is not there: {picture}.",
            "Put it there, or correct the assignment's `pictures`.",
        ),
        Text(
            "作业 {assignment} 所用的图片不存在:{picture}。",
            "请放入该图片,或更正作业中的 `pictures`。",
        ),
    ),
    "assignment.no-references": Entry(
        Text(
            "The recipe's data have no answer to {question}, which the assignment {assignment} "
            "asks for.",
            "Write `references` into the assignment.",
        ),
        Text(
            "配方的数据中没有问题“{question}”的答案,而作业 {assignment} 需要它。",
            "请在作业中写明 `references`。",
        ),
    ),
    "assignment.no-class": Entry(
        Text(
            "Which submissions?",
            "Name a folder that holds one folder or zip for each student: "
            "`invoke grade CLASS --assignment NAME`.",
        ),
        Text(
            "要为哪些提交评分?",
            "请指定一个文件夹,其中每名学生对应一个文件夹或 zip 文件:"
            "`invoke grade 班级 --assignment 作业`。",
        ),
    ),
    "assignment.no-submissions": Entry(
        Text(
            "{folder} holds no submission.",
            "Name a folder with one folder or zip for each student, or one submission.",
        ),
        Text("{folder} 中没有提交。", "请指定一个文件夹,其中每名学生对应一个文件夹或 zip 文件。"),
    ),
    "assignment.same-student": Entry(
        Text(
            "{folder} holds two submissions of {student}.",
            "Leave one of them there.",
        ),
        Text("{folder} 中有 {student} 的两份提交。", "请只保留一份。"),
    ),
    "assignment.worker-failed": Entry(
        Text(
            "The worker that answers for submissions ended ({how}).",
            "Call the same command again: what is graded stays graded.",
        ),
        Text("回答问题的工作进程已结束({how})。", "请再次运行同一命令:已评分的不会重做。"),
    ),
    "assignment.bad-answer": Entry(
        Text(
            "What came out of a container does not have the form that is expected.",
            "Call the same command again; if it happens again, report it with the submission.",
        ),
        Text(
            "容器输出的内容不符合规定的格式。", "请再次运行同一命令;若再次出现,请附上该提交报告。"
        ),
    ),
    "assignment.check-failed": Entry(
        Text(
            "The check of a submission ended without a report ({how}).",
            "Call the same command again; if it happens again, look at the submission yourself, "
            "with care.",
        ),
        Text(
            "对一份提交的检查没有给出报告就结束了({how})。",
            "请再次运行同一命令;若再次出现,请谨慎地亲自查看该提交。",
        ),
    ),
    "assignment.incomplete": Entry(
        Text(
            "{left} of {total} submissions are not graded.",
            "Call the same command again: what is graded stays graded.",
        ),
        Text("{total} 份提交中有 {left} 份未评分。", "请再次运行同一命令:已评分的不会重做。"),
    ),
}

"""What the kit says of a submission: why it was refused, in words that its author can act on."""

from __future__ import annotations

from llavakit.messages_form import Entry, Text

AGAIN = "Hand in what `invoke convert` wrote, unchanged: the folder `tuned` of your run."
AGAIN_ZH = "请原样提交 `invoke convert` 写出的内容,即您那次运行的 `tuned` 文件夹。"
DIVERGED = "Look at the losses: the training diverged. Train again with a lower learning rate."
DIVERGED_ZH = "请检查训练损失:训练已发散。请降低学习率后重新训练。"


def _entry(what: str, zh: str, remedy: str = AGAIN, remedy_zh: str = AGAIN_ZH) -> Entry:
    return Entry(Text(what, remedy), Text(zh, remedy_zh))


TABLE: dict[str, Entry] = {
    "submission.not-readable": _entry(
        "It is neither a folder nor a zip archive.", "提交的既不是文件夹,也不是 zip 压缩包。"
    ),
    "submission.broken-archive": _entry(
        "The zip archive cannot be read ({what}).", "zip 压缩包无法读取({what})。",
        "Pack it again and open it once yourself before you hand it in.",
        "请重新打包,并在提交前自己打开检查一次。",
    ),
    "submission.link": _entry(
        "{file} is a link.", "{file} 是一个链接。",
        "Put the file itself in its place.", "请放入文件本身。",
    ),
    "submission.special-file": _entry(
        "{file} is not an ordinary file.", "{file} 不是普通文件。"
    ),
    "submission.escapes": _entry(
        "The archive's member {file} would lie outside of its folder.",
        "压缩包中的 {file} 会落到其文件夹之外。",
        "Pack the folder itself, with relative names.", "请用相对路径直接打包该文件夹。",
    ),
    "submission.bad-name": _entry(
        "{file} is not a name that a file may have here.", "{file} 不是允许的文件名。"
    ),
    "submission.twice": _entry(
        "{file} is in the archive twice.", "压缩包中有两个 {file}。",
        "Pack the folder again.", "请重新打包。",
    ),
    "submission.encrypted": _entry(
        "{file} is encrypted.", "{file} 已加密。",
        "Pack it without a password.", "打包时请不要设密码。",
    ),
    "submission.compression": _entry(
        "{file} is compressed in a way that is not read here.", "{file} 的压缩方式不受支持。",
        "Pack it as an ordinary zip (stored or deflated).", "请用普通 zip(存储或 deflate)打包。",
    ),
    "submission.too-many-files": _entry(
        "It holds more than {most} files.", "文件超过 {most} 个。"
    ),
    "submission.too-large": _entry(
        "It holds more than {most}.", "内容超过 {most}。"
    ),
    "submission.too-large-file": _entry(
        "{file} is larger than {most}.", "{file} 超过 {most}。"
    ),
    "submission.pickle": _entry(
        "{file} is a pickle, which can run code when it is read: it was not read.",
        "{file} 是 pickle 文件,读取时可能执行代码,因此没有读取。",
    ),
    "submission.code": _entry(
        "{file} is code other than XTuner's own; no code is run or needed.",
        "{file} 不是 XTuner 自带的代码;评分不运行也不需要任何代码。",
    ),
    "submission.unexpected-file": _entry(
        "{file} is no part of a submission.", "{file} 不属于提交内容。",
        "Take it out: a submission is the folder `tuned` and, if you like, the run's run.json.",
        "请删除它:提交内容是 `tuned` 文件夹,另可附上该次运行的 run.json。",
    ),
    "submission.missing-file": _entry("{file} is missing.", "缺少 {file}。"),
    "submission.several": _entry(
        "It holds more than one set of adapters: {folders}.", "其中有多套适配器:{folders}。",
        "Hand in one.", "请只提交一套。",
    ),
    "submission.not-json": _entry(
        "{file} is not the JSON that is expected ({what}).", "{file} 不是所需的 JSON({what})。"
    ),
    "submission.foreign-code": _entry(
        "{file} names code to run: {key}.", "{file} 指定了要运行的代码:{key}。"
    ),
    "submission.points-elsewhere": _entry(
        "{file} points elsewhere: {key} is {found}.", "{file} 指向别处:{key} 为 {found}。"
    ),
    "submission.other-base": _entry(
        "{file} says that it was trained on {found}; the assignment's base is {wanted}.",
        "{file} 表明训练所用的基础模型是 {found};作业要求的是 {wanted}。",
        "Train on the assignment's base model.", "请使用作业规定的基础模型训练。",
    ),
    "submission.other-setting": _entry(
        "{file}: {key} is {found}; the assignment has {wanted}.",
        "{file}:{key} 为 {found};作业规定为 {wanted}。",
        "Train with the assignment's recipe.", "请使用作业规定的配方训练。",
    ),
    "submission.not-safetensors": _entry(
        "{file} is not a safetensors file: it has no header that can be read.",
        "{file} 不是 safetensors 文件:没有可读取的文件头。",
    ),
    "submission.tensors-overlap": _entry(
        "The tensors in {file} overlap or leave holes.", "{file} 中的张量相互重叠或留有空隙。"
    ),
    "submission.ends-early": _entry(
        "{file} ends before its last tensor does.", "{file} 在最后一个张量结束之前就结束了。"
    ),
    "submission.false-size": _entry(
        "{file} claims {claimed} of tensors and has {found}.",
        "{file} 声称含有 {claimed} 的张量,实际只有 {found}。",
    ),
    "submission.tensor-missing": _entry(
        "{file} lacks the tensor {tensor}.", "{file} 缺少张量 {tensor}。",
        "Train with the assignment's recipe, on its base model.",
        "请在作业规定的基础模型上使用规定的配方训练。",
    ),
    "submission.tensor-unknown": _entry(
        "{file} has a tensor that the assignment does not know: {tensor}.",
        "{file} 含有作业中没有的张量:{tensor}。",
        "Train with the assignment's recipe, on its base model.",
        "请在作业规定的基础模型上使用规定的配方训练。",
    ),
    "submission.tensor-shape": _entry(
        "{file}: {tensor} has the shape {found}; the assignment's model needs {wanted}.",
        "{file}:{tensor} 的形状是 {found};作业的模型需要 {wanted}。",
        "Train with the assignment's recipe (its rank), on its base model.",
        "请在作业规定的基础模型上使用规定的配方(包括秩)训练。",
    ),
    "submission.tensor-dtype": _entry(
        "{file}: {tensor} is of type {found}; F32, F16 and BF16 are read.",
        "{file}:{tensor} 的类型是 {found};支持 F32、F16、BF16。",
    ),
    "submission.not-finite": _entry(
        "{file}: {tensor} holds numbers that are not finite (NaN or infinity).",
        "{file}:{tensor} 含有非有限的数(NaN 或无穷)。", DIVERGED, DIVERGED_ZH,
    ),
    "submission.not-finite-in-half": _entry(
        "{file}: {tensor} holds numbers that are too large for fp16, which the model computes in.",
        "{file}:{tensor} 含有超出 fp16 范围的数,而模型以 fp16 计算。", DIVERGED, DIVERGED_ZH,
    ),
    "submission.too-much-memory": _entry(
        "Reading it took more memory than any submission needs.",
        "读取它所用的内存超过了任何正常提交的需要。",
    ),
    "submission.too-long": _entry(
        "Reading it took longer than any submission needs.",
        "读取它所用的时间超过了任何正常提交的需要。",
    ),
    # --- a record is worth points, or not; it refuses nothing ---
    "submission.record-unreadable": _entry(
        "run.json is not the record of a run ({what}).", "run.json 不是运行记录({what})。",
        "Hand in the run.json of your run, unchanged.", "请原样提交您那次运行的 run.json。",
    ),
    "submission.record-differs": _entry(
        "run.json is of another experiment: {what}.", "run.json 记录的是另一个实验:{what}。",
        "Train with the assignment's recipe, data and base, and with your own seed.",
        "请使用作业规定的配方、数据、基础模型以及您自己的种子训练。",
    ),
    "submission.record-of-others": _entry(
        "run.json is not the record of these files: {file} has other bytes there.",
        "run.json 不是这些文件的记录:其中 {file} 的内容不同。",
        "Hand in the record of the run that made the adapters.",
        "请提交生成这些适配器的那次运行的记录。",
    ),
    "submission.record-unfinished": _entry(
        "run.json records {found} of {wanted} iterations.",
        "run.json 只记录了 {wanted} 次迭代中的 {found} 次。",
        "Finish the run and convert it.", "请完成训练并转换。",
    ),
    # --- not graded: nobody's mistake but the machine's ---
    "submission.not-graded": _entry(
        "It was not graded: the grading failed, not the submission.",
        "未评分:出错的是评分系统,而不是提交内容。",
        "Nothing is lost and there is nothing to do: it is graded when the grading goes on.",
        "没有任何损失,无需操作:评分恢复后会继续。",
    ),
}  # fmt: skip

"""What the kit says: data and weights."""

from __future__ import annotations

from llavakit.messages_form import Entry, Text

TABLE: dict[str, Entry] = {
    "data.no-folder": Entry(
        Text(
            "The data's folder {folder} does not exist.",
            "Correct --data, or data.folder in the recipe.",
        ),
        Text("数据文件夹 {folder} 不存在。", "请修改 --data 或配方中的 data.folder。"),
    ),
    "data.no-file": Entry(
        Text("{file} is not in the data's folder.", "Correct --data, or data.file in the recipe."),
        Text("数据文件夹中没有 {file}。", "请修改 --data 或配方中的 data.file。"),
    ),
    "data.not-json": Entry(
        Text("{file} is not JSON.", "Correct the file; its first error is named above."),
        Text("{file} 不是有效的 JSON。", "请修正文件,第一处错误见上。"),
    ),
    "data.not-a-list": Entry(
        Text(
            "{file} does not hold a list of conversations.",
            "Write it in LLaVA's format; data/sample/conversations.json is an example.",
        ),
        Text("{file} 不是对话列表。", "请使用 LLaVA 格式,可参考 data/sample/conversations.json。"),
    ),
    "data.empty": Entry(
        Text(
            "{file} holds no conversation.",
            "Add at least one, in the form of data/sample/conversations.json.",
        ),
        Text("{file} 中没有对话。", "请至少加入一条,格式参考 data/sample/conversations.json。"),
    ),
    "data.bad-item": Entry(
        Text(
            "Item {item} of the data is not in LLaVA's format at {where}.",
            "Correct that item; data/sample/conversations.json shows the format.",
        ),
        Text(
            "第 {item} 条数据的 {where} 不符合 LLaVA 格式。",
            "请修改该条数据,格式参考 data/sample/conversations.json。",
        ),
    ),
    "data.bad-roles": Entry(
        Text(
            "Turn {turn} of item {item} is from {found}, expected {expected}.",
            "Let human and gpt take turns, human first.",
        ),
        Text(
            "第 {item} 条数据的第 {turn} 轮来自 {found},应为 {expected}。",
            "请让 human 和 gpt 轮流发言,human 在先。",
        ),
    ),
    "data.no-answer": Entry(
        Text(
            "Item {item} of the data ends with a question.",
            "Add the answer of gpt, or remove the last turn.",
        ),
        Text("第 {item} 条数据以提问结束。", "请补上 gpt 的回答,或删除最后一轮。"),
    ),
    "data.image-token": Entry(
        Text(
            "Item {item} of the data does not have {token} exactly once, in its first turn.",
            "Begin its first question with {token} and remove it elsewhere.",
        ),
        Text(
            "第 {item} 条数据的 {token} 必须只在第一轮出现一次。",
            "请把 {token} 放在第一个问题的开头,并删除别处的。",
        ),
    ),
    "data.no-picture": Entry(
        Text(
            "Item {item} of the data names a picture that is not there: {image}.",
            "Add the picture to the data's folder, or correct its name.",
        ),
        Text("第 {item} 条数据的图片不存在:{image}。", "请把图片放进数据文件夹,或改正文件名。"),
    ),
    "data.outside-folder": Entry(
        Text(
            "Item {item} of the data names a picture outside the data's folder: {image}.",
            "Put the picture into the folder and name it by a relative path without links.",
        ),
        Text(
            "第 {item} 条数据的图片在数据文件夹之外:{image}。",
            "请把图片放进该文件夹,使用相对路径,不要用链接。",
        ),
    ),
    "data.not-a-picture": Entry(
        Text(
            "Item {item} of the data names a file that is not a whole picture: {image}.",
            "Replace it by a JPEG or PNG file that opens.",
        ),
        Text(
            "第 {item} 条数据的文件不是完整的图片:{image}。", "请换成可以打开的 JPEG 或 PNG 文件。"
        ),
    ),
    "data.other-bytes": Entry(
        Text(
            "{file} is not the file that the recipe knows: its sha256 is {found}, not {wanted}.",
            "Name a folder with the recipe's own data, or leave --data out to download them; "
            "data of your own take a recipe of their own.",
        ),
        Text(
            "{file} 不是配方所指的文件:其 sha256 是 {found},应为 {wanted}。",
            "请指定含有配方原始数据的文件夹,或去掉 --data 以自动下载;自己的数据请另写配方。",
        ),
    ),
    "data.other-repetition": Entry(
        Text(
            "Repeated {times} times, {file} has the sha256 {found}; the recipe knows {wanted}.",
            "Correct data.repeated in the recipe, or get the data again with `invoke data`.",
        ),
        Text(
            "{file} 重复 {times} 次后的 sha256 是 {found},配方中是 {wanted}。",
            "请修改配方中的 data.repeated,或用 `invoke data` 重新获取数据。",
        ),
    ),
    "weights.missing": Entry(
        Text(
            "The weights in {folder} are not complete.", "Run `invoke models` to make them again."
        ),
        Text("{folder} 中的权重不完整。", "运行 `invoke models` 重新生成。"),
    ),
    "weights.code": Entry(
        Text(
            "The weights bring Python of their own ({file}), which is never run.",
            "Use weights of a model that Transformers knows by itself.",
        ),
        Text(
            "权重自带 Python 代码({file}),本工具从不运行这类代码。",
            "请换用 Transformers 自身支持的模型权重。",
        ),
    ),
    "weights.not-converted": Entry(
        Text(
            "The converted weights in {folder} are not complete.",
            "Run `invoke convert` to make them again.",
        ),
        Text("{folder} 中转换后的权重不完整。", "运行 `invoke convert` 重新生成。"),
    ),
    "weights.unsafe": Entry(
        Text(
            "{file} does not hold tensors alone.",
            "Get it again from its source; a file that holds code is never loaded.",
        ),
        Text("{file} 中不只有张量。", "请从来源重新获取;含有代码的文件不会被加载。"),
    ),
    "weights.foreign": Entry(
        Text(
            "{folder} holds a model of the type {found}; the recipe needs {wanted}.",
            "Name the folder or the repository of such a model.",
        ),
        Text(
            "{folder} 中的模型类型是 {found},配方需要 {wanted}。",
            "请指定该类型模型的文件夹或仓库。",
        ),
    ),
    "weights.torn": Entry(
        Text(
            "{file} is not a whole file of weights.",
            "Remove it and run `invoke models`; of a folder of yours, copy it again.",
        ),
        Text(
            "{file} 不是完整的权重文件。",
            "请删除后运行 `invoke models`;如果是您自己的文件夹,请重新复制。",
        ),
    ),
    "weights.projector-shape": Entry(
        Text(
            "The projector {file} has the shape {found}, the two models need {wanted}.",
            "Use the projector that was trained for these two models.",
        ),
        Text(
            "projector {file} 的形状是 {found},两个模型需要 {wanted}。",
            "请使用为这两个模型训练的 projector。",
        ),
    ),
    "weights.projector-depth": Entry(
        Text(
            "The projector has {found} linear layers, the recipe says {wanted}.",
            "Set weights.projector.depth={found}, or use another projector.",
        ),
        Text(
            "projector 有 {found} 个线性层,配方中是 {wanted}。",
            "请设置 weights.projector.depth={found},或换用另一个 projector。",
        ),
    ),
    "weights.not-plain": Entry(
        Text("{file} cannot be loaded as plain weights.", "Make it again with `invoke convert`."),
        Text("无法把 {file} 作为纯权重加载。", "运行 `invoke convert` 重新生成。"),
    ),
    "weights.other-base": Entry(
        Text(
            "The adapter {file} was not trained on the base weights in {base}.",
            "Run the task with the options of the training (--recipe, --llm, --vision, --set).",
        ),
        Text(
            "适配器 {file} 不是在 {base} 中的基础权重上训练的。",
            "请使用训练时的选项(--recipe、--llm、--vision、--set)运行该任务。",
        ),
    ),
    "weights.not-llava": Entry(
        Text(
            "The projector {file} has {found}; LLaVA in Transformers has two linear layers "
            "with biases.",
            "Train one of depth 2 to merge it; this one can be asked with `invoke ask`.",
        ),
        Text(
            "projector {file} 含有 {found};Transformers 的 LLaVA 只有两个带偏置的线性层。",
            "要合并,请训练深度为 2 的 projector;当前的仍可用 `invoke ask` 提问。",
        ),
    ),
    "weights.changed": Entry(
        Text(
            "The training's files in {folder} changed after it ended.",
            "Run `invoke train` to make them again.",
        ),
        Text("{folder} 中的训练结果在训练结束后被改动。", "运行 `invoke train` 重新生成。"),
    ),
    "weights.no-path": Entry(
        Text(
            "The {part} is to be yours, but {path} is no {wanted}.",
            "Correct --{part}, or weights.{part}.path in the recipe.",
        ),
        Text(
            "{part} 指定为本地的,但 {path} 不是所需的 {wanted}。",
            "请修改 --{part} 或配方中的 weights.{part}.path。",
        ),
    ),
    "weights.links-away": Entry(
        Text(
            "The files of the {part} in {path} are links that lead out of that folder.",
            "Name the folder that holds the files themselves, or a copy of it (`cp -rL`).",
        ),
        Text(
            "{part} 的文件夹 {path} 中的文件是指向文件夹之外的链接。",
            "请指定存放真实文件的文件夹,或先用 `cp -rL` 复制一份。",
        ),
    ),
}

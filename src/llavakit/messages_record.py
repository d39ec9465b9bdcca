"""What the kit says: records, verifying and reproducing."""

from __future__ import annotations

from llavakit.messages_form import Entry, Text

TABLE: dict[str, Entry] = {
    "record.not-found": Entry(
        Text("{path} cannot be read.", "Name a run's folder or its run.json."),
        Text("无法读取 {path}。", "请指定某次运行的文件夹或其 run.json。"),
    ),
    "record.not-a-record": Entry(
        Text(
            "{path} is not the record of a run.",
            "Name a run's folder or its run.json; docs/run.schema.json says what is in one.",
        ),
        Text(
            "{path} 不是运行记录。",
            "请指定某次运行的文件夹或其 run.json;其格式见 docs/run.schema.json。",
        ),
    ),
    "record.newer": Entry(
        Text(
            "{path} is a record of version {version}; this kit reads versions up to {known}.",
            "Update the kit: `git pull`.",
        ),
        Text("{path} 的记录版本是 {version},本工具最高支持 {known}。", "请更新:`git pull`。"),
    ),
}

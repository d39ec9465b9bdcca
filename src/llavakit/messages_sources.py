"""What the kit says: where files come from."""

from __future__ import annotations

from llavakit.messages_form import Entry, Text

TABLE: dict[str, Entry] = {
    "source.unreachable": Entry(
        Text(
            "{source} does not answer.",
            "Look at the network; set HTTPS_PROXY, or a mirror (docs/sources.md).",
        ),
        Text("{source} 没有响应。", "请检查网络;设置 HTTPS_PROXY 或镜像(docs/sources.md)。"),
    ),
    "source.gated": Entry(
        Text(
            "{source} gives its files to permitted accounts only.",
            "Accept its terms on its page, then set HF_TOKEN or MODELSCOPE_API_TOKEN.",
        ),
        Text(
            "{source} 只向获得许可的账号提供文件。",
            "请在其页面接受条款,再设置 HF_TOKEN 或 MODELSCOPE_API_TOKEN。",
        ),
    ),
    "source.missing": Entry(
        Text(
            "{source} has no {what}.",
            "Correct the name or the revision in the recipe, or add another source.",
        ),
        Text("{source} 没有 {what}。", "请修改配方中的名称或版本,或增加其他来源。"),
    ),
    "source.no-files": Entry(
        Text(
            "{source} has no file that matches {wanted}.",
            "Correct the files in the recipe, or name another source.",
        ),
        Text("{source} 中没有匹配 {wanted} 的文件。", "请修改配方中的 files,或换用其他来源。"),
    ),
    "source.server": Entry(
        Text(
            "{source} answered {file} with status {status} again and again.",
            "Try again later, or name another source.",
        ),
        Text("{source} 对 {file} 一直返回状态码 {status}。", "请稍后再试,或换用其他来源。"),
    ),
    "source.redirects": Entry(
        Text(
            "{source} sends the request for {file} round in circles.",
            "Name another source or mirror.",
        ),
        Text("{source} 对 {file} 的请求不断重定向。", "请换用其他来源或镜像。"),
    ),
    "source.html": Entry(
        Text(
            "{source} sent a web page instead of {file}.",
            "Open the address in a browser: it may want a login or a confirmation.",
        ),
        Text("{source} 返回的是网页,不是 {file}。", "请在浏览器中打开该地址:可能需要登录或确认。"),
    ),
    "source.pointer": Entry(
        Text(
            "{source} sent git-lfs's pointer to {file}, not the file.",
            "Use the repository as a git source, which fetches what the pointer names.",
        ),
        Text(
            "{source} 返回的是 {file} 的 git-lfs 指针,不是文件本身。",
            "请把该仓库写成 git 来源,会取回指针所指的文件。",
        ),
    ),
    "source.empty": Entry(
        Text("{source} sent {file} without a byte in it.", "Name another source."),
        Text("{source} 返回的 {file} 是空文件。", "请换用其他来源。"),
    ),
    "source.wrong-length": Entry(
        Text(
            "{source} sent {found} bytes of {file}, which has {wanted}.",
            "Try again, or name another source.",
        ),
        Text("{source} 返回了 {file} 的 {found} 字节,应为 {wanted}。", "请重试,或换用其他来源。"),
    ),
    "source.wrong-bytes": Entry(
        Text(
            "{source} sent other bytes under the name {file}: sha256 {found}, wanted {wanted}.",
            "Nothing of it was kept. Name another source or mirror.",
        ),
        Text(
            "{source} 返回的 {file} 内容不符:sha256 为 {found},应为 {wanted}。",
            "文件已丢弃。请换用其他来源或镜像。",
        ),
    ),
    "source.moved": Entry(
        Text(
            "{source} has another {file} now than the one that was locked at first use.",
            "Name the revision of then; or remove {lock} to lock what is there now.",
        ),
        Text(
            "{source} 现在的 {file} 与首次使用时锁定的不同。",
            "请指定当时的版本;或删除 {lock},重新锁定现在的文件。",
        ),
    ),
    "source.mixed": Entry(
        Text(
            "{source} cannot show that its {file} belongs to what {others} gave.",
            "Run the same command again when {others} answers, or remove {folder} first.",
        ),
        Text(
            "{source} 无法证明它的 {file} 与 {others} 已提供的文件属于同一版本。",
            "等 {others} 恢复后再运行同一命令,或先删除 {folder}。",
        ),
    ),
    "source.stalled": Entry(
        Text(
            "{source} stopped sending {file}: nothing for {seconds} s, again and again.",
            "Run the same command again later; what was fetched is kept.",
        ),
        Text(
            "{source} 停止发送 {file}:多次 {seconds} 秒内没有数据。",
            "请稍后再运行同一命令;已下载的部分会保留。",
        ),
    ),
    "source.broken": Entry(
        Text(
            "The connection to {source} broke again and again while it sent {file}.",
            "Run the same command again; what was fetched is kept.",
        ),
        Text("从 {source} 下载 {file} 时连接反复中断。", "请再次运行同一命令;已下载的部分会保留。"),
    ),
    "source.no-tool": Entry(
        Text(
            "{source} needs the program {tool}, which is not installed here.",
            "Install it (`apt-get install git git-lfs`), or use --engine docker.",
        ),
        Text(
            "{source} 需要程序 {tool},本机没有安装。",
            "请安装(`apt-get install git git-lfs`),或使用 --engine docker。",
        ),
    ),
    "source.none-left": Entry(
        Text(
            "No source of {artefact} gave {file}.",
            "Correct one cause above, or name files that you have (docs/sources.md).",
        ),
        Text(
            "{artefact} 的所有来源都没能提供 {file}。",
            "请解决上面的一个原因,或指定您已有的文件(docs/sources.md)。",
        ),
    ),
    "source.cannot-be-had": Entry(
        Text(
            "No source can give {artefacts} now.",
            "Correct one cause above, or name files that you have (docs/sources.md).",
        ),
        Text(
            "目前没有来源能提供 {artefacts}。",
            "请解决上面的一个原因,或指定您已有的文件(docs/sources.md)。",
        ),
    ),
}

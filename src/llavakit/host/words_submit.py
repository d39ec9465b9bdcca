"""What `invoke submit` says."""

from __future__ import annotations

from llavakit.host.words_form import Words

TABLE: dict[str, Words] = {
    "label.submit": Words("submit", "提交"),
    "run.adopted": Words(
        "made elsewhere, now in its record: {stages}", "在别处完成,现已记入其记录:{stages}"
    ),
    "submit.nothing": Words(
        "{run} is up to date: there is nothing to hand in", "{run} 已是最新:没有需要提交的内容"
    ),
    "submit.checked": Words("{by} finds nothing wrong", "{by} 检查通过"),
    "submit.unchecked": Words(
        "no: {tool} is not installed here; docs/schedulers.md says how to check by hand",
        "未校验:本机没有安装 {tool};手工校验方法见 docs/schedulers.md",
    ),
    "submit.no-registry": Words(
        "{image} names no registry, so nodes find it only where somebody loaded it: push it, and "
        "name it with --image REGISTRY/NAME:TAG",
        "{image} 没有指明镜像仓库,只有已经加载过它的节点才找得到:"
        "请先推送,再用 --image REGISTRY/NAME:TAG 指定",
    ),
    "submit.claim": Words("the volume for the workspace, once", "工作区所用的卷,只需一次"),
    "submit.secrets": Words(
        "secrets, from this shell and into no file", "密钥:取自当前终端,不写入任何文件"
    ),
    "submit.fetch": Words("the downloads, with a network", "下载(需要网络)"),
    "submit.do": Words("hand in", "提交"),
    "submit.watch": Words("watch", "查看进展"),
    "submit.back": Words("fetch what was made", "取回结果"),
    "submit.down": Words("delete the machine with all that is on it", "删除该机器及其上的全部内容"),
}

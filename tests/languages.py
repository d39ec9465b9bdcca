"""Rules for what the kit says in Chinese, for the tests of every table."""

from __future__ import annotations

import re
import string

GLOSSARY = {
    "checkpoint": ("检查点", "存档点|断点|快照点"),
    "container": ("容器", "集装箱"),
    "docker image": ("镜像", "映像|镜象"),
    "gpu memory": ("显存", "GPU ?内存|显卡内存|图形内存"),
    "recipe": ("配方", "食谱|菜谱|方案"),
    "weights": ("权重", "权值|重量"),
    "workspace": ("工作区", "工作空间|工作目录"),
    "engine": ("引擎", "发动机"),
    "disk": ("磁盘", "硬盘|盘空间不足"),
    "driver": ("驱动", "司机"),
    "iteration": ("迭代", "重复次"),
    "loss": ("损失", "丢失值|亏损"),
    "file": ("文件", "档案"),
    "folder": ("文件夹", "资料夹|目录"),
    "network": ("网络", "网路"),
    "default": ("默认", "预设|缺省"),
    "program": ("程序", "程式"),
    "memory": ("内存", "记忆体"),
}
"""An English term, the Chinese word that the kit uses for it, and words that it does not use."""
SAID = {
    "checkpoint": "检查点", "checkpoints": "检查点", "recipe": "配方", "weights": "权重",
    "workspace": "工作区", "image": "镜像|图片", "container": "容器", "iterations": "迭代",
    "disk": "磁盘", "network": "网络|网", "driver": "驱动", "loss": "损失",
}  # fmt: skip
"""A term that one text uses in English, and what the other one must have then."""
NAMES = re.compile(
    r"`[^`]*`"  # commands
    r"|--?[a-z{][\w}-]*( [A-Za-z]+)?"  # options
    r"|[~/\w.{}-]*[/.][\w./{}-]+"  # paths, files, keys such as train.memory
    r"|\b\w+=\S*|https?:\S+|\{[^}]*\}",
    re.ASCII,
)
KNOWN = {
    "ask", "auto", "bench", "bf16", "bit", "chat", "clean", "compare", "convert", "crate",
    "data", "deflate", "docker", "files", "float32", "fp16", "git", "gpt", "gpu", "human",
    "key", "length", "lfs", "local", "logits", "maths", "max", "merge", "models", "ms", "none",
    "nvidia", "of", "pickle", "projector", "pyenv", "python", "root", "rootless", "safetensors",
    "sha256", "smi", "token", "torch", "train", "transformers", "uv", "value", "x", "x86", "y",
    "zero2", "zip",
}  # fmt: skip
"""Names of tasks, programs, options and values: the same in both languages."""


def fields(text: str) -> set[str]:
    """The placeholders of ``text``."""
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def untranslated(zh: str) -> list[str]:
    """English words in ``zh`` that are no names."""
    words = re.findall(r"[A-Za-z][A-Za-z0-9]*", NAMES.sub(" ", zh))
    return [word for word in words if word.islower() and word not in KNOWN]


def faults(en: str, zh: str, *, commands: bool = False) -> list[str]:
    """What is wrong with a text and its translation; empty when nothing is.

    ``commands``: what is to be pasted stands there without quotes.
    """
    found = [] if commands else [f"{word} is not translated" for word in untranslated(zh)]
    found += [f"{other}: the kit says {word}" for word, other in GLOSSARY.values()
              if re.search(other, zh)]  # fmt: skip
    if fields(en) != fields(zh):
        found.append(f"placeholders {fields(en) ^ fields(zh)}")
    words = set(re.findall(r"\b[a-z]+\b", NAMES.sub(" ", en)))
    found += [f"{word} is not {said}" for word, said in SAID.items()
              if word in words and not re.search(said, zh)]  # fmt: skip
    if untranslated(en) and not any("一" <= char <= "鿿" for char in zh):
        found.append("no Chinese in it")
    return found

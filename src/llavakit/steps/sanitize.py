"""The sanitize step: is this submission what it should be? If so, its tensors are written anew.

It runs in a container of its own, one for each submission: with no network, a root that is only
read, and four files to write to. ``--to`` holds them: one of tensors for each part and report.json.
Nothing of the submission is imported, unpickled or run.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from llavakit.errors import SubmissionError
from llavakit.locks import digest, file_sha256
from llavakit.steps import common, handed_in, handed_record, plain_configs, plain_tensors
from llavakit.steps.handed_in import File
from llavakit.submission import (
    CONFIGS,
    MOST_REASONS,
    RECORD,
    REPORT,
    TENSORS,
    Declared,
    Reason,
    Report,
    shown,
)

PICKLES = (".pth", ".pt", ".bin", ".pkl", ".pickle", ".ckpt", ".npy", ".npz", ".joblib")
PROJECTOR_CODE = ("modeling_projector.py", "configuration_projector.py")
PASSED_OVER = ("lock.json", "xtuner_config.py", "README.md", ".gitattributes")
"""What converting leaves beside the weights. Never read."""
Found = dict[str, File]


def check(source: Path, declared: Declared, to: Path) -> Report:
    """Check ``source`` and write what passed. Never raises for what a stranger can do."""
    reasons: list[SubmissionError] = []
    try:
        found = handed_in.files(source, declared.bounds)
        root = _root(found)
        reasons += _strays(found, root)
        mine = {name.removeprefix(root): file for name, file in found.items()
                if name.startswith(root)}  # fmt: skip
    except SubmissionError as error:
        return _refused([error])
    handed: dict[str, str] = {}
    sums: dict[str, dict[str, str]] = {}
    for part in TENSORS:
        try:
            handed[part], sums[part] = _part(part, mine, declared, to)
        except SubmissionError as error:
            reasons.append(error)
    if reasons:
        return _refused(reasons)
    made = None
    if declared.record is not None and (file := _record(found, root)):
        made = handed_record.check(file, declared.bounds.json_bytes, declared.record, handed)
    files = {part: file_sha256(to / f"{part}.safetensors") for part in TENSORS}
    return Report(weights=digest(sums), files=files, record=made)


def _part(
    part: str, mine: Mapping[str, File], declared: Declared, to: Path
) -> tuple[str, dict[str, str]]:
    files = {}
    for name in (f"{part}/{CONFIGS[part]}", f"{part}/{TENSORS[part]}"):
        if name not in mine:
            raise SubmissionError("missing-file", file=name)
        files[name] = mine[name]
    config, tensors = files.values()
    body = plain_configs.read(config, declared.bounds.json_bytes)
    shapes = declared.parts[part]
    plain_configs.check(config, body, shapes)
    target = to / f"{part}.safetensors"
    return plain_tensors.rewrite(tensors, shapes.tensors, declared.half, target)


def _root(found: Found) -> str:
    """The folder that holds the parts, with its slash; empty when it is the submission itself."""
    wanted = {(part, name) for part, name in [*TENSORS.items(), *CONFIGS.items()]}
    roots = set()
    for path in map(PurePosixPath, found):
        if len(path.parts) >= 2 and path.parts[-2:] in wanted:
            roots.add("".join(f"{name}/" for name in path.parts[:-2]))
    if len(roots) > 1:
        raise SubmissionError("several", folders=shown(", ".join(sorted(roots))))
    return roots.pop() if roots else ""


def _strays(found: Found, root: str) -> Iterator[SubmissionError]:
    """What has no business in a submission, file by file."""
    known = {f"{root}{part}/{name}" for names in (TENSORS, CONFIGS) for part, name in names.items()}
    known |= {path for path in _record_places(root) if path in found}
    for name, file in found.items():
        path = PurePosixPath(name)
        if name in known:
            continue
        if path.suffix.lower() in PICKLES:
            yield SubmissionError("pickle", file=shown(name))
        elif path.name in PROJECTOR_CODE and path.parent.name == "projector":
            if not _is_xtuners(file):
                yield SubmissionError("code", file=shown(name))
        elif path.name not in PASSED_OVER:
            kind = "code" if path.suffix in (".py", ".so", ".sh", ".ipynb") else "unexpected-file"
            yield SubmissionError(kind, file=shown(name))


def _is_xtuners(file: File) -> bool:
    """Whether code beside a projector is XTuner's own, which converting puts there."""
    spec = importlib.util.find_spec("xtuner")
    assert spec is not None and spec.origin is not None  # noqa: S101 - it is pinned
    name = PurePosixPath(file.name).name
    ours = Path(spec.origin).parent / "model" / "modules" / "projector" / name
    try:
        return handed_in.content(file, 1 << 16) == ours.read_bytes()
    except SubmissionError:
        return False


def _record_places(root: str) -> list[str]:
    """Beside the parts, or beside their folder, as in a run's folder."""
    above = PurePosixPath(root).parent
    return [f"{root}{RECORD}", *([(above / RECORD).as_posix()] if root else [])]


def _record(found: Found, root: str) -> File | None:
    return next((found[name] for name in _record_places(root) if name in found), None)


def _refused(errors: list[SubmissionError]) -> Report:
    return Report(reasons=tuple(Reason.of(error) for error in errors[:MOST_REASONS]))


def main() -> int:
    """Check one submission; the exit status is 0 whatever its report says."""
    parser = argparse.ArgumentParser(prog="python -m llavakit.steps.sanitize")
    parser.add_argument("--submission", type=Path, required=True, help="a folder or a zip")
    parser.add_argument("--declared", type=Path, required=True, help="what it may hold, as JSON")
    parser.add_argument("--to", type=Path, required=True, help="the folder of the files to write")
    args = parser.parse_args()
    try:
        declared = Declared.model_validate_json(args.declared.read_bytes())
        report = check(args.submission, declared, args.to)
        (args.to / REPORT).write_text(report.model_dump_json(), encoding="utf-8")
    except Exception as error:  # no verdict: files that may not be read, a mistake of ours
        return common.say_last(common.translate(error, "sanitize", args.submission))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Measure a recipe on a GPU host, unattended: results are written as they come.

    python3 scripts/measure_gpu.py --workspace DIR [--recipe tutorial] [--weights random]
        [--data FOLDER] [--set data.repeat=34] [--phases host,models,train,kill,...]

Runs `invoke` commands one after another and looks at what they leave. Needs the standard library
and a Python that `-m invoke` works in; nvidia-smi is asked where there is one. A phase that fails
is recorded and the next one begins. Phases, each of which can be a call of its own:

host     what the machine and its engine are, and `invoke doctor`
models   get or draw the weights, and repeat the data
train    `invoke train`: time to the first iteration, seconds per iteration, losses, peaks
kill     a training of its own: SIGKILL of client and job in mid-run, then the same call again
convert  `invoke convert`
compare  `invoke compare`, with the answers before and after
ask      one question to the pretrained and to the fine-tuned model
chat     the recipe's picture in a conversation, both models, through a pseudo-terminal
plain    time to the first iteration of plain XTuner, beside the kit's, on one rendered config

Into --results go results.jsonl (a line as a phase begins, a line as it ends), results.md (tables),
samples.jsonl (the GPU, the disk and the memory once a second) and commands.log. When --budget
seconds are over, a training job is left running and its client is ended: the same call goes on.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import pty
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

KIT = Path(__file__).resolve().parents[1]
PHASES = ("host", "models", "train", "kill", "convert", "compare", "ask", "chat", "plain")
FIRST = "Iter(train)"
CONTAINER = "llavakit-measured-plain"
PLAIN = """
import os, runpy, sys
for name, value in dict(RANK="0", LOCAL_RANK="0", WORLD_SIZE="1", MASTER_ADDR="127.0.0.1",
                        MASTER_PORT="29511").items():
    os.environ.setdefault(name, value)
sys.argv = {argv!r}
runpy.run_module("xtuner.tools.train", run_name="__main__")
"""
"""Plain XTuner with what torchrun would set: without a network DeepSpeed cannot find it out."""


class OutOfTimeError(Exception):
    """--budget is over."""


class Sampler(threading.Thread):
    """Once a second: memory of all GPUs, disk in use, memory in use."""

    def __init__(self, folder: Path, file: Path) -> None:
        super().__init__(daemon=True)
        self._folder, self._file = folder, file
        self._gpu: tuple[int, int] | None = None
        self._peaks: dict[str, float] = {}
        self._lock = threading.Lock()

    def run(self) -> None:
        self._watch_gpu()
        with self._file.open("a", encoding="utf-8", buffering=1) as out:
            while True:
                sample = self.sample()
                out.write(json.dumps(sample) + "\n")
                time.sleep(1)

    def sample(self) -> dict[str, float]:
        """The present values, which also count for the peaks."""
        disk, memory = shutil.disk_usage(self._folder), meminfo()
        used = memory.get("MemTotal", 0) - memory.get("MemAvailable", 0)
        found = {
            "time": round(time.time(), 1),
            "disk_gib": round(disk.used / 2**30, 2),
            "disk_free_gib": round(disk.free / 2**30, 2),
            "memory_gib": round(used / 2**20, 2),
        }
        if self._gpu is not None:
            found["gpu_mib"], found["gpu_percent"] = self._gpu
        self._keep(found)
        return found

    def begin(self) -> dict[str, float]:
        """Forget the peaks; the values now."""
        with self._lock:
            self._peaks = {}
        return self.sample()

    def peaks(self) -> dict[str, float]:
        """The largest values since :meth:`begin`."""
        self.sample()
        with self._lock:
            return dict(self._peaks)

    def _keep(self, found: dict[str, float]) -> None:
        with self._lock:
            for name in ("disk_gib", "memory_gib", "gpu_mib"):
                if name in found:
                    self._peaks[name] = max(self._peaks.get(name, 0), found[name])

    def _watch_gpu(self) -> None:
        query = ["nvidia-smi", "--query-gpu=memory.used,utilization.gpu",
                 "--format=csv,noheader,nounits", "-lms", "250"]  # fmt: skip
        if not shutil.which(query[0]):
            return

        def read() -> None:
            with subprocess.Popen(query, stdout=subprocess.PIPE, text=True) as process:
                for line in process.stdout or ():
                    with contextlib.suppress(ValueError):
                        used, busy = (int(word) for word in line.split(","))
                        self._gpu = (used, busy)
                        self._keep({"gpu_mib": used})

        threading.Thread(target=read, daemon=True).start()


def meminfo() -> dict[str, int]:
    """/proc/meminfo in KiB."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    return {line.split(":")[0]: int(line.split()[1]) for line in lines}


class Measurement:
    """The options, the results so far, and the commands."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.workspace = Path(args.workspace).absolute()
        self.workspace.mkdir(parents=True, exist_ok=True)
        self.results = Path(args.results or self.workspace / "measured").absolute()
        self.results.mkdir(parents=True, exist_ok=True)
        self.ends = time.monotonic() + args.budget if args.budget else None
        self.sampler = Sampler(self.workspace, self.results / "samples.jsonl")
        self.sampler.start()

    # --- results

    def write(self, **row: Any) -> None:
        """Append a line of results, and make the tables anew."""
        row = {"time": round(time.time(), 2), "recipe": self.args.recipe, **row}
        with (self.results / "results.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        (self.results / "results.md").write_text(markdown(self.rows()), encoding="utf-8")
        shown = {name: value for name, value in row.items() if name not in ("losses", "answers")}
        sys.stdout.write(json.dumps(shown, ensure_ascii=False)[:1500] + "\n")
        sys.stdout.flush()

    def rows(self) -> list[dict[str, Any]]:
        lines = (self.results / "results.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.endswith("}")]

    def first_begun(self, phase: str, run: str) -> float:
        """When this phase first began on this run: an earlier call may have left it running."""
        begun = [
            row["time"] for row in self.rows()
            if row["event"] == "begin" and row["phase"] == phase and row.get("run") == run
        ]  # fmt: skip
        return float(min(begun, default=time.time()))

    # --- commands

    def invoke(self, task: str, *more: str, weights: bool = True) -> list[str]:
        """The command line of a task."""
        args = self.args
        words = [sys.executable, "-m", "invoke", task, "--workspace", str(self.workspace)]
        if task == "doctor":
            return words
        words += ["--recipe", args.recipe]
        words += ["--engine", args.engine] if args.engine else []
        words += ["--weights", args.weights] if args.weights and weights else []
        words += ["--data", args.data] if args.data else []
        if args.gpus and task not in ("models", "data"):
            words += ["--gpus", args.gpus]
        # `set`s of the command line first, so that what a phase adds has the last word.
        return [*words, *(word for each in args.set for word in ("--set", each)), *more]

    def start(self, words: list[str], **options: Any) -> subprocess.Popen[str]:
        with (self.results / "commands.log").open("a", encoding="utf-8") as log:
            log.write(f"\n$ {shlex.join(words)}\n")
            log.flush()
            return subprocess.Popen(
                words, cwd=KIT, text=True, stdout=subprocess.PIPE, stderr=log,
                start_new_session=True, **options,
            )  # fmt: skip

    def run(self, words: list[str], **options: Any) -> dict[str, Any]:
        """Run to the end; how it ended, how long it took, the peaks, and the JSON it printed."""
        before = self.sampler.begin()
        began = time.monotonic()
        process = self.start(words, **options)
        printed: list[str] = []
        reader = threading.Thread(target=lambda: printed.extend(process.stdout or ()), daemon=True)
        reader.start()
        self.wait(process)
        reader.join(5)
        return {
            "status": process.returncode,
            "seconds": round(time.monotonic() - began, 1),
            "before": before,
            "peaks": self.sampler.peaks(),
            "output": as_json("".join(printed)),
        }

    def wait(self, process: subprocess.Popen[str]) -> None:
        """Until it ends. Raises OutOfTimeError; then its client is killed and its job goes on."""
        while process.poll() is None:
            try:
                self.check_time()
            except OutOfTimeError:
                process.kill()
                process.wait()
                raise
            time.sleep(0.1)

    def check_time(self) -> None:
        if self.ends is not None and time.monotonic() > self.ends:
            raise OutOfTimeError

    def plan(self, *more: str) -> dict[str, Any]:
        """What `invoke train --plan --json` says."""
        words = self.invoke("train", *more, "--plan", "--json")
        done = subprocess.run(words, cwd=KIT, text=True, capture_output=True, check=False)
        found = as_json(done.stdout)
        if done.returncode or not isinstance(found, dict):
            raise RuntimeError(f"--plan failed: {(done.stderr or done.stdout)[-2000:]}")
        return found

    def kill_jobs(self, run: str) -> list[str]:
        """SIGKILL to every job of a run, whatever the engine; what was killed."""
        killed = []
        if shutil.which("docker"):
            label = f"label=io.llavakit.run={run}"
            found = output(["docker", "ps", "-q", "--filter", label]).split()
            killed += [f"container {each}" for each in found]
            if found:
                output(["docker", "kill", "--signal", "KILL", *found])
        for note in (self.workspace / "cache" / "jobs").glob("*.json"):
            with contextlib.suppress(OSError, ValueError, KeyError):
                body = json.loads(note.read_text(encoding="utf-8"))
                if body["labels"].get("run") == run:
                    os.killpg(body["pid"], signal.SIGKILL)
                    killed.append(f"process {body['pid']}")
        return killed

    def until_iteration(
        self, process: subprocess.Popen[str], run: str, number: int, since: float
    ) -> list[dict[str, Any]]:
        """Wait for an iteration; the events until then. Raises RuntimeError if it ended before."""
        drain = threading.Thread(target=lambda: list(process.stdout or ()), daemon=True)
        drain.start()
        while True:
            seen = self.iterations(run, since)
            if any(event["n"] >= number for event in seen):
                return seen
            if process.poll() is not None:
                raise RuntimeError(
                    f"it ended (status {process.returncode}) after {len(seen)} iterations"
                )
            try:
                self.check_time()
            except OutOfTimeError:
                process.kill()
                self.kill_jobs(run)
                raise
            time.sleep(0.05)

    def iterations(self, run: str, since: float = 0.0) -> list[dict[str, Any]]:
        return [event for event in self.events(run, since) if event["kind"] == "iteration"]

    def events(self, run: str, since: float = 0.0) -> list[dict[str, Any]]:
        path = self.workspace / "runs" / run / "events.jsonl"
        with contextlib.suppress(FileNotFoundError):
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
            found = [json.loads(line) for line in lines if line.endswith("}\n")]
            return [event for event in found if event["step"] == "train" and event["time"] >= since]
        return []

    # --- phases

    def host(self) -> dict[str, Any]:
        memory = meminfo()
        found: dict[str, Any] = {
            "kernel": " ".join(os.uname()[i] for i in (0, 2, 4)),
            "cores": os.cpu_count(),
            "memory_gib": round(memory["MemTotal"] / 2**20, 1),
            "python": sys.version.split()[0],
            "commit": output(["git", "describe", "--always", "--dirty"]).strip(),
            "gpu": output(["nvidia-smi", "--query-gpu=name,memory.total,memory.used,driver_version",
                           "--format=csv,noheader"]).strip(),
            "engine": output(["docker", "version", "--format", "{{.Server.Version}}"]).strip(),
            "image": as_json(output(["docker", "image", "inspect", "--format",
                                     "{{json .Config.Labels}}", self.args.image])),
        }  # fmt: skip
        doctor = self.run([*self.invoke("doctor"), "--json"])
        return {**found, "doctor": doctor["output"], "status": doctor["status"]}

    def models(self) -> dict[str, Any]:
        done = self.run(self.invoke("models", "--yes", "--json"))
        body = done.pop("output")
        data = self.run(self.invoke("data", "--yes", "--json", weights=False))
        return {**done, "stages": body.get("stages") if isinstance(body, dict) else body,
                "status": done["status"] or data["status"], "data_seconds": data["seconds"],
                "sizes_gib": self.sizes()}  # fmt: skip

    def train(self) -> dict[str, Any]:
        run = self.plan()["run"]
        self.write(phase="train", event="begin", run=run)
        began = self.first_begun("train", run)
        done = self.run(self.invoke("train", "--yes", "--json"))
        failed = done.pop("output")
        found = {**done, "run": run, **self.curve(run, began), "sizes_gib": self.sizes()}
        return found if done["status"] == 0 else {**found, "said": failed}

    def curve(self, run: str, began: float) -> dict[str, Any]:
        """What the events of a training tell."""
        events = self.iterations(run, began)
        if not events:
            return {"iterations": 0}
        times = [event["time"] for event in events]
        # Checkpoints and evaluations lie in some gaps: the median leaves them out.
        gaps = [b - a for a, b in itertools.pairwise(times)]
        started = [each["time"] for each in self.events(run, began) if each["kind"] == "started"]
        memory = [event["memory_mib"] for event in events if event.get("memory_mib")]
        return {
            "iterations": len({event["n"] for event in events}),
            "planned": events[-1]["of"],
            "command_to_step_s": round(started[0] - began, 1) if started else None,
            "command_to_first_iteration_s": round(times[0] - began, 1),
            "step_to_first_iteration_s": round(times[0] - started[0], 1) if started else None,
            "seconds_per_iteration": round(statistics.median(gaps), 3) if gaps else None,
            "seconds_per_iteration_10_90": [round(each, 3) for each in deciles(gaps)],
            "longest_gaps_s": [round(gap, 1) for gap in sorted(gaps)[-4:]],
            "reported_memory_mib": max(memory, default=None),
            "first_loss": round(events[0]["loss"], 4),
            "last_loss": round(events[-1]["loss"], 4),
            "losses": [[event["n"], round(event["loss"], 4)] for event in events],
        }

    def kill(self) -> dict[str, Any]:
        """Kill client and job a few iterations after a checkpoint, and call again."""
        told_apart = self.args.kill_set or ["train.log_every=2"]
        more = [word for each in told_apart for word in ("--set", each)]
        run = self.of_its_own(self.plan(*more)["run"])
        words = self.invoke("train", *more, "--yes", "--json")
        self.write(phase="kill", event="begin", run=run)
        self.sampler.begin()
        began = time.time()
        process = self.start(words)
        seen = self.until_iteration(process, run, self.args.kill_at, began)
        process.kill()
        process.wait()
        killed = self.kill_jobs(run)
        at = max(event["n"] for event in self.iterations(run, began))
        folder = self.workspace / "runs" / run / "train"
        kept = sorted(path.name for path in folder.glob("iter_*"))
        again = time.time()
        done = self.run(words)
        later = self.events(run, again)
        numbers = [event["n"] for event in later if event["kind"] == "iteration"]
        history = self.history(run)
        return {
            "run": run,
            "status": done["status"],
            "seconds": round(time.time() - began, 1),
            "seconds_again": done["seconds"],
            "peaks": done["peaks"],
            "killed": killed,
            "killed_at": at,
            "checkpoints_then": kept,
            "notes": [event["text"] for event in later if event["kind"] == "note"],
            "went_on_from": min(numbers, default=None),
            "ended_with": len(history),
            "planned": seen[-1]["of"],
            "whole": history == list(range(1, seen[-1]["of"] + 1)),
        }

    def history(self, run: str) -> list[int]:
        """The iterations in the run's own history."""
        path = self.workspace / "runs" / run / "train" / "history.json"
        found = as_json(path.read_text(encoding="utf-8")) if path.exists() else []
        return [row["iteration"] for row in found] if isinstance(found, list) else []

    def convert(self) -> dict[str, Any]:
        done = self.run(self.invoke("convert", "--yes", "--json"))
        body = done.pop("output")
        stages = body.get("stages") if isinstance(body, dict) else body
        return {**done, "stages": stages, "sizes_gib": self.sizes()}

    def compare(self) -> dict[str, Any]:
        done = self.run(self.invoke("compare", "--yes", "--json"))
        body = done.pop("output")
        if not isinstance(body, dict) or "rows" not in body:
            return {**done, "said": body}
        rows = [
            {"question": row["question"],
             **{side: {"answer": row[side]["answer"], "rouge_l": row[side]["rouge_l"]}
                for side in ("before", "after")}}
            for row in body["rows"]
        ]  # fmt: skip
        return {**done, "means": body["means"], "expected": body["expected"], "answers": rows}

    def ask(self) -> dict[str, Any]:
        answers = []
        for side, more in (("before", ["--pretrained"]), ("after", [])):
            words = ["--picture", self.picture(), "--question", self.args.question[-1], "--json"]
            done = self.run(self.invoke("ask", *words, *more, "--yes"))
            answers.append({"model": side, "seconds": done["seconds"], "said": done["output"],
                            "status": done["status"], "peaks": done["peaks"]})  # fmt: skip
        return {"answers": answers, "status": max(each["status"] for each in answers)}

    def chat(self) -> dict[str, Any]:
        """Type the questions into a pseudo-terminal, as a person does."""
        answers = []
        for side, more in (("before", ["--pretrained"]), ("after", [])):
            master, slave = pty.openpty()
            os.write(master, "".join(f"{each}\n" for each in [*self.args.question, ""]).encode())
            words = self.invoke("chat", "--picture", self.picture(), *more, "--yes")
            done = self.run(words, stdin=slave)
            os.close(slave)
            os.close(master)
            answers.append({"model": side, "seconds": done["seconds"], "said": done["output"],
                            "status": done["status"]})  # fmt: skip
        return {"answers": answers, "status": max(each["status"] for each in answers)}

    def picture(self) -> str:
        """The picture that is asked about: one of the data's own unless one was named."""
        if self.args.picture:
            return str(self.args.picture)
        folder = Path(self.args.data) if self.args.data else KIT / "data" / "sample"
        found = sorted(path for path in folder.rglob("*") if path.suffix in (".jpg", ".png"))
        return str(found[0])

    def of_its_own(self, run: str) -> str:
        """``run``, which a phase may delete: never the one that the others measure."""
        if run == self.plan()["run"]:
            raise RuntimeError(f"this phase needs settings that make another run than {run}")
        return run

    def plain(self) -> dict[str, Any]:
        """The kit until a few iterations, then plain XTuner on the kit's config; by turns."""
        more = ("--set", "train.log_every=1")
        planned = self.plan(*more)
        run = self.of_its_own(planned["run"])
        line = next(each["command"] for each in planned["stages"] if each["stage"] == "train")
        found: dict[str, list[float]] = {"kit": [], "plain": []}
        its: list[float] = []
        before = self.sampler.begin()
        for _ in range(self.args.times):
            self.forget(run)
            began = time.time()
            process = self.start(self.invoke("train", *more, "--yes", "--json"))
            seen = self.until_iteration(process, run, self.args.iterations, began)
            found["kit"].append(round(seen[0]["time"] - began, 1))
            process.kill()
            process.wait()
            self.kill_jobs(run)
            for name in ("config.py", "deepspeed.json"):
                with contextlib.suppress(FileNotFoundError):
                    made = self.workspace / "runs" / run / "train" / name
                    shutil.copy(made, self.workspace / "cache" / f"measured-{name}")
            time.sleep(2)  # the GPU's memory comes back
            self.forget(run)
            first, steps = self.plain_once(line)
            found["plain"].append(first)
            its += steps
        self.forget(run)
        medians = {name: statistics.median(values) for name, values in found.items()}
        return {
            "status": 0,
            "to_first_iteration_s": found,
            "medians": medians,
            "kit_over_plain": round(medians["kit"] / medians["plain"], 2),
            "plain_seconds_per_iteration": round(statistics.median(its), 3) if its else None,
            "before": before,
            "peaks": self.sampler.peaks(),
        }

    def plain_once(self, line: str) -> tuple[float, list[float]]:
        """Seconds to plain XTuner's first iteration, and from each to the next."""
        argv = ["train", "cache/measured-config.py", "--work-dir", "cache/measured-plain"]
        if (self.workspace / "cache" / "measured-deepspeed.json").exists():
            argv += ["--deepspeed", "cache/measured-deepspeed.json"]
        code = PLAIN.format(argv=argv)
        line = line[: line.index(" -m llavakit.steps.train")] + f" -c {shlex.quote(code)}"
        in_container = "docker run " in line
        line = line.replace("docker run ", f"docker run --name {CONTAINER} ", 1)
        times: list[float] = []
        tail: list[str] = []
        began = time.monotonic()
        process = subprocess.Popen(
            ["bash", "-euc", line], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True, errors="replace",
        )  # fmt: skip
        watch = threading.Timer(max(1.0, (self.ends or began + 3600) - began),
                                self.end_plain, (process, in_container))  # fmt: skip
        watch.start()
        with (self.results / "commands.log").open("a", encoding="utf-8") as log:
            log.write(f"\n$ {line}\n")
            for text in process.stdout or ():
                log.write(text)
                tail = [*tail[-8:], text]
                if FIRST in text:
                    times.append(time.monotonic())
                    if len(times) >= self.args.iterations:
                        break
        watch.cancel()
        self.end_plain(process, in_container)
        if not times:
            raise RuntimeError("plain XTuner came to no iteration: " + "".join(tail)[-1500:])
        steps = [b - a for a, b in itertools.pairwise(times)]
        return round(times[0] - began, 1), steps

    def end_plain(self, process: subprocess.Popen[str], in_container: bool) -> None:
        if in_container:
            output(["docker", "rm", "--force", CONTAINER])
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def forget(self, run: str) -> None:
        """Leave nothing that a next start of this run could go on from, or have cached."""
        for path in (self.workspace / "runs" / run, self.workspace / "cache" / "measured-plain",
                     self.workspace / "cache" / "home" / ".cache" / "huggingface"):  # fmt: skip
            shutil.rmtree(path, ignore_errors=True)

    def sizes(self) -> dict[str, float]:
        """GiB of the workspace's folders, and of what lies in the runs."""
        folders = [self.workspace / name for name in ("models", "data", "runs", "cache")]
        folders += sorted((self.workspace / "runs").glob("*/*/"))
        found = {str(each.relative_to(self.workspace)): size(each) for each in folders}
        return {name: round(value / 2**30, 3) for name, value in found.items() if value}


def size(folder: Path) -> int:
    """Bytes on the disk."""
    found = (Path(top, name) for top, _, names in os.walk(folder) for name in names)
    total = 0
    for path in found:
        with contextlib.suppress(OSError):
            total += path.lstat().st_blocks * 512
    return total


def output(words: list[str]) -> str:
    """What a command prints; empty when it is not there or does not answer."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            words, cwd=KIT, capture_output=True, text=True, timeout=60, check=False
        )
        return done.stdout
    return ""


def as_json(text: str) -> Any:
    """JSON where it is that, else the end of the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text[-4000:]


def deciles(values: list[float]) -> list[float]:
    """The 10th and the 90th percentile."""
    if len(values) < 2:
        return values
    cuts = statistics.quantiles(values, n=10)
    return [cuts[0], cuts[-1]]


def markdown(rows: Iterable[dict[str, Any]]) -> str:
    """The last result of each phase as tables."""
    last = {(row["recipe"], row["phase"]): row for row in rows if row["event"] == "end"}
    lines = [
        "| recipe | phase | s | peak GPU MiB | peak disk GiB (before) | peak memory GiB | result |",
        "|---|---|---|---|---|---|---|",
    ]
    for (recipe, phase), row in last.items():
        peaks, before = row.get("peaks", {}), row.get("before", {})
        cells = [recipe, phase, row.get("seconds", ""), peaks.get("gpu_mib", ""),
                 f"{peaks['disk_gib']} ({before.get('disk_gib', '')})" if peaks else "",
                 peaks.get("memory_gib", ""), summary(phase, row)]  # fmt: skip
        lines.append("| " + " | ".join(map(cell, cells)) + " |")
    for (recipe, phase), row in last.items():
        lines += list(details(recipe, phase, row))
    return "\n".join(lines) + "\n"


def cell(value: object) -> str:
    text = " ".join(str(value).split()).replace("|", "\\|")
    return "".join(char if char.isprintable() else " " for char in text)


def summary(phase: str, row: dict[str, Any]) -> str:
    if "failed" in row:
        return f"FAILED: {row['failed'][-300:]}"
    if row.get("status"):
        return f"exit status {row['status']}: {str(row.get('said', ''))[-300:]}"
    keys = {
        "host": ("gpu", "engine", "kernel", "cores", "memory_gib"),
        "train": ("iterations", "planned", "command_to_first_iteration_s", "seconds_per_iteration",
                  "first_loss", "last_loss"),
        "kill": ("killed_at", "checkpoints_then", "went_on_from", "ended_with", "planned", "whole"),
        "compare": ("means",),
        "plain": ("medians", "kit_over_plain", "plain_seconds_per_iteration"),
    }  # fmt: skip
    return ", ".join(f"{key} {row.get(key)}" for key in keys.get(phase, ())) or "ok"


def details(recipe: str, phase: str, row: dict[str, Any]) -> Iterator[str]:
    if phase == "train" and row.get("losses"):
        losses = row["losses"]
        every = max(1, len(losses) // 20)
        shown = [*losses[::every], losses[-1]]
        yield f"\n{recipe}: loss at iteration: " + ", ".join(f"{n}: {loss}" for n, loss in shown)
    elif phase == "compare" and row.get("answers"):
        yield f"\n{recipe}: answers\n\n| question | before | ROUGE-L | after | ROUGE-L |"
        yield "|---|---|---|---|---|"
        for each in row["answers"]:
            sides = [part for side in ("before", "after")
                     for part in (each[side]["answer"][:200], each[side]["rouge_l"])]  # fmt: skip
            yield "| " + " | ".join(map(cell, [each["question"], *sides])) + " |"
    elif phase in ("ask", "chat") and row.get("answers"):
        yield f"\n{recipe}: {phase}\n"
        for each in row["answers"]:
            yield f"- {each['model']} ({each['seconds']} s): {cell(each['said'])[:600]}"


def measure(measurement: Measurement, phases: list[str]) -> int:
    """Run the phases; 1 if one failed."""
    bad = 0
    for phase in phases:
        measurement.write(phase=phase, event="begin")
        body: Callable[[], dict[str, Any]] = getattr(measurement, phase)
        began = time.monotonic()
        try:
            measurement.check_time()
            found = body()
        except OutOfTimeError:
            left = "the time is over; the same call goes on with it"
            measurement.write(phase=phase, event="end", failed=left, status=124,
                              seconds=round(time.monotonic() - began, 1))  # fmt: skip
            return 1
        except Exception as error:  # whatever it is, the next phase may work
            found = {"failed": f"{type(error).__name__}: {error}", "status": 1}
        bad |= bool(found.get("status"))
        found.setdefault("seconds", round(time.monotonic() - began, 1))
        measurement.write(phase=phase, event="end", **found)
    return int(bad)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workspace", required=True)
    parser.add_argument("--results", default="", help="default: WORKSPACE/measured")
    parser.add_argument("--phases", default=",".join(PHASES))
    parser.add_argument("--recipe", default="tutorial")
    parser.add_argument("--weights", default="", help="'random': weights of the recipe's shapes")
    parser.add_argument("--data", default="", help="the folder of the recipe's data")
    parser.add_argument("--set", action="append", default=[], help="as for invoke, in every phase")
    parser.add_argument("--engine", default="")
    parser.add_argument("--gpus", default="")
    parser.add_argument("--image", default="llavakit:0.1.0")
    parser.add_argument("--kill-set", action="append", default=[],
                        help="more of --set, for the phase kill alone, which must make it a run of"
                             " its own (train.log_every=2 does)")  # fmt: skip
    parser.add_argument("--kill-at", type=int, default=30, help="kill once this iteration is done")
    parser.add_argument("--times", type=int, default=1, help="turns of the phase plain")
    parser.add_argument("--iterations", type=int, default=5, help="of each start in phase plain")
    parser.add_argument("--picture", default="")
    parser.add_argument("--question", action="append", default=[])
    parser.add_argument("--budget", type=float, default=0, help="seconds; 0: no limit")
    args = parser.parse_args()
    args.question = args.question or ["Describe this image.", "What is the equipment in the image?"]
    phases = [phase for phase in args.phases.split(",") if phase]
    if wrong := [phase for phase in phases if phase not in PHASES]:
        parser.error(f"no such phase: {', '.join(wrong)}; there are {', '.join(PHASES)}")
    return measure(Measurement(args), phases)


if __name__ == "__main__":
    sys.exit(main())

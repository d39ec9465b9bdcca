"""The phases: each a method that returns what it saw."""

from __future__ import annotations

import itertools
import os
import pty
import signal
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from measuring.commands import KIT, Commands, as_json, output
from measuring.sampler import meminfo
from measuring.tables import deciles


class Measurement(Commands):
    """One recipe on one machine."""

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

    def bench(self) -> dict[str, Any]:
        """`invoke bench`: plain XTuner, then each of --recipes; what it saw until the time is over
        counts.
        """
        more = ["--iterations", str(self.args.iterations), "--yes", "--json"]
        more += ["--squeeze"] if self.args.squeeze else []
        words = self.invoke("bench", *more)
        words[words.index("--recipe")] = "--recipes"
        words[words.index("--recipes") + 1] = self.args.recipes or self.args.recipe
        done = self.run(words, on_time_over=signal.SIGINT)
        body = done.pop("output")
        rows = body.get("rows", []) if isinstance(body, dict) else []
        if not rows:
            return {**done, "said": body}
        return {**done, "run": body["id"], "machine": body["machine"], "rows": rows}

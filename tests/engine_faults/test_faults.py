"""What the docker engine does when its daemon misbehaves."""

from __future__ import annotations

import inspect
import time

import pytest
from engine_faults.conftest import Bench
from engine_faults.fake_engine import FakeEngine, Play, cut, drop, refuse, silent, stuck
from engine_faults.texts import CAPTURED, QUOTED, said

from llavakit.engines.docker import connect
from llavakit.engines.docker_errors import translate
from llavakit.errors import EngineError

MEANS = {
    "gpu": "no-gpu-support", "cdi": "no-gpu-support", "no-image": "image-missing",
    "no-command": "bad-image", "no-mount": "mount-missing", "name": "name-taken",
    "too-new": "too-old", "full": "disk-full", "toolkit": "no-gpu-support",
    "driver": "old-driver", "lost": "gpu-lost", "cdi-name": "no-gpu-support",
    "old-client": "too-old", "no-container": "request-failed",
}  # fmt: skip
"""What each text of an engine means."""


pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
"""The SDK and urllib3 leave a socket to the garbage collector whose engine went away."""


def refusal(bench: Bench) -> EngineError:
    with pytest.raises(EngineError) as caught:
        bench.run()
    return caught.value


def test_a_job_that_nothing_happens_to(bench: Bench) -> None:
    bench.fake.play = Play("一\ntwo\n".encode(), seconds=0.1)
    lines, outcome = bench.run()
    assert (lines, outcome.exit_code, outcome.out_of_memory) == (["一", "two"], 0, False)
    assert bench.fake.containers == {}


@pytest.mark.parametrize("text", sorted({**CAPTURED, **QUOTED}))
@pytest.mark.parametrize("route", ["create", "start"])
def test_every_text_has_its_meaning_and_leaves_no_container(
    bench: Bench, text: str, route: str
) -> None:
    bench.fake.before(route, refuse(*said(text, name="x", id="y", image=bench.fake.image)))
    error = refusal(bench)
    wanted = MEANS[text]
    if text.startswith("no-image") and route == "start":
        wanted = "image-missing"
    assert error.name == wanted
    assert error.why == said(text, name="x", id="y", image=bench.fake.image)[1]
    assert bench.fake.containers == {}, "a container left in `created` is removed"
    assert ("remove" in bench.fake.seen) is (route == "start")


def test_an_engine_that_refuses_everything_is_told_in_its_own_words(bench: Bench) -> None:
    bench.fake.before("create", refuse(500, "the words of nobody"))
    error = refusal(bench)
    assert (error.name, error.why) == ("request-failed", "the words of nobody")


def test_an_image_that_is_missing(bench: Bench) -> None:
    engine = bench.engine()
    engine.image = "llavakit:gone"
    with pytest.raises(EngineError) as caught:
        engine.start(bench.job())
    assert caught.value.name == "image-missing"
    assert "llavakit:gone" in caught.value.what()


def test_an_engine_of_before_the_sdk_s_api(bench: Bench) -> None:
    bench.fake.api = "1.20"
    with pytest.raises(EngineError) as caught:
        connect(timeout=2)
    assert caught.value.name == "too-old"


def test_the_log_stream_is_cut(bench: Bench) -> None:
    """It ends in good order while the job runs (seen with 20.10): the rest is read, once."""
    output = b"".join(b"line %d\n" % n for n in range(2000))
    bench.fake.play = Play(output, seconds=0.5)
    bench.fake.before("logs", cut(5), cut(4999), cut(0))
    lines, outcome = bench.run()
    assert lines == output.decode().splitlines()
    assert outcome.exit_code == 0


def test_the_log_stream_is_silent(bench: Bench, impatient: None) -> None:
    """It says nothing more and does not end although the job has: what came is kept."""
    bench.fake.play = Play(b"first\nsecond\n", seconds=0.3)
    bench.fake.before("logs", stuck(6))
    began = time.monotonic()
    lines, outcome = bench.run()
    assert lines[:1] == ["first"]
    assert outcome.exit_code == 0
    assert time.monotonic() - began < 10
    assert bench.fake.containers == {}


def test_waiting_times_out_and_goes_on(bench: Bench, impatient: None) -> None:
    """A time-out limits the request, never the job."""
    bench.fake.play = Play(b"done\n", seconds=1.5)
    bench.fake.before("wait", silent(1.2))
    running = bench.engine().start(bench.job())
    assert running.wait().exit_code == 0
    assert bench.fake.seen.count("wait") > 1


def test_out_of_memory_with_exit_code_0(bench: Bench) -> None:
    bench.fake.play = Play(oom=True, exit_code=0)
    _, outcome = bench.run()
    assert (outcome.exit_code, outcome.out_of_memory) == (0, True)


@pytest.mark.parametrize("ends", [None, 137], ids=["live-restore", "its containers end"])
def test_the_daemon_is_restarted_in_mid_run(bench: Bench, ends: int | None) -> None:
    bench.fake.play = Play(b"a\nb\n", seconds=1.2)
    running = bench.engine().start(bench.job())
    lines = running.lines()
    time.sleep(0.2)
    for each in bench.fake.containers.values():
        each.ended = ends
    bench.fake.stop()
    time.sleep(0.5)
    bench.fake.start()
    outcome = running.wait()
    assert outcome.exit_code == (ends or 0)
    assert list(lines) == ["a", "b"], "the output outlasts the restart"
    assert bench.fake.containers == {}


def test_the_daemon_stays_away(bench: Bench, impatient: None) -> None:
    bench.fake.play = Play(seconds=60)
    running = bench.engine().start(bench.job())
    bench.fake.stop()
    with pytest.raises(EngineError) as caught:
        running.wait()
    assert caught.value.name == "no-daemon"
    bench.fake.start()
    assert len(bench.fake.containers) == 1, "the job goes on, and is found by its labels"
    assert [job.id for job in bench.engine().find({"workspace": "w"})] == [running.id]


def test_an_engine_that_dies_while_it_starts_a_job(bench: Bench) -> None:
    bench.fake.before("start", drop)
    error = refusal(bench)
    assert error.name == "no-daemon"
    assert bench.fake.containers == {}


def test_an_engine_that_dies_after_it_started_a_job(bench: Bench) -> None:
    """What was created and cannot be removed now is for the next command to sweep."""
    bench.fake.before("start", drop)
    bench.fake.before("remove", drop)
    assert refusal(bench).name == "no-daemon"
    assert len(bench.fake.containers) == 1
    assert len(bench.engine().sweep({"workspace": "w"})) == 1
    assert bench.fake.containers == {}


def test_somebody_removes_the_container(bench: Bench) -> None:
    bench.fake.play = Play(seconds=60)
    running = bench.engine().start(bench.job())
    bench.fake.containers.clear()
    outcome = running.wait()
    assert outcome.exit_code is None
    assert str(outcome.detail) == "its container was removed by someone else"


def test_containers_left_in_created_are_swept_and_others_are_not(bench: Bench) -> None:
    engine = bench.engine()
    bench.fake.play = Play(seconds=60)
    living = engine.start(bench.job())
    bench.fake.before("start", refuse(*said("gpu")))
    bench.fake.before("remove", drop)
    with pytest.raises(EngineError):
        engine.start(bench.job())
    (left,) = engine.sweep({"workspace": "w"})
    assert [each.name for each in bench.fake.containers.values()] == [living.id] != [left]


def test_every_error_of_the_sdk_is_one_of_ours() -> None:
    from docker import errors as sdk

    from llavakit.engines.docker_errors import ANSWERS, FOREIGN, KINDS, NO_ANSWER
    from llavakit.messages import TABLE

    classes = [each for each in vars(sdk).values()
               if isinstance(each, type) and issubclass(each, sdk.DockerException)]  # fmt: skip
    assert len(classes) > 15
    for cls in [*classes, *FOREIGN]:
        given = inspect.signature(cls.__init__).parameters.values()
        needed = [each for each in given if each.default is each.empty and each.kind.value == 1]
        error = cls(*["raw words"] * max(1, len(needed) - 1))
        said_by_us = translate(error)
        assert said_by_us.what("zh") != said_by_us.what("en")
        assert said_by_us.why
    for _, name in (*ANSWERS, *NO_ANSWER, *KINDS):
        assert f"engine.{name}" in TABLE


def test_the_fake_engine_knows_what_it_does_not_know(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/e.sock")
    with FakeEngine(tmp_path / "e.sock") as fake:
        client = connect(timeout=2)
        assert client.ping()
        with pytest.raises(Exception, match="page not found"):
            client.volumes.list()
        assert fake.seen[-1].endswith("/volumes")
        client.close()

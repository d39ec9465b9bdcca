"""The Invoke face of the kit: `invoke --list`. Each task is one call; nothing is decided here."""

import sys
from functools import partial

from llavakit.host.face import face
from llavakit.host.options import HELP

face = partial(face, known=HELP, argv=sys.argv)


def call(name, c, options):
    from llavakit.host.commands import main

    main(name, c.config.llavakit, {key: value for key, value in options.items() if key != "c"})


@face
def models(c, recipe="", set=None, weights="", llm="", vision="", projector="", data="",
           engine="", workspace="", plan=False, detach=False, check=False, verify=False, yes=False,
           json=False, lang=""):  # fmt: skip
    """Get or draw the recipe's weights."""
    call("models", c, locals())


@face
def data(c, recipe="", set=None, data="", engine="", workspace="", plan=False, yes=False,
         json=False, lang=""):  # fmt: skip
    """Validate the recipe's conversations and pictures, and repeat them."""
    call("data", c, locals())


@face
def train(c, recipe="", set=None, weights="", llm="", vision="", projector="", data="", engine="",
          gpus="", ranks="", nodes="", node_rank="", rendezvous="", network="", workspace="",
          plan=False, detach=False, fresh=False, yes=False, json=False, lang=""):  # fmt: skip
    """Fine-tune, after whatever is missing before it."""
    call("train", c, locals())


@face
def convert(c, recipe="", set=None, weights="", llm="", vision="", projector="", data="",
            engine="", gpus="", ranks="", workspace="", plan=False, detach=False, yes=False,
            json=False, lang=""):  # fmt: skip
    """Convert the pretrained and the fine-tuned model to Hugging Face's form."""
    call("convert", c, locals())


@face
def ask(c, picture="", question="", pretrained=False, recipe="", set=None, weights="", llm="",
        vision="", projector="", data="", engine="", gpus="", ranks="", workspace="", plan=False,
        yes=False, json=False, lang=""):  # fmt: skip
    """Answer one --question about one --picture, or the recipe's own questions."""
    call("ask", c, locals())


@face
def chat(c, picture="", pretrained=False, recipe="", set=None, weights="", llm="", vision="",
         projector="", data="", engine="", gpus="", ranks="", workspace="", yes=False,
         lang=""):  # fmt: skip
    """A conversation about a picture in the terminal."""
    call("chat", c, locals())


@face
def compare(c, recipe="", set=None, weights="", llm="", vision="", projector="", data="",
            engine="", gpus="", ranks="", workspace="", plan=False, detach=False, fresh=False,
            yes=False, json=False, lang=""):  # fmt: skip
    """The same questions before and after fine-tuning, scored."""
    call("compare", c, locals())


@face
def merge(c, recipe="", set=None, weights="", llm="", vision="", projector="", data="", engine="",
          gpus="", ranks="", workspace="", plan=False, detach=False, yes=False, json=False,
          lang=""):  # fmt: skip
    """Write the trained model as one folder for plain Transformers, and check that it answers."""
    call("merge", c, locals())


@face
def demo(c, set=None, engine="", gpus="", ranks="", workspace="", plan=False, detach=False,
         fresh=False, json=False, lang=""):  # fmt: skip
    """The whole tutorial in miniature: recipe `tiny`, every step, then the comparison."""
    call("demo", c, locals())


@face
def bench(c, recipes="", iterations="100", plain=True, squeeze=False, set=None, weights="",
          data="", engine="", gpus="", workspace="", plan=False, yes=False, json=False,
          lang=""):  # fmt: skip
    """Time and memory of the first iterations, beside plain XTuner's on the same host."""
    call("bench", c, locals())


@face
def grade(c, folder=None, assignment="tiny", student="", out="", weights="", llm="", vision="",
          projector="", data="", engine="", gpus="", workspace="", yes=False, json=False,
          lang=""):  # fmt: skip
    """Grade a class's submissions (folders or zips) in containers that nothing gets out of."""
    call("grade", c, locals())


@face
def submit(c, to="", task="train", recipe="", set=None, weights="", llm="", vision="",
           projector="", data="", engine="", runtime="", image="", gpus="", ranks="", workspace="",
           out="", fresh=False, json=False, lang=""):  # fmt: skip
    """Write the plan as files for Slurm, Kubernetes or SkyPilot, and say how to hand them in."""
    call("submit", c, locals())


@face
def verify(c, run=None, environment=False, engine="", workspace="", json=False, lang=""):
    """Hash a run's files again (the newest's), or the --environment: which pin drifted?"""
    call("verify", c, locals())


@face
def reproduce(c, run, set=None, llm="", vision="", projector="", data="", engine="", gpus="",
              workspace="", yes=False, json=False, lang=""):  # fmt: skip
    """Make a run again from its record alone, and compare."""
    call("reproduce", c, locals())


@face
def expect(c, run=None, workspace="", json=False, lang=""):
    """Hold a run (the newest) against what its recipe expects."""
    call("expect", c, locals())


@face
def diff(c, run, other, workspace="", json=False, lang=""):
    """What differs between two runs: what they are, then what came out."""
    call("diff", c, locals())


@face
def report(c, run=None, markdown=False, workspace="", json=False, lang=""):
    """Write a run (the newest) as one HTML file and as Markdown."""
    call("report", c, locals())


@face
def export(c, run=None, to="", workspace="", json=False, lang=""):
    """Write a run (the newest) as RO-Crate, in-toto provenance, model card and CycloneDX SBOM."""
    call("export", c, locals())


@face
def build(c, base="", builder="auto", json=False, lang=""):
    """Build the environment's image."""
    call("build", c, locals())


@face
def lock(c, json=False, lang=""):
    """Make the hash locks again from their .in files."""
    call("lock", c, locals())


@face
def doctor(c, recipe="", set=None, weights="", llm="", vision="", projector="", data="",
           engine="", gpus="", ranks="", workspace="", fix=False, json=False, lang=""):  # fmt: skip
    """Check all that a recipe needs of this host; exit status 1 when something is lacking."""
    call("doctor", c, locals())


@face
def runs(c, workspace="", json=False, lang=""):
    """List the runs of the workspace."""
    call("runs", c, locals())


@face
def attach(c, run=None, workspace="", json=False, lang=""):
    """Show a run that goes on (the newest) until it ends; Ctrl-C leaves it alone."""
    call("attach", c, locals())


@face
def logs(c, run=None, follow=False, workspace="", json=False, lang=""):
    """What the steps of a run (the newest) printed."""
    call("logs", c, locals())


@face
def stop(c, run=None, now=False, workspace="", json=False, lang=""):
    """End a run that goes on; the same command goes on from its last checkpoint."""
    call("stop", c, locals())


@face
def clean(c, workspace="", environments=False, image=False, models=False, data=False, runs=False,
          yes=False, json=False, lang=""):  # fmt: skip
    """Delete what can be made again; weights, data and runs only when named."""
    call("clean", c, locals())


@face
def test(c, quick=False, lang=""):
    """Run the kit's tests."""
    call("test", c, locals())

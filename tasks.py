"""The Invoke face of the kit: `invoke --list`. Each task is one call; nothing is decided here."""

from invoke import task

HELP = {
    "recipe": "a name in configs/recipes, or a path to a YAML file",
    "set": "override a value of the recipe: --set train.learning_rate=1e-3 (may be repeated)",
    "engine": "docker, local or auto",
    "gpus": "all, none, 0,1 ... or auto",
    "workspace": "the folder for models, data, runs and cache",
    "plan": "show what would run and why, and the `docker run` lines; run nothing",
    "fresh": "begin a new run, even if one of this recipe is there",
    "json": "results as JSON on standard output",
    "lang": "messages in en or zh",
}


def call(name, c, **options):
    from llavakit.host.commands import main

    main(name, c.config.llavakit, options)


def step(name, summary):
    """A task that brings one step, and whatever it needs, up to date."""

    def body(c, recipe="", set=(), engine="", gpus="", workspace="", plan=False, fresh=False,
             json=False, lang=""):  # fmt: skip
        call(name, c, recipe=recipe, set=set, engine=engine, gpus=gpus, workspace=workspace,
             plan=plan, fresh=fresh, json=json, lang=lang)  # fmt: skip

    body.__doc__ = summary
    return task(body, name=name, iterable=["set"], help=HELP)


models = step("models", "Get or draw the recipe's weights.")
data = step("data", "Validate the recipe's conversations and pictures, and repeat them.")
train = step("train", "Fine-tune, after whatever is missing before it.")
convert = step("convert", "Convert the pretrained and the fine-tuned model to Hugging Face's form.")
compare = step("compare", "The same questions before and after fine-tuning, scored.")
demo = step("demo", "The whole tutorial in miniature: recipe `tiny`, every step, the comparison.")

PICTURE = {"image": "a picture", "pretrained": "the model before fine-tuning"}


@task(iterable=["set"], help={**HELP, **PICTURE, "question": "what to ask about --image"})
def ask(c, recipe="", set=(), engine="", gpus="", workspace="", plan=False, image="", question="",
        pretrained=False, json=False, lang=""):  # fmt: skip
    """Answer the recipe's questions, or one --question about one --image."""
    call("ask", c, recipe=recipe, set=set, engine=engine, gpus=gpus, workspace=workspace,
         plan=plan, image=image, question=question, pretrained=pretrained, json=json,
         lang=lang)  # fmt: skip


@task(iterable=["set"], help={**HELP, **PICTURE})
def chat(c, image, recipe="", set=(), engine="", gpus="", workspace="", pretrained=False, lang=""):
    """A conversation about a picture in the terminal."""
    call("chat", c, recipe=recipe, set=set, engine=engine, gpus=gpus, workspace=workspace,
         image=image, pretrained=pretrained, lang=lang)  # fmt: skip


@task(help={"base": "another base image", "builder": "auto, buildkit or sdk"})
def build(c, base="", builder="auto", json=False, lang=""):
    """Build the environment's image."""
    call("build", c, base=base, builder=builder, json=json, lang=lang)


@task
def lock(c, json=False, lang=""):
    """Make the hash locks again from their .in files."""
    call("lock", c, json=json, lang=lang)


@task
def doctor(c, workspace="", json=False, lang=""):
    """What this host offers: engines, disk, memory, GPU."""
    call("doctor", c, workspace=workspace, json=json, lang=lang)


@task
def runs(c, workspace="", json=False, lang=""):
    """List the runs of the workspace."""
    call("runs", c, workspace=workspace, json=json, lang=lang)


@task(help={"environment": "the local engine's environment too", "image": "the image too",
            "yes": "delete; without it the list is shown"})  # fmt: skip
def clean(c, workspace="", environment=False, image=False, models=False, data=False, runs=False,
          yes=False, json=False, lang=""):  # fmt: skip
    """Delete what can be made again; weights, data and runs only when named."""
    call("clean", c, workspace=workspace, environment=environment, image=image, models=models,
         data=data, runs=runs, yes=yes, json=json, lang=lang)  # fmt: skip


@task(help={"quick": "leave out what needs the environment or an engine"})
def test(c, quick=False, lang=""):
    """Run the kit's tests."""
    call("test", c, quick=quick, lang=lang)

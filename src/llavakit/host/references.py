"""Reference runs: other runs of the same experiment, from which a band is made.

They lie in configs/references (records that come with the kit) and in the workspace. A run that was
itself made by `invoke reproduce` is none: what is judged must not move the band.
"""

from __future__ import annotations

from llavakit import record
from llavakit.host import comparing, finding
from llavakit.host.settings import KIT
from llavakit.record_form import Run
from llavakit.workspace import Workspace

FOLDER = KIT / "configs" / "references"


def of(original: Run, place: Workspace) -> list[Run]:
    """Finished runs of the same experiment (seed, packages, recipe, weights, data), without the
    original itself. Their surroundings may differ: that is what a band is for.
    """
    shipped = [record.load(path) for path in sorted(FOLDER.glob("*.json"))]
    here = [found.run for found in finding.all_runs(place)]
    mine = record.fingerprint(original)
    return [
        run
        for run in (*shipped, *here)
        if run.results.losses
        and run.provenance.reproduces is None
        and record.fingerprint(run) != mine
        and not any(difference.asked for difference in comparing.identities(original, run))
    ]

"""What builders said, captured from engine 20.10.24 and buildx 0.13.1, host names replaced and long
lines cut; "manifest unknown" from a registry that says so."""

from __future__ import annotations

from typing import Any

DIGEST = "sha256:457a4076c56025f51217bff647ca631c7880ad3dbf546b03728ba98297ebbc22"
BASE = f"nvidia/cuda:12.1.1-base-ubuntu22.04@{DIGEST}"
HEAD = f'Head "https://registry.example/v2/nvidia/cuda/manifests/{DIGEST}"'
NO_HOST = "dial tcp: lookup registry.example on 10.0.0.53:53: no such host"
SOLVE = (
    "failed to solve: rpc error: code = Unknown desc = failed to solve with frontend dockerfile.v0:"
    " failed to create LLB definition: "
)
METADATA = f"""\
#0 building with "default" instance using docker driver

#1 [internal] load build definition from Dockerfile
#1 transferring dockerfile: 150B done
#1 DONE 0.0s

#3 [internal] load metadata for docker.io/{BASE}
"""
NO_REGISTRY = f"""{METADATA}\
#3 ERROR: failed to do request: {HEAD}: {NO_HOST}
------
 > [internal] load metadata for docker.io/{BASE}:
------
ERROR: {SOLVE}failed to do request: {HEAD}: {NO_HOST}
"""
GONE = f"""{METADATA}\
#3 ERROR: registry.example/nvidia/cuda@{DIGEST}: not found
------
 > [internal] load metadata for docker.io/{BASE}:
------
ERROR: {SOLVE}registry.example/nvidia/cuda@{DIGEST}: not found
"""
NO_INDEX = """\
#6 [2/3] COPY uvbin /uvbin
#6 CACHED

#7 [3/3] RUN python3.10 -m venv /v && /uvbin pip install --python /v/bin/python six
#7 5.718 Using Python 3.10.13 environment at: /v
#7 14.22 error: Request failed after 3 retries in 8.5s
#7 14.22   cause: client error (Connect)
#7 14.22   cause: dns error
#7 14.22   cause: failed to lookup address information: Temporary failure in name resolution
#7 ERROR: executor failed running [/bin/sh -c python3.10 -m venv /v]: exit code: 2
------
 > [3/3] RUN python3.10 -m venv /v && /uvbin pip install --python /v/bin/python six:
14.22 error: Request failed after 3 retries in 8.5s
------
ERROR: failed to solve: executor failed running [/bin/sh -c python3.10]: exit code: 2
"""
NO_APT = """\
#7 [3/3] RUN apt-get -qq update && apt-get -qq install -y binutils
#7 7.216 W: Failed to fetch http://a.example/InRelease  Temporary failure resolving 'a.example'
#7 7.247 E: Unable to locate package binutils
#7 ERROR: executor failed running [/bin/sh -c apt-get -qq update]: exit code: 100
ERROR: failed to solve: executor failed running [/bin/sh -c apt-get -qq update]: exit code: 100
"""
STEP_FAILED = """\
#4 [1/2] FROM docker.io/library/llavakit-standin-base:bookworm
#4 CACHED

#5 [2/2] RUN echo hi; echo oops >&2; exit 3
#5 0.171 hi
#5 0.174 oops
#5 ERROR: executor failed running [/bin/sh -c echo hi; echo oops >&2; exit 3]: exit code: 3
------
 > [2/2] RUN echo hi; echo oops >&2; exit 3:
0.171 hi
0.174 oops
------
ERROR: failed to solve: executor failed running [/bin/sh -c echo hi]: exit code: 3
"""
FILE_MISSING = """\
#6 [3/3] COPY nothing-there /x
#6 ERROR: "/nothing-there" not found: not found

#7 [2/3] RUN true
#7 DONE 0.2s
------
 > [3/3] COPY nothing-there /x:
------
ERROR: failed to solve: failed to compute cache key: "/nothing-there" not found: not found
"""
BAD_DOCKERFILE = f"""\
#2 [internal] load build definition from f
#2 DONE 0.1s
ERROR: {SOLVE}dockerfile parse error line 2: unknown instruction: RUNX
"""
# Not captured:
DISK_FULL = """\
#5 [2/2] RUN cp -r /usr /more
#5 0.174 cp: error writing '/more/x': No space left on device
#5 ERROR: executor failed running [/bin/sh -c cp -r /usr /more]: exit code: 1
ERROR: failed to solve: executor failed running [/bin/sh -c cp -r /usr /more]: exit code: 1
"""


def ignore(line: str) -> None:
    pass


def steps(*texts: str) -> list[dict[str, Any]]:
    return [{"stream": text} for text in texts]


def failed(text: str) -> dict[str, Any]:
    return {"errorDetail": {"message": text}, "error": text}


FROM = steps("Step 1/35 : ARG BASE_IMAGE=x", "\n", "Step 2/35 : FROM ${BASE_IMAGE} AS system", "\n")

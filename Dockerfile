# The environment: the tutorial's Python stack from hash-locked wheels, and the kit's steps.
# Builds with the classic builder and with BuildKit; `invoke build` passes the arguments.
# BASE_IMAGE is what is pulled. From a mirror, BASE_NAME says its own name: that is what the image
# remembers, and the mirror is not.
ARG BASE_IMAGE=nvidia/cuda:12.1.1-base-ubuntu22.04@sha256:457a4076c56025f51217bff647ca631c7880ad3dbf546b03728ba98297ebbc22
ARG BASE_NAME=${BASE_IMAGE}

# --- the distribution's part, common to all stages
# hadolint ignore=DL3006  # the default has a digest; whoever passes another base chooses its tag
FROM ${BASE_IMAGE} AS system
COPY docker/apt.in docker/apt-install /usr/share/llavakit/
RUN /usr/share/llavakit/apt-install /usr/share/llavakit/apt.in

# --- the Python environment; mirrors and proxies come in here and stay here
FROM system AS environment
ARG PIP_INDEX_URL
ARG UV_DEFAULT_INDEX
WORKDIR /build
COPY docker/apt-build.in docker/installer.lock docker/build.lock docker/requirements.lock \
     docker/removals.txt docker/trim ./
# A fixed hash seed makes what is built from source and compiled the same in every build.
RUN export PYTHONHASHSEED=0 \
 && /usr/share/llavakit/apt-install apt-build.in \
 && python3.10 -m venv /build/installer \
 && /build/installer/bin/pip install -q --no-cache-dir --disable-pip-version-check \
      --only-binary :all: --require-hashes -r installer.lock \
 && python3.10 -m venv --without-pip /opt/llavakit/env \
 && /build/installer/bin/uv pip sync --no-config --no-cache --link-mode copy \
      --python /opt/llavakit/env/bin/python \
      --require-hashes --build-constraints build.lock requirements.lock \
 && site=/opt/llavakit/env/lib/python3.10/site-packages \
 && python3.10 trim removals.txt "$site" \
 && strip --strip-debug "$site/triton/_C/libtriton.so" \
 && /opt/llavakit/env/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash "$site" \
 && rm -rf /build

# --- the kit's own code, readable and byte-compiled whatever the umask of the checkout
FROM system AS code
WORKDIR /opt/llavakit
COPY src/llavakit src/llavakit
COPY configs/xtuner configs/xtuner
COPY configs/deepspeed configs/deepspeed
RUN python3.10 -m compileall -q --invalidation-mode unchecked-hash src \
 && chmod -R a+rX .

# --- the image
FROM system
ENV PATH=/opt/llavakit/env/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONPATH=/opt/llavakit/src \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    LANG=C.UTF-8 \
    # The root is read-only and the uid has no entry in /etc/passwd: caches go to the tmpfs, and
    # getpass finds a name.
    HOME=/tmp \
    LOGNAME=llavakit
COPY --from=environment /opt/llavakit/env /opt/llavakit/env
# As late as this: a lock that is recorded after the first build makes small layers anew, no others.
COPY docker/apt-record /usr/share/llavakit/
COPY docker/apt /usr/share/llavakit/apt
ARG BASE_NAME
RUN /usr/share/llavakit/apt-record "${BASE_NAME}" /usr/share/llavakit/apt /usr/share/llavakit/apt.lock
USER 10001:10001
WORKDIR /workspace
ENTRYPOINT ["/opt/llavakit/env/bin/python"]
CMD ["--version"]
COPY --from=code /opt/llavakit /opt/llavakit
ARG BASE_DIGEST=""
ARG VERSION=""
ARG REVISION=""
ARG LOCK_SHA256=""
ARG ENVIRONMENT_SHA256=""
ARG SOURCE_SHA256=""
LABEL org.opencontainers.image.title="llavakit" \
      org.opencontainers.image.description="LLaVA on Llama-3-8B, fine-tuned with XTuner 0.1.18" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE_NAME}" \
      org.opencontainers.image.base.digest="${BASE_DIGEST}" \
      io.llavakit.lock.sha256="${LOCK_SHA256}" \
      io.llavakit.environment.sha256="${ENVIRONMENT_SHA256}" \
      io.llavakit.source.sha256="${SOURCE_SHA256}"

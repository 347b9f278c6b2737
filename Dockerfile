# Two images from one file: `--target job` makes models, `--target serving` (the last stage) answers with them.
# `make images` builds both. The syntax is what Docker's BuildKit and podman/buildah 1.28 have in common.
#
# Build arguments: BASE (a Debian-like image with Python 3.11 or newer and venv; a digest pins it), RUNTIME_BASE (what the
# images stand on: an image with the same Python at the same place, such as BASE itself where a shell is wanted), DEVICE (cpu
# or cuda), ALLOCATOR (of the job; empty where no mirror of Debian is), TRACKERS (of the job), PROVIDER and TRACING (of the server),
# TUNEWRIGHT_COMMIT, CREATED (RFC 3339) and SOURCE (the address of the code): labels.
# Build secrets, both optional and never in a layer: id=ca (certificates), id=pip_conf (a pip configuration file).
ARG BASE=python:3.11-slim
ARG RUNTIME_BASE=python-alone

# pip lives in its own environment, so that /opt/venv, which the images get, holds none.
FROM ${BASE} AS pip
SHELL ["/bin/sh", "-eu", "-c"]
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_NO_COMPILE=1
RUN python3 -m venv /opt/pip \
 && python3 -m venv --without-pip /opt/venv

# What tells `tunewright` its commands and its version: the metadata of the distribution, without its code.
FROM pip AS metadata
COPY requirements/build.txt /requirements/
RUN --mount=type=secret,id=ca --mount=type=secret,id=pip_conf --mount=type=cache,target=/root/.cache/pip \
    if [ -s /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi; \
    if [ -s /run/secrets/pip_conf ]; then export PIP_CONFIG_FILE=/run/secrets/pip_conf; fi; \
    /opt/pip/bin/pip install --no-deps --require-hashes -r /requirements/build.txt
COPY pyproject.toml README.md LICENSE /source/
WORKDIR /source
RUN install -d src /app/bin \
 && /opt/pip/bin/python -c 'from setuptools import build_meta; build_meta.prepare_metadata_for_build_wheel("/app")' \
 && rm -r /app/*.egg-info \
 && printf '%s\n' '#!/opt/venv/bin/python' 'from runpy import run_module' 'run_module("tunewright", run_name="__main__", alter_sys=True)' \
      > /app/bin/tunewright \
 && chmod 755 /app/bin/tunewright

FROM pip AS serving-packages
COPY requirements/serving.txt requirements/serving-unused.txt requirements/serving-cuda.txt requirements/tracing.txt /requirements/
# cuda: with ONNX Runtime for NVIDIA GPUs and what it needs, gigabytes more; SERVING_PROVIDER=cuda then computes there.
ARG PROVIDER=""
# Anything: with OpenTelemetry, which sends traces where the environment names a collector.
ARG TRACING=""
RUN --mount=type=secret,id=ca --mount=type=secret,id=pip_conf --mount=type=cache,target=/root/.cache/pip \
    if [ -s /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi; \
    if [ -s /run/secrets/pip_conf ]; then export PIP_CONFIG_FILE=/run/secrets/pip_conf; fi; \
    /opt/pip/bin/pip --python /opt/venv/bin/python install --require-hashes -r /requirements/serving.txt; \
    /opt/pip/bin/pip --python /opt/venv/bin/python uninstall -y -r /requirements/serving-unused.txt; \
    if [ "$PROVIDER" = cuda ]; then \
      /opt/pip/bin/pip --python /opt/venv/bin/python uninstall -y onnxruntime; \
      /opt/pip/bin/pip --python /opt/venv/bin/python install --no-deps --require-hashes -r /requirements/serving-cuda.txt; fi; \
    if [ -n "$TRACING" ]; then \
      /opt/pip/bin/pip --python /opt/venv/bin/python install --no-deps --require-hashes -r /requirements/tracing.txt; fi
COPY --from=metadata /app /app
COPY src/tunewright/__init__.py src/tunewright/__main__.py /app/tunewright/
COPY registry /app/tunewright/registry
COPY serving /app/tunewright/serving
COPY docker/trim.py /docker/
# The root is read-only later, and file times differ between checkouts: byte code is made now and not compared.
RUN python3 /docker/trim.py serving /opt/venv/lib/python3*/site-packages \
 && rm -rf /opt/venv/bin/__pycache__ \
 && /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/venv/lib /app

FROM pip AS job-packages
COPY requirements/job.txt requirements/torch-cpu.txt requirements/torch-cuda.txt requirements/quickstart.txt /requirements/
COPY requirements/trackers.txt /requirements/
# cpu or cuda; when empty the build for processors alone, where pip finds it.
ARG DEVICE=""
# Anything: with MLflow's client, Weights & Biases and tensorboardX, for settings that name them under track.
ARG TRACKERS=""
RUN --mount=type=secret,id=ca --mount=type=secret,id=pip_conf --mount=type=cache,target=/root/.cache/pip \
    if [ -s /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi; \
    if [ -s /run/secrets/pip_conf ]; then export PIP_CONFIG_FILE=/run/secrets/pip_conf; fi; \
    install() { /opt/pip/bin/pip --python /opt/venv/bin/python install --no-deps --require-hashes "$@"; }; \
    install -r /requirements/job.txt -r /requirements/quickstart.txt; \
    if [ -n "$DEVICE" ]; then install -r "/requirements/torch-$DEVICE.txt"; \
    else install -r /requirements/torch-cpu.txt || install -r /requirements/torch-cuda.txt; fi; \
    if [ -n "$TRACKERS" ]; then install -r /requirements/trackers.txt; fi
COPY --from=metadata /app /app
COPY src/tunewright/__init__.py src/tunewright/__main__.py /app/tunewright/
COPY registry /app/tunewright/registry
COPY serving /app/tunewright/serving
COPY job /app/tunewright/job
COPY docker/trim.py /docker/
# One file of torch's own tests is in the grammar of a newer Python.
RUN python3 /docker/trim.py job /opt/venv/lib/python3*/site-packages \
 && rm -rf /opt/venv/bin/__pycache__ \
 && /opt/venv/bin/python -m compileall -q -x py312_ --invalidation-mode unchecked-hash /opt/venv/lib /app

# Trains on processors in about a twentieth less time than glibc's allocator, and takes less memory (docs/decisions/0005).
FROM ${BASE} AS allocator
SHELL ["/bin/sh", "-eu", "-c"]
ARG ALLOCATOR=tcmalloc
# hadolint ignore=DL3008
RUN install -d /opt/allocator \
 && if [ -n "$ALLOCATOR" ]; then apt-get update -q \
     && apt-get install -y -q --no-install-recommends libtcmalloc-minimal4 \
     && cp -L /usr/lib/*/libtcmalloc_minimal.so.4 /opt/allocator/ \
     && rm -rf /var/lib/apt/lists/*; fi

# What both images stand on: Python, its libraries and certificates, and no shell (docs/decisions/0035-images.md).
FROM ${BASE} AS root
SHELL ["/bin/sh", "-eu", "-c"]
COPY docker/python_alone.py /docker/
RUN python3 /docker/python_alone.py /python
# The folder is of group 0 as well: OpenShift runs an image as any user, who is always of that group.
RUN (grep -v ^tunewright: /etc/passwd; echo tunewright:x:10001:10001::/tmp:/usr/sbin/nologin) > /python/etc/passwd \
 && (grep -v ^tunewright: /etc/group; echo tunewright:x:10001:) > /python/etc/group \
 && install -d /python/var/lib \
 && install -d -o 10001 -g 0 -m 2775 /python/var/lib/tunewright
FROM scratch AS python-alone
COPY --from=root /python /
ENV PATH=/usr/local/bin:/usr/bin LANG=C.UTF-8

# Writable are /tmp and /var/lib/tunewright; everything else may be read-only.
FROM ${RUNTIME_BASE} AS runtime
COPY --from=python-alone /etc/passwd /etc/group /etc/
COPY --from=python-alone /var/lib/tunewright /var/lib/tunewright
ENV PATH=/opt/venv/bin:/app/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ORT_DISABLE_TELEMETRY=1 \
    OMP_WAIT_POLICY=PASSIVE \
    HOME=/tmp \
    REGISTRY_URI=/var/lib/tunewright/registry \
    REGISTRY_CACHE=/var/lib/tunewright/cache
WORKDIR /app
USER 10001:10001
ARG BASE
LABEL org.opencontainers.image.vendor="Tunewright" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${BASE}"

FROM runtime AS job
COPY --from=job-packages /opt/venv /opt/venv
COPY --from=job-packages /app /app
COPY --from=allocator /opt/allocator /opt/allocator
# The threshold: it would say so on stderr whenever a gigabyte is asked for.
ARG ALLOCATOR=tcmalloc
ENV LD_PRELOAD=${ALLOCATOR:+/opt/allocator/libtcmalloc_minimal.so.4} \
    TCMALLOC_LARGE_ALLOC_REPORT_THRESHOLD=1099511627776
ENV JOB_OUTPUT=/var/lib/tunewright/runs \
    HF_HOME=/var/lib/tunewright/huggingface \
    HF_HUB_DISABLE_TELEMETRY=1
RUN --mount=type=bind,source=docker/imports.py,target=/run/imports.py ["python", "/run/imports.py", "job"]
# A job is watched by its exit code.
HEALTHCHECK NONE
ENTRYPOINT ["python", "-m", "tunewright"]
CMD ["train"]
# Last, so that a new commit costs no layer with packages.
ARG TUNEWRIGHT_COMMIT=""
ARG CREATED=""
ARG SOURCE=""
ENV TUNEWRIGHT_COMMIT=${TUNEWRIGHT_COMMIT}
LABEL org.opencontainers.image.title="Tunewright job" \
      org.opencontainers.image.description="Fine-tunes a Transformer, exports it to ONNX and registers it." \
      org.opencontainers.image.revision="${TUNEWRIGHT_COMMIT}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="${SOURCE}"

FROM runtime AS serving
# glibc otherwise keeps memory of versions that are gone in an arena for each thread: 214 MB in place of 164 after 40 swaps.
ENV MALLOC_ARENA_MAX=2
COPY --from=serving-packages /opt/venv /opt/venv
COPY --from=serving-packages /app /app
# The build ends here if the image could train a model or compile anything, or lacks what the server imports.
RUN --mount=type=bind,source=docker/imports.py,target=/run/imports.py ["python", "/run/imports.py", "serving"]
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, ssl, urllib.request as u; e = os.environ.get; u.urlopen(('https' if e('SERVING_TLS_CERTIFICATE') else 'http') + '://127.0.0.1:' + e('SERVING_PORT', '8080') + '/livez', timeout=4, context=ssl._create_unverified_context())"]
ENTRYPOINT ["python", "-m", "tunewright"]
CMD ["serve"]
ARG TUNEWRIGHT_COMMIT=""
ARG CREATED=""
ARG SOURCE=""
LABEL org.opencontainers.image.title="Tunewright serving" \
      org.opencontainers.image.description="Serves a registered version over HTTP with ONNX Runtime." \
      org.opencontainers.image.revision="${TUNEWRIGHT_COMMIT}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="${SOURCE}"

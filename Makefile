# `make` alone prints this list.
.DEFAULT_GOAL := help
SHELL := /bin/bash

# ONNX Runtime reports to its maker unless told not to before its import; OpenMP's threads burn a processor in waiting.
export ORT_DISABLE_TELEMETRY ?= 1
export OMP_WAIT_POLICY ?= PASSIVE
# Compiled modules are kept, whatever is set around: a start of Python with torch takes half as long.
export PYTHONDONTWRITEBYTECODE :=

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# A module is compiled when it is first imported, which most of these never are.
PIP    := $(BIN)/python -m pip install --disable-pip-version-check --no-compile -q
CONFIG ?= job/examples/reviews/job.yaml
MODEL  ?= reviews@production

# Docker where its daemon answers, else podman. REPOSITORY and TAG are what k8s/ names.
ENGINE      ?= $(shell docker info >/dev/null 2>&1 && echo docker || echo podman)
REPOSITORY  ?= localhost
TAG         ?= 0.1.0
BASE        ?= python:3.11-slim
# Build secrets, never in a layer: a file of certificates, and a pip configuration for an index of your own.
CA          ?= $(SSL_CERT_FILE)
PIP_CONF    ?=
# What the images stand on instead of Python alone, such as BASE where a shell is wanted in them.
RUNTIME_BASE ?=
# The time of every file of an image (podman), so that two builds are equal: SOURCE_DATE_EPOCH=$(git log -1 --format=%ct).
SOURCE_DATE_EPOCH ?=
# Anything else for `build`, such as a volume with wheels that PIP_CONF names.
BUILD_FLAGS ?=
OVERLAY     ?= k8s/overlays/local/job
SUBMIT      ?=

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

train: $(VENV)/.job ## fine-tune the bundled example and register it (CONFIG=your.yaml for your own)
	@$(BIN)/tunewright train --config $(CONFIG)
	@if [ "$(CONFIG)" = job/examples/reviews/job.yaml ]; then echo "next: make serve"; fi

serve: $(VENV)/.job ## serve what `make train` registered (MODEL=name@alias for another)
	@SERVING_HOST=$${SERVING_HOST:-127.0.0.1} $(BIN)/tunewright serve $(MODEL)

test: $(VENV)/.dev ## run the tests that need only Python (ten minutes on two cores)
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not slow and not ceph and not containers"

test-slow: $(VENV)/.dev ## run the heavier tests (CONTRIBUTING.md says what they need)
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "(slow or ceph) and not containers"

check: $(VENV)/.dev site ## ruff, mypy, shellcheck, hadolint, and the site without a dead link
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/shellcheck .ci/*
	$(BIN)/hadolint Dockerfile

docs: $(VENV)/.dev ## write the generated pages and the wings in the README
	$(BIN)/python docs/generate.py

chart: $(VENV)/.dev ## write the Helm chart anew from k8s/serving and k8s/components (needs kubectl)
	PYTHONPATH=docs $(BIN)/python -m writers.chart

pictures: $(VENV)/.dev ## take the pictures of README and docs of what `make train` registered (needs Chromium)
	$(BIN)/python tests/browser/pictures.py

site: $(VENV)/.dev ## write the documents as a site to var/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs -q build --strict

bench: bench-serve bench-start bench-reload bench-soak bench-generate bench-export bench-quantized bench-explain bench-train bench-step bench-scaling bench-few-shot bench-label bench-doctor bench-calibration bench-remedies bench-tune bench-growth bench-rows bench-registry bench-tasks ## every measurement (hours; needs TUNEWRIGHT_DATA)

bench-serve: $(VENV)/.dev ## the server through sockets beside ONNX Runtime alone and others (PEERS="optimum litserve mlserver pipeline infinity"), and under overload
	$(BIN)/python tests/bench/bench_serve.py $(if $(PEERS),--peers $(PEERS))

bench-start: $(VENV)/.dev ## how long a server takes until it answers, and its memory (MODEL=name@alias for another)
	$(BIN)/python tests/bench/bench_start.py --model $(MODEL)

bench-reload: $(VENV)/.dev ## what callers notice while an alias moves a hundred times (MODEL=name@alias for another)
	$(BIN)/python tests/bench/bench_reload.py --model $(MODEL)

bench-soak: $(VENV)/.dev ## right answers and flat memory under swaps, hang-ups, slow callers and floods (MINUTES=20)
	$(BIN)/python tests/bench/bench_soak.py --minutes $(or $(MINUTES),20)

bench-train: $(VENV)/.dev ## tokens per second and accuracy against three Trainer scripts (ROUNDS=5)
	$(BIN)/python tests/bench/bench_train.py --rounds $(or $(ROUNDS),5)

bench-step: $(VENV)/.dev ## what parts of a training step on a processor take
	$(BIN)/python tests/bench/bench_step.py

bench-gpu: $(VENV)/.dev ## training on a GPU: what each switch gives, and whether it is right (TINY=1 without a GPU)
	$(BIN)/python tests/bench/bench_gpu.py $(if $(TINY),--tiny)

bench-scaling: $(VENV)/.dev ## what 1 to 64 processes would give, held against one and two here (SCALING="--told 150 6.5 90.9 --gbit 1")
	$(BIN)/python tests/bench/bench_scaling.py $(SCALING)

bench-growth: $(VENV)/.dev ## memory of a job's data as its rows grow (ROWS="100000 1000000", LABELS=20)
	$(BIN)/python tests/bench/bench_growth.py --rows $(or $(ROWS),100000 1000000) --labels $(or $(LABELS),20)

bench-rows: $(VENV)/.dev ## our readers and row files beside the library datasets
	$(BIN)/python tests/bench/bench_rows.py

bench-tasks: $(VENV)/.dev ## real data sets from a bucket to an answer (SETS="sst2 stsb" for some)
	$(BIN)/python tests/bench/bench_tasks.py $(SETS)

bench-generate: $(VENV)/.dev ## cost per token of the generation loop against optimum
	$(BIN)/python tests/bench/bench_generate.py

bench-export: $(VENV)/.dev ## time, size and making of exported graphs against those of an older commit
	$(BIN)/python tests/bench/bench_export.py

bench-quantized: $(VENV)/.dev ## int8 with one scale a row and with one scale a run: drift from fp32, batches, time
	$(BIN)/python tests/bench/bench_quantized.py

bench-explain: $(VENV)/.dev ## what explanations by masking and by attention are worth (MODEL=name@alias for another)
	$(BIN)/python tests/bench/bench_explain.py --model $(MODEL)

bench-few-shot: $(VENV)/.dev ## banking77 with 8 rows a label: contrastive, plain and frozen, several draws
	$(BIN)/python tests/bench/bench_few_shot.py

bench-label: $(VENV)/.dev ## what choosing the rows to label saves on banking77 against random choice (SEEDS=2)
	$(BIN)/python tests/bench/bench_label.py --seeds $(or $(SEEDS),5)

bench-doctor: $(VENV)/.dev ## labels that the doctor accuses, held against those that are known, and what they are worth (ROWS=4000)
	$(BIN)/python tests/bench/bench_doctor.py --rows $(or $(ROWS),4000)

bench-calibration: $(VENV)/.dev ## how far scores of SST-2 and banking77 are from how often they are right, and what strangers get (SETS="sst2" for some, SEEDS=3)
	$(BIN)/python tests/bench/bench_calibration.py $(SETS) --seeds $(or $(SEEDS),1)

bench-remedies: $(VENV)/.dev ## uneven, few and noisy labels with and without each remedy (SETS="sst2 wnut17" for some, SEEDS=3, RESUME=1)
	$(BIN)/python tests/bench/bench_remedies.py $(SETS) --seeds $(or $(SEEDS),5) $(if $(RESUME),--resume)

bench-distill: $(VENV)/.dev ## fewer layers, alone and taught by the whole model: accuracy, size, time a text (SEEDS=1)
	$(BIN)/python tests/bench/bench_distill.py --seeds $(or $(SEEDS),3)

bench-tune: $(VENV)/.dev ## a job that is told nothing but its data against a Trainer that was tuned (SETS="sst2" for some, SEEDS=3)
	$(BIN)/python tests/bench/bench_tune.py $(SETS) --seeds $(or $(SEEDS),3)

bench-registry: $(VENV)/.dev ## publish and pull beside aws s3 cp and boto3, on Ceph where TUNEWRIGHT_CEPH starts one (MEGABYTES=1000, FILES="3 1000", ROUNDS=3)
	$(BIN)/python tests/bench/bench_registry.py --megabytes $(or $(MEGABYTES),1000) --files $(or $(FILES),3 1000) --rounds $(or $(ROUNDS),3)

bench-bombs: $(VENV)/.dev ## memory and time that small files cost which unfold into large ones
	$(BIN)/python tests/hostile/bombs.py

comma := ,
BUILD = $(if $(filter docker,$(ENGINE)),DOCKER_BUILDKIT=1) $(ENGINE) build --build-arg BASE=$(BASE) \
	--build-arg DEVICE=$(DEVICE) --build-arg PROVIDER=$(PROVIDER) \
	--build-arg TUNEWRIGHT_COMMIT=$$(git rev-parse --verify -q HEAD) \
	--build-arg CREATED=$$(date -u -d @$(or $(SOURCE_DATE_EPOCH),$$(date +%s)) +%Y-%m-%dT%H:%M:%SZ) \
	$(if $(RUNTIME_BASE),--build-arg RUNTIME_BASE=$(RUNTIME_BASE)) \
	$(if $(SOURCE_DATE_EPOCH),$(if $(filter docker,$(ENGINE)),--build-arg SOURCE_DATE_EPOCH=,--timestamp )$(SOURCE_DATE_EPOCH)) \
	$(if $(CA),--secret id=ca$(comma)src=$(CA)) $(if $(PIP_CONF),--secret id=pip_conf$(comma)src=$(PIP_CONF)) $(BUILD_FLAGS)

images: serving-image job-image ## build both images with docker or podman (BASE, RUNTIME_BASE, DEVICE=cpu or cuda, PROVIDER=cuda to serve on GPUs, REPOSITORY, TAG, CA, PIP_CONF, SOURCE_DATE_EPOCH)

serving-image:
	$(BUILD) --target serving -t $(REPOSITORY)/tunewright-serving:$(TAG) .

job-image:
	$(BUILD) --target job -t $(REPOSITORY)/tunewright-job:$(TAG) .

sbom: ## write what each built image holds to var/sbom/*.json, in CycloneDX, for scanners (IMAGES="serving" for one)
	@mkdir -p var/sbom
	@set -e; for name in $(or $(IMAGES),serving job); do \
	  image=$(REPOSITORY)/tunewright-$$name:$(TAG); \
	  digest=$$($(ENGINE) image inspect --format '{{.Id}}' $$image); \
	  $(ENGINE) run --rm -i --entrypoint python $$image - $$image sha256:$${digest#sha256:} < docker/sbom.py > var/sbom/$$name.json; \
	  echo var/sbom/$$name.json; \
	done

sign-image: $(VENV)/.job ## sign the images that were pushed, for clusters that ask for it (SIGNING_KEY=ci.pem, REPOSITORY, TAG, IMAGES="serving" for one)
	@set -e; for name in $(or $(IMAGES),serving job); do \
	  $(BIN)/tunewright sign oci://$(REPOSITORY)/tunewright-$$name:$(TAG) $(if $(SIGNING_KEY),--key $(SIGNING_KEY)); \
	done

submit: $(VENV)/.job ## run a job on Kubernetes and follow it (CONFIG=your.yaml, OVERLAY=k8s/overlays/gpu/job, SUBMIT="--detach")
	@$(BIN)/tunewright submit --overlay $(OVERLAY) $(if $(filter file,$(origin CONFIG)),,--config $(CONFIG)) $(SUBMIT)

install: $(VENV)/.dev ## make .venv with everything a developer needs

# A stamp is one set of packages; a changed lock installs again.
$(VENV)/.made:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Tunewright needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

# The locks are whole: nothing is looked up besides, and each file must have its hash. torch's build for processors alone
# is taken where pip finds it (DEVICE=cpu or cuda settles it), as that for GPUs is several gigabytes.
DEVICE ?=
PROVIDER ?=
TORCH = $(PIP) --no-deps --require-hashes -r requirements/torch-$(1).txt
$(VENV)/.job: $(VENV)/.made requirements/job.txt requirements/torch-cpu.txt requirements/torch-cuda.txt \
  requirements/quickstart.txt requirements/serving.txt pyproject.toml
	$(PIP) --no-deps --require-hashes -r requirements/job.txt -r requirements/quickstart.txt
	$(PIP) --no-deps --require-hashes -r requirements/serving.txt
	$(if $(DEVICE),$(call TORCH,$(DEVICE)),$(call TORCH,cpu) 2>/dev/null || $(call TORCH,cuda))
	$(PIP) --no-deps -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.job requirements/dev.txt
	$(PIP) -r requirements/dev.txt
	@touch $@

# A local build (torch==2.13.0+cpu) is pinned as its version in dev.txt, which has no hashes.
COMPILE = $(BIN)/pip-compile -q --strip-extras --allow-unsafe --no-header --no-annotate \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host
PLAIN = sed -i -E 's/^(torch==[0-9.]+)\+.*/\1/; /^nvidia-|^cuda-|^triton==|^tunewright @/d'
# The package index alone, so that the hashes are those of files that everybody can have.
INDEX_ONLY = PIP_CONFIG_FILE=/dev/null PIP_FIND_LINKS=

lock: $(VENV)/.dev ## pin every package again (requirements/*.txt)
	$(INDEX_ONLY) $(COMPILE) --upgrade --generate-hashes --extra job --extra tune --extra quickstart -o var/lock.txt pyproject.toml
	$(BIN)/python requirements/split.py < var/lock.txt
	$(COMPILE) --generate-hashes --extra serving -c requirements/job.txt -o requirements/serving.txt pyproject.toml \
	  && sed -i "/^#/d; /^tunewright @/d" requirements/serving.txt
	$(COMPILE) --generate-hashes --extra serving --extra tracing -c requirements/serving.txt -o var/tracing.txt pyproject.toml
	$(BIN)/python requirements/beside.py requirements/serving.txt < var/tracing.txt > requirements/tracing.txt
	$(INDEX_ONLY) $(COMPILE) --generate-hashes -c requirements/serving.txt -c requirements/torch-cuda.txt -o var/serving-cuda.txt \
	  requirements/serving-cuda.in
	$(BIN)/python requirements/beside.py requirements/serving.txt < var/serving-cuda.txt > requirements/serving-cuda.txt
	$(COMPILE) --extra dev --extra job --extra serving -c requirements/job.txt -c requirements/quickstart.txt \
	  -c requirements/serving.txt -o requirements/dev.txt pyproject.toml && $(PLAIN) requirements/dev.txt
	$(INDEX_ONLY) $(COMPILE) --generate-hashes --extra tensorboard --extra mlflow --extra wandb -c requirements/job.txt \
	  -c requirements/dev.txt -o var/trackers.txt pyproject.toml
	$(BIN)/python requirements/beside.py requirements/job.txt < var/trackers.txt > requirements/trackers.txt
	$(COMPILE) -o requirements/optimum.txt requirements/optimum.in && $(PLAIN) requirements/optimum.txt
	$(INDEX_ONLY) $(COMPILE) --generate-hashes --all-build-deps --only-build-deps -o requirements/build.txt pyproject.toml \
	  && sed -i "/^#/d; /^$$/d" requirements/build.txt

outdated: $(VENV)/.dev ## locked packages with newer releases: what `make lock` would take, and what the bounds keep out
	@mkdir -p var && rm -f var/allowed.txt
	@$(COMPILE) --extra dev --extra job --extra serving --extra quickstart -o var/allowed.txt pyproject.toml
	@$(BIN)/python -m pip list --disable-pip-version-check --outdated --format json | $(BIN)/python requirements/outdated.py var/allowed.txt

clean: ## remove .venv, var and caches
	rm -rf $(VENV) var build *.egg-info src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

.PHONY: help train serve test test-slow check docs chart pictures site bench bench-serve bench-start bench-reload bench-soak bench-train bench-step bench-gpu bench-scaling bench-tasks bench-generate bench-export bench-quantized bench-explain bench-few-shot bench-label bench-doctor bench-calibration bench-remedies bench-distill bench-tune bench-registry bench-bombs images serving-image job-image sbom sign-image submit install lock outdated clean

# What a user runs: make demo, make test. Everything is installed into .venv.
#
#   TORCH_INDEX=URL     an extra package index, where the plain one serves torch for CUDA
#   CUDA_INDEX=URL      an extra package index for the image with CUDA
#   PYTHON=python3.12   the interpreter that .venv is made with

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= python3
TORCH_INDEX ?=
CUDA_INDEX ?=
IMAGE ?= lesiongen:local
TARGET ?= cpu
BASE_IMAGE ?= python:3.11-slim
DEMO ?= build/demo
DOCKER ?= docker

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
BUILD = DOCKER_BUILDKIT=1 $(DOCKER) build --file infra/images/Dockerfile --build-arg BASE_IMAGE=$(BASE_IMAGE) \
	--build-arg TORCH_INDEX=$(TORCH_INDEX) --build-arg CUDA_INDEX=$(CUDA_INDEX) --build-arg VERSION=$(VERSION)
BIN := .venv/bin
INSTALLED := .venv/.installed
# A file of tests on each core; every process starts its own servers. Long files come in between, not at the end.
PARALLEL := --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: help demo test test-fast lint image sbom image-sbom test-containers test-faults clean

help:
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) \
		--constraint constraints.txt --editable '.[dev]'
	touch $@

$(DEMO)/phantoms: | $(INSTALLED)
	rm -rf $@.partial
	$(BIN)/lesiongen phantoms --output $@.partial
	mv $@.partial $@

demo: $(INSTALLED) | $(DEMO)/phantoms ## run the whole release pipeline on generated lesions (7 minutes on 2 cores)
	$(BIN)/lesiongen pipeline run --source $(DEMO)/phantoms --format image_folder --preset demo --name phantoms

test: lint ## lint, types, layers and all tests but those in containers and of faults
	OMP_NUM_THREADS=1 $(BIN)/pytest $(PARALLEL) -m 'not containers and not faults'

test-fast: $(INSTALLED) ## the tests that start no server and take no longer than seconds each
	OMP_NUM_THREADS=1 $(BIN)/pytest $(PARALLEL) -m 'not server and not slow and not containers and not faults'

lint: $(INSTALLED) ## lint, formatting, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

image: ## build the container image with the Docker Engine at hand (TARGET=cuda: for NVIDIA GPUs)
	$(BUILD) --target $(TARGET) --tag $(IMAGE) .

sbom: $(INSTALLED) ## list what .venv holds, with versions and licences, as CycloneDX: build/sbom.json
	mkdir -p build
	$(BIN)/cyclonedx-py environment --output-reproducible --output-file build/sbom.json .venv

image-sbom: ## the same of the container image of the target cpu: build/image/sbom.json
	$(if $(filter-out cpu,$(TARGET)),$(error image-sbom lists the image of the target cpu alone))
	$(BUILD) --target sbom --output build/image .

test-containers: $(INSTALLED) ## the pipeline in containers, on a Docker Engine that the tests start and stop
	$(BIN)/pytest -m containers --timeout 2400

test-faults: $(INSTALLED) ## trainings and servers are killed, requests broken, files damaged (LESIONGEN_EVERY_FAULT=1: at every point)
	OMP_NUM_THREADS=1 $(BIN)/pytest $(PARALLEL) -m faults

clean: ## remove what the targets made, but not the data of the embedded servers
	rm -rf .venv build dist wheelhouse .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

# The two commands: `make demo` and `make test`. Everything is installed into .venv; nothing outside this folder changes.

PYTHON ?= python3
VENV ?= .venv
# Named by version, since plain `torch` installs gigabytes of CUDA on Linux. Only exports and their tests need it.
TORCH ?= torch==2.13.0

RUN := $(VENV)/bin/python
MODEL ?=
IMAGES ?=
FOCAL ?=
VIEWER ?=
MINUTES ?=
HOURS ?=
SEED ?=
PYTEST_ARGS ?=
# A worker for each core; a worker with nothing left takes tests from another's end. PYTEST_ARGS="-n 4" overrules it.
PARALLEL := --numprocesses auto --dist worksteal
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow ros-tools fuzz soak lock sbom check lint format bench clean

help:
	@echo "make demo        run the ROS 2 node on a rendered camera flight; writes pictures and a point cloud"
	@echo "                 IMAGES=DIR FOCAL=px: your own images (with EXIF data, no FOCAL); MODEL=vit_small: real depth;"
	@echo "                 VIEWER=rerun (or web): watch it live"
	@echo "make test        run all tests but the slow ones, with a worker for each core;"
	@echo "                 PYTEST_ARGS='-n 0 test/camera': some of them, in one process"
	@echo "make test-slow   run the slow tests: large networks, long runs"
	@echo "make fuzz        send hostile messages and read damaged files, 30 minutes (MINUTES=), on two cores; SEED=N goes on"
	@echo "make soak        run camera, node and subscribers for 10 minutes (MINUTES= or HOURS=), and judge memory and counts"
	@echo "make ros-tools   install launch, ros2cli and cv_bridge with apt, so that their tests run too"
	@echo "make lint        run ruff, mypy and the import contracts"
	@echo "make check       run lint, then test"
	@echo "make format      format the sources with ruff"
	@echo "make bench       time models and the node on this machine against baselines; ARGS=--quick: in two minutes"
	@echo "make lock        write requirements/ again from the ranges in setup.py; UPGRADE=yes: with the newest versions"
	@echo "make sbom        write a bill of materials (CycloneDX) of what a node consists of"
	@echo "make clean       remove .venv and everything built"

$(VENV)/created:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))' || { \
	  echo "metric3d_ros needs Python 3.10 to 3.14, and $(PYTHON) is not: name another, as in make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "Python's venv module is missing: sudo apt install python3-venv" >&2; exit 1; }
	@echo "Making $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@touch $@

# A comma would end an argument of $(call).
comma := ,

# Exactly the versions of requirements/ are installed, checked by their hashes, if these fit: Linux on x86_64, Python 3.10
# to 3.14. Else, or with LOCKED=no, the newest versions that setup.py allows.
LOCKED ?= yes
FITS := [ '$(LOCKED)' != no ] && $(RUN) -c 'import platform, sys; \
  sys.exit((sys.platform, platform.machine()) != ("linux", "x86_64") or not (3, 10) <= sys.version_info[:2] <= (3, 14))'
PIP := -m pip install --quiet --progress-bar on

# $(call install,WORDS FOR THE PERSON WAITING,EXTRAS OF setup.py,FILE IN requirements/)
define install
@echo "Installing $(1) into $(VENV) (once; the first time takes a minute or more) ..."
@if $(FITS); then \
  $(RUN) $(PIP) --require-hashes --requirement requirements/$(3).txt && \
  $(RUN) $(PIP) --no-deps --no-build-isolation --editable .; \
else \
  echo "requirements/ does not fit this computer, or LOCKED=no: taking the newest versions that setup.py allows"; \
  $(RUN) $(PIP) --editable '.[$(2)]'; \
fi
@touch $@
endef

$(VENV)/installed-runtime: $(VENV)/created setup.py pyproject.toml requirements/runtime.txt
	$(call install,ROS 2 and ONNX Runtime,ros$(comma)cpu,runtime)

$(VENV)/installed-viewer: $(VENV)/installed-runtime requirements/viewer.txt
	$(call install,the Rerun viewer,ros$(comma)cpu$(comma)viewer,viewer)

$(VENV)/installed-test: $(VENV)/installed-runtime requirements/test.txt
	@echo "Installing PyTorch into $(VENV) ..."
	@$(RUN) $(PIP) '$(TORCH)'
	$(call install,the test tools,ros$(comma)cpu$(comma)viewer$(comma)export$(comma)test,test)

demo: $(VENV)/installed-$(if $(VIEWER),viewer,runtime)
	@$(RUN) -m metric3d_ros.demo \
	  $(if $(MODEL),--model '$(MODEL)') $(if $(IMAGES),--images '$(IMAGES)') $(if $(FOCAL),--focal '$(FOCAL)') \
	  $(if $(VIEWER),--viewer '$(VIEWER)') $(ARGS)

test: $(VENV)/installed-test
	@$(RUN) -m pytest -m "not slow and not alone" $(PARALLEL) --durations 25 $(PYTEST_ARGS) || [ $$? -eq 5 ]
	@$(RUN) -m pytest -m "alone and not slow" $(PYTEST_ARGS) -n 0 || [ $$? -eq 5 ]

test-slow: $(VENV)/installed-test
	@$(RUN) -m pytest -m slow $(PYTEST_ARGS)

# No package index has launch, ros2cli and cv_bridge; the ROS 2 apt repository does.
ROS_DISTRO ?= jazzy
ROS_TOOLS := ros2launch ros2run ros2topic ros2param ros2node ros2service ros2bag cv-bridge
ROS_PACKAGES := $(ROS_TOOLS:%=ros-$(ROS_DISTRO)-%)

ros-tools:
	@apt-cache show $(ROS_PACKAGES) >/dev/null 2>&1 || { \
	  echo "apt does not offer $(firstword $(ROS_PACKAGES)): add the ROS 2 apt repository (docs.ros.org, Installation)," >&2; \
	  echo "or name your distribution, as in make ros-tools ROS_DISTRO=kilted" >&2; exit 1; }
	@$(if $(filter 0,$(shell id -u)),,sudo) apt-get install --yes $(ROS_PACKAGES)
	@echo "The tests of launch and cv_bridge run too from now on: source /opt/ros/$(ROS_DISTRO)/setup.bash && make test"

# What both leave on the network stays on this machine.
RELIABILITY := ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST PYTHONPATH=test/support:test/reliability $(RUN) -m
DURATION = $(if $(HOURS),--minutes $$(($(HOURS) * 60)),$(if $(MINUTES),--minutes $(MINUTES)))

fuzz: $(VENV)/installed-test
	@$(RELIABILITY) fuzz $(DURATION) $(if $(SEED),--seed $(SEED)) $(ARGS)

soak: $(VENV)/installed-test
	@$(RELIABILITY) soak $(DURATION) $(if $(SEED),--seed $(SEED)) $(ARGS)

lint: $(VENV)/installed-test
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy
	@$(VENV)/bin/lint-imports

check: lint test

format: $(VENV)/installed-test
	@$(RUN) -m ruff check --fix .
	@$(RUN) -m ruff format .

# PyTorch is left out: which build of it is right depends on the GPU. One file serves all versions of Python.
define lock
@$(TOOLS)/bin/uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-header --no-annotate \
  --excludes requirements/left_out.in $(2) setup.py requirements/build.in --output-file requirements/$(1).txt \
  $(if $(UPGRADE),--upgrade)
endef
TOOLS := $(VENV)/tools

$(TOOLS)/installed: $(VENV)/created
	@$(RUN) -m venv $(TOOLS)
	@$(TOOLS)/bin/python $(PIP) uv==0.13.9 cyclonedx-bom==7.5.0
	@touch $@

lock: $(TOOLS)/installed
	$(call lock,test,--extra ros --extra cpu --extra viewer --extra export --extra test)
	$(call lock,viewer,--extra ros --extra cpu --extra viewer --constraint requirements/test.txt)
	$(call lock,runtime,--extra ros --extra cpu --constraint requirements/test.txt)

# Of an environment that holds only what users of the node get.
sbom: $(TOOLS)/installed
	@rm -rf build/sbom
	@$(RUN) -m venv build/sbom/environment
	@build/sbom/environment/bin/python $(PIP) --require-hashes --requirement requirements/runtime.txt
	@build/sbom/environment/bin/python $(PIP) --no-deps --no-build-isolation .
	@$(TOOLS)/bin/cyclonedx-py environment --output-reproducible --output-file build/sbom/metric3d_ros.cdx.json \
	  build/sbom/environment/bin/python
	@rm -rf build/sbom/environment
	@echo "build/sbom/metric3d_ros.cdx.json lists what a node consists of (CycloneDX)"

bench: $(VENV)/installed-test
	@mkdir -p bench_output
	@$(VENV)/bin/metric3d bench --json bench_output/bench.json --picture bench_output/bench.png $(ARGS)

clean:
	rm -rf $(VENV) build install log *.egg-info demo_output bench_output .pytest_cache .mypy_cache .ruff_cache .hypothesis

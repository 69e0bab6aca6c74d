# make demo         grow and prune a small network, results in runs/demo
# make test         lint, every test on TensorFlow, the backend-neutral tests on JAX
# make test-torch   the backend-neutral tests on PyTorch, in an environment without TensorFlow
#
# Each target makes the environment that it needs, inside the checkout, and uses it again until a file that says what to
# install changes.

# A version manager may put a python3.11 on the path that does not run, so try it out.
# Another interpreter: make PYTHON=/path/to/python demo
PYTHON ?= $(shell for p in python3.11 python3; do $$p --version >/dev/null 2>&1 && echo $$p && break; done)

# The variables reach pip's isolated build environments too, where a --constraint option does not: pip before 25.3 reads
# the first one there, later releases the second.
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Twice quiet: errors alone.
INSTALL = -m pip install -qq

DEMO_EXTRAS := demo
TEST_EXTRAS := demo,data,export,micro,jax,report,tensorboard,tfmot,test
TORCH_EXTRAS := torch,test

# What has to hold on every Keras backend.
CORE_TESTS := tests/structure tests/surgery tests/saliency tests/policy tests/callbacks tests/distribution tests/zoo \
	tests/statistics tests/test_cost.py

# What holds on PyTorch alone.
TORCH_TESTS := tests/examples/test_fused_kernels.py

# What runs beside the rest on TensorFlow.
BESIDE_TESTS := tests/report tests/examples/test_train.py tests/tflite_export/fpga \
	$(filter-out %/test_tfmot.py,$(wildcard tests/tflite_export/test_*.py))

PINS := setup.py pyproject.toml constraints.txt

.PHONY: demo test test-torch clean
.NOTPARALLEL:

demo: .venv/demo.stamp
	.venv/bin/python examples/grow_and_prune.py --out=runs/demo

test: .venv/test.stamp
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	@# Side by side: each suite keeps one core busy, JAX's with compiling. Behind it comes what balances the two.
	@# XLA compiles every small step once and runs it a few times: without optimization that takes a quarter less.
	@{ XLA_FLAGS=--xla_backend_optimization_level=0 KERAS_BACKEND=jax .venv/bin/python -m pytest -q $(CORE_TESTS); jax=$$?; \
	KERAS_BACKEND=tensorflow .venv/bin/python -m pytest -q $(BESIDE_TESTS) && exit $$jax; } >.venv/beside.log 2>&1 & \
	beside=$$!; \
	KERAS_BACKEND=tensorflow .venv/bin/python -m pytest -q $(addprefix --ignore=,$(BESIDE_TESTS)); status=$$?; \
	wait $$beside || status=$$?; cat .venv/beside.log; exit $$status

test-torch: .venv-torch/test.stamp
	KERAS_BACKEND=torch .venv-torch/bin/python -m pytest -q $(CORE_TESTS) $(TORCH_TESTS)

clean:
	rm -rf .venv .venv-torch runs build *.egg-info .pytest_cache .ruff_cache .hypothesis

.venv/demo.stamp: $(PINS)
	$(PYTHON) -m venv .venv
	.venv/bin/python $(INSTALL) --editable ".[$(DEMO_EXTRAS)]"
	touch $@

.venv/test.stamp: $(PINS)
	$(PYTHON) -m venv .venv
	.venv/bin/python $(INSTALL) --editable ".[$(TEST_EXTRAS)]"
	touch $@

.venv-torch/test.stamp: $(PINS)
	$(PYTHON) -m venv .venv-torch
	.venv-torch/bin/python $(INSTALL) --editable ".[$(TORCH_EXTRAS)]"
	touch $@

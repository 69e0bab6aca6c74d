"""Arbitrary graphs: whatever `find_groups` calls free can be edited, and the function stays.

`RANDOM_GRAPHS=1000` in the environment tries as many graphs as it says.
"""

import os

import keras
import pytest
from hypothesis import HealthCheck, given, settings

from tests.equalities import check_edits
from tests.models import randomize
from tests.random_graphs import build, programs, random_inputs

# JAX compiles every operation anew for every shape: seconds a graph.
USUAL = {"tensorflow": 200, "torch": 200, "jax": 5}
GRAPHS = int(os.environ.get("RANDOM_GRAPHS", USUAL[keras.backend.backend()]))


@pytest.mark.usefixtures("quick_weights")
@settings(max_examples=GRAPHS, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(programs())
def test_edits_of_random_graphs(program):
    model = build(program)
    randomize(model)
    check_edits(model, random_inputs(model))

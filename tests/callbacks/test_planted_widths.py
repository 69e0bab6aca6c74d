"""A task whose widths are known: two branches of a teacher, 3 and 9 units of equal weight, found again by the student.

The student starts with 2 units in each branch. Its units cost the same in both, and the target is the cost of the
teacher, so that the criterion alone decides where they end up. Saliencies are compared as they are, without a division
by those of their group: dividing takes away what tells a branch that is too wide from one that is not, because units
that share the work of one are small together.

Criteria that rank the units of one layer are not asked: `fpgm` adds up distances to all others, which grow with the
layer's width, `apoz` is about one half for every unit with a ReLU, and `random` knows nothing.
"""

import keras
import numpy as np
import pytest
from keras import layers

import cgap_keras
from cgap_keras import GrowthPolicy, PruningPolicy, StructureCallback, find_groups

# It says nothing of the backend, and on TensorFlow many steps are one call.
pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tried on TensorFlow")

TEACHER = {"left": 3, "right": 9}
FEATURES, EXAMPLES, BATCH, CAPACITY = 12, 8192, 64, 20


def task(seed):
    """Inputs of two branches, and what a teacher of orthogonal units makes of them, each in a direction of its own."""
    rng = np.random.default_rng(seed)
    inputs = [rng.normal(size=(EXAMPLES, FEATURES)).astype("float32") for _ in TEACHER]
    units = [orthogonal(rng)[:, :width] for width in TEACHER.values()]
    hidden = np.concatenate([np.maximum(x @ w, 0) for x, w in zip(inputs, units, strict=True)], axis=1)
    return inputs, ((hidden - hidden.mean(axis=0)) @ orthogonal(rng)).astype("float32")


def orthogonal(rng):
    return np.linalg.qr(rng.normal(size=(FEATURES, FEATURES)))[0]


def student(width=2):
    inputs = [keras.Input((FEATURES,)) for _ in TEACHER]
    branches = [layers.Dense(width, "relu", name=name)(x) for name, x in zip(TEACHER, inputs, strict=True)]
    model = keras.Model(inputs, layers.Dense(FEATURES, name="out")(layers.Concatenate()(branches)))
    model.compile(keras.optimizers.Adam(0.03), loss="mse", steps_per_execution=EXAMPLES // BATCH // 2)
    return model


def params(units):
    """What a student costs with so many units in all: the same, in whichever branch they are."""
    one, two = (cgap_keras.cost(student(width)).params for width in (1, 2))
    return one + (two - one) * (units - 2) // 2


def found_widths(criterion, seed, normalize="none"):
    """The widths that growth ends with, and those that pruning ends with."""
    keras.utils.set_random_seed(seed)
    model, (x, y) = student(), task(seed)
    phases = (
        GrowthPolicy(params(CAPACITY), rate=1.0, normalize=normalize),
        PruningPolicy(params(sum(TEACHER.values())), 3, "linear", round_to=1, normalize=normalize),
    )
    callback = StructureCallback(phases, criterion=criterion, seed=seed)
    model.fit(x, y, batch_size=BATCH, epochs=7, verbose=0, callbacks=[callback])
    assert callback.finished
    grown = [edit.widths for edit in callback.history if edit.kind == "grow"][-1]
    return grown, {group.name: group.size for group in find_groups(model) if not group.frozen}


@pytest.mark.parametrize("criterion", ["taylor", "fisher", "l2"])
def test_the_widths_of_the_teacher_come_out(criterion):
    grown, pruned = found_widths(criterion, seed=0)
    assert sum(grown.values()) == CAPACITY and grown["right"] > grown["left"]
    assert sum(pruned.values()) == sum(TEACHER.values())
    assert abs(pruned["left"] - TEACHER["left"]) <= 1

"""Arbitrary functional models: a hypothesis strategy of programs, and what makes a model of one.

A program is data, so that a failure prints it and hypothesis can shrink it: the model's inputs, a row of steps, and how
the tensors that nothing read become outputs. Each step applies one operation of `tests/random_steps.py` to tensors that
are there already and adds what comes out to them. Whatever is drawn makes a model: operands are adapted to each other,
and a step that does not fit is left out.
"""

import dataclasses

import keras
import numpy as np
from hypothesis import strategies as st
from keras import layers

from tests.random_steps import STEPS, Pick, classify

TOKENS = 7
INPUTS = {
    "image": lambda: keras.Input((6, 5, 2)),
    "vector": lambda: keras.Input((4,)),
    "sequence": lambda: keras.Input((5, 3)),
    "tokens": lambda: keras.Input((4,), dtype="int32"),
    "video": lambda: keras.Input((3, 4, 4, 2)),
}
MOST_OUTPUTS = 3
# Keras on TensorFlow takes a number for each example for a bias where there are as many examples as channels.
BATCH = 13


@dataclasses.dataclass(frozen=True)
class Step:
    """One operation of a program.

    Attributes:
        kind: Its name in the table of steps.
        operand: The tensor that it is applied to, counted back from the newest one.
        other: The second tensor, for an operation of two.
        variant: A number from which the operation reads its options; 0 is the plainest.
        inner: The steps of a nested model.
    """

    kind: str
    operand: int = 0
    other: int = 1
    variant: int = 0
    inner: tuple = ()


@dataclasses.dataclass(frozen=True)
class Program:
    """What a random model is made from.

    Attributes:
        inputs: Names in `INPUTS`.
        steps: A tuple of `Step`.
        head: A number from which the layers that make the outputs read their options.
    """

    inputs: tuple
    steps: tuple
    head: int = 0


def programs(max_steps=9):
    """A strategy of programs; it shrinks towards few plain steps, one after the other."""
    inputs = st.lists(st.sampled_from(list(INPUTS)), min_size=1, max_size=2).map(tuple)
    variants = st.integers(0, 9999)
    place = st.integers(0, 5)
    nested = ("nest", "nest_pair")
    plain = st.builds(Step, st.sampled_from([kind for kind in STEPS if kind not in nested]), place, place, variants)
    inner = st.lists(plain, min_size=1, max_size=3).map(tuple)
    nesting = st.builds(Step, st.sampled_from(nested), place, place, variants, inner)
    steps = st.lists(st.one_of(plain, plain, plain, plain, plain, nesting), min_size=1, max_size=max_steps)
    return st.builds(Program, inputs, steps.map(tuple), variants)


def build(program):
    """The model of a program."""
    inputs = [INPUTS[name]() for name in program.inputs]
    tensors, read = run_steps([_embed(x) for x in inputs], program.steps)
    pick = Pick(program.head)
    unread = [x for x in tensors if id(x) not in read][-MOST_OUTPUTS:]
    return keras.Model(_alone(inputs), [classify(x, pick) for x in unread])


def run_steps(tensors, steps):
    """Applies steps to tensors; returns all tensors, the new ones last, and the ids of those that a step has read."""
    tensors, read = list(tensors), set()
    for step in steps:
        x, other = (tensors[-1 - i % len(tensors)] for i in (step.operand, step.other))
        if step.inner:
            made = _nest(step, x, other)
        else:
            made = STEPS[step.kind](x, other, Pick(step.variant))
        if made is not None:
            made = made if isinstance(made, list) else [made]
            read.update(map(id, (x, other) if STEPS[step.kind].reads_both else (x,)))
            tensors += made
    return tensors, read


def _embed(x):
    return layers.Embedding(TOKENS, 4)(x) if x.dtype == "int32" else x


def _nest(step, x, other):
    """A functional model inside the model, with the tensors that nothing reads inside as its outputs."""
    outside = [x, other] if step.kind == "nest_pair" else [x]
    inside = [keras.Input(tensor.shape[1:]) for tensor in outside]
    tensors, read = run_steps(inside, step.inner)
    outputs = [tensor for tensor in tensors[len(inside) :] if id(tensor) not in read]
    if not outputs:
        return None
    model = keras.Model(_alone(inside), outputs)
    return keras.tree.flatten(model(_alone(outside)))


def _alone(tensors):
    """The tensor of a list of one, the list otherwise."""
    return tensors if len(tensors) > 1 else tensors[0]


def random_inputs(model, batch=BATCH, seed=0):
    """Inputs of a model, as a list: normal numbers, or token numbers where it takes integers."""
    rng = np.random.default_rng(seed)
    return [
        rng.integers(0, TOKENS, (batch, *x.shape[1:])).astype(x.dtype)
        if x.dtype == "int32"
        else rng.normal(size=(batch, *x.shape[1:])).astype("float32")
        for x in model.inputs
    ]

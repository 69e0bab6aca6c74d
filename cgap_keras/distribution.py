"""Several devices and several processes: where variables lie, what is added up over devices, what processes agree on.

On TensorFlow one process trains on several devices, each with a copy of the variables and a part of every batch. On JAX
several processes run the same program, each with a part of every batch, on arrays that span them all. What is here lets
an edit do as Keras's own training does.
"""

import contextlib
import pickle
import sys

import keras
import numpy as np

# By name: TensorFlow is not imported, and the first one is not public.
_STRATEGIES = ("_DefaultDistributionStrategy", "OneDeviceStrategy", "MirroredStrategy")


_OTHER_STRATEGY = (
    "The structure of a model can change under `tf.distribute.MirroredStrategy` alone. For several machines, "
    "for which Keras 3 has no strategy of TensorFlow's (keras-team/keras#20585), use the JAX backend with "
    "`keras.distribution.initialize` and `keras.distribution.DataParallel`; docs/training.md says how. Received: "
)


def check_cluster():
    """Raises a `ValueError` if TensorFlow works in a cluster of several machines.

    Of that `fit` has to be kept before it begins: Keras raises an error of its own there, before any callback is asked.
    """
    context = sys.modules.get("tensorflow.python.eager.context")
    if keras.backend.backend() != "tensorflow" or context is None:
        return
    # What `MultiWorkerMirroredStrategy` sets, and nothing public tells.
    server = getattr(context.context(), "_collective_ops_server_def", None)
    machines = 0 if server is None else sum(len(job.tasks) for job in server.cluster.job)
    if machines > 1:
        raise ValueError(f"{_OTHER_STRATEGY}strategy=MultiWorkerMirroredStrategy on {machines} machines")


def check_distribution(model):
    """Raises a `ValueError` if the model is spread over devices in a way that an edit does not keep."""
    strategy = getattr(model, "distribute_strategy", None)
    if strategy is not None and type(strategy).__name__ not in _STRATEGIES:
        raise ValueError(f"{_OTHER_STRATEGY}strategy={type(strategy).__name__}")
    distribution = keras.distribution.distribution()
    is_known = isinstance(distribution, keras.distribution.DataParallel) and keras.backend.backend() == "jax"
    if distribution is not None and not is_known:
        raise ValueError(
            "The structure of a model can change under `keras.distribution.DataParallel` on the JAX backend alone: "
            "widths that change do not go on dividing by a number of devices. "
            f"Received: distribution={type(distribution).__name__}, backend={keras.backend.backend()!r}"
        )


def placement(model):
    """A context in which new variables lie where the model's do.

    On TensorFlow that is on every device of its strategy; JAX's variables know their layout themselves.
    """
    strategy = getattr(model, "distribute_strategy", None)
    return contextlib.nullcontext() if strategy is None else strategy.scope()


def sum_over_devices(optimizer, gradients):
    """The gradients of the whole batch, in a step of training.

    On TensorFlow `optimizer.apply` receives on each device the gradients of that device's part of the batch, scaled so
    that they add up. Elsewhere it receives those of the whole batch.

    Args:
        optimizer: The optimizer that received them.
        gradients: A list of `(gradient, variable)` pairs.

    Returns:
        The same pairs, with the sums.
    """
    add_up = getattr(optimizer, "_all_reduce_sum_gradients", None)
    return add_up(gradients) if add_up else gradients


def agree(value):
    """A value as the first process of the distribution has it, on every process; all of them have to call it.

    Floats that were computed from the same numbers on machines of different kinds can differ in the last digit, and
    processes that decide by them then go different ways.

    Args:
        value: Anything that pickle can hold.

    Returns:
        The value itself without a distribution of several processes.
    """
    if not has_several_processes():
        return value
    own = np.frombuffer(pickle.dumps(value), np.uint8)
    sent = np.zeros(_of_first(np.array(len(own), np.int32)), np.uint8)
    sent[: len(own)] = own[: len(sent)]
    return pickle.loads(_of_first(sent).tobytes())


def is_first_process():
    """Whether this is the process that speaks for all."""
    if not has_several_processes():
        return True
    import jax

    return jax.process_index() == 0


def has_several_processes():
    """Whether this process is one of several that train one model."""
    distribution = keras.distribution.distribution()
    return distribution is not None and distribution.num_processes > 1


def _of_first(array):
    from jax.experimental import multihost_utils

    return multihost_utils.broadcast_one_to_all(array)

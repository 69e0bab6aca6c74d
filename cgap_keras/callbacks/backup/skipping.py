"""Passing over the batches of an epoch that have been trained on before.

`fit` hands the data's iterator to `model.train_function`, which it looks up anew at every step. So a step is passed
over by a function that takes its batches and does nothing with them, on every backend.
"""

import itertools


def skip_next_step(model, logs):
    """Lets the next step of `fit` take its batches from the data and leave the model as it is.

    Args:
        model: The model in training.
        logs: What the step is to report.
    """
    train_function = model.train_function

    def take_batches(*arguments):
        # Once: a training that is interrupted now must not leave behind a model that does not train.
        model.train_function = train_function
        # JAX hands over the training's state as well, PyTorch the batches themselves.
        *state, source = arguments
        batches = source if isinstance(source, list) else list(itertools.islice(source, model.steps_per_execution))
        if not batches:
            raise StopIteration
        # TensorFlow makes the variables of metrics at the first step.
        model._symbolic_build(data_batch=batches[0])
        return (dict(logs), *state) if state else dict(logs)

    model.train_function = take_batches

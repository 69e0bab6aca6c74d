"""Writing a draft into the live model: every private attribute of Keras that the library changes is named here.

Layers, variables and the optimizer keep their identity, so that whoever holds a reference to one (another callback, a
shared layer, the user) goes on holding the right one. Keras's own `Model.quantize` and `Layer.enable_lora` change
layers in place in the same way.
"""

import keras

from cgap_keras.structure.graph import is_nested_model
from cgap_keras.surgery.arrays import shape_of_tensor
from cgap_keras.surgery.subclasses import edited_class


def resize_variables(pairs, transaction):
    """Gives variables values of other shapes; each `keras.Variable` stays the same object.

    Args:
        pairs: `(variable, tensor)` pairs.
        transaction: The `Transaction`.
    """
    for (variable, value), content in zip(pairs, _contents(pairs), strict=True):
        resize_variable(variable, shape_of_tensor(value), content, transaction)


def resize_variable(variable, shape, content, transaction):
    """Gives a variable another shape and what it holds from now on, see `_contents`."""
    transaction.keep(variable, "_value", "_shape", "_initializer")
    variable._shape = shape
    variable._initialize(content)


def _contents(pairs):
    """What variables can be initialised with: tensors, or on TensorFlow `tf.Variable`s like those that they have."""
    if keras.backend.backend() != "tensorflow":
        return [value for _, value in pairs]
    from cgap_keras.surgery.tensorflow_variables import new_variables

    return new_variables([(variable._value, value) for variable, value in pairs])


def update_layer(layer, attributes, transaction):
    """Gives a layer, or a part of one, the attributes that `likeness.differences` found."""
    for name, value in attributes.items():
        transaction.set(layer, name, value)


def update_tensor(tensor, shape, transaction):
    """Gives a symbolic tensor another shape."""
    transaction.set(tensor, "_shape", tuple(shape))


def update_input(layer, shape, transaction):
    """Gives the input layer of a nested model another shape."""
    transaction.set(layer, "_batch_shape", tuple(shape))


def update_stack(model, shape, transaction):
    """Gives a nested Sequential model another shape that it says it was built on."""
    if model._build_shapes_dict is not None:
        transaction.set(model, "_build_shapes_dict", dict.fromkeys(model._build_shapes_dict, tuple(shape)))


def update_classes(model, layers, transaction):
    """Lets the model, and the models inside it, that hold some edited layers be saved by their graph."""
    edited = {id(layer) for layer in layers}
    for part in model._flatten_layers():
        if is_nested_model(part) and any(id(layer) in edited for layer in part._flatten_layers()):
            transaction.set_class(part, edited_class(type(part)))


def update_optimizer_keys(optimizer, transaction):
    """Lets an optimizer find its variables again; on TensorFlow it knows them by the tensor inside."""
    for inner in unwrap_optimizers(optimizer):
        if inner.built:
            keys = {inner._var_key(variable): i for i, variable in enumerate(inner._trainable_variables)}
            transaction.set(inner, "_trainable_variables_indices", keys)
            if "_var_to_optimizer_idx" in vars(inner):
                chosen = inner._var_to_optimizer_idx.values()
                transaction.set(inner, "_var_to_optimizer_idx", dict(zip(keys, chosen, strict=True)))


def update_torch_parameters(model, replaced, transaction):
    """Lets PyTorch's modules register new parameters in the place of old ones; elsewhere there is nothing to do.

    Args:
        model: The model.
        replaced: `{id(old value): variable that has a new one}`.
        transaction: The `Transaction`.
    """
    if keras.backend.backend() != "torch":
        return
    for layer in model._flatten_layers():
        parameters = layer._modules["_torch_params"]._parameters if "_torch_params" in layer._modules else {}
        for path, value in parameters.items():
            if id(value) in replaced:
                transaction.set_item(parameters, path, replaced[id(value)].value)


def unwrap_optimizers(optimizer):
    """An optimizer and those inside it, the outermost first."""
    if optimizer is not None:
        yield optimizer
        for inner in getattr(optimizer, "optimizers", (getattr(optimizer, "inner_optimizer", None),)):
            yield from unwrap_optimizers(inner)


def pull_state(model):
    """Brings the variables up to date: during `fit` on JAX their values live in the training loop."""
    if keras.backend.backend() == "jax" and hasattr(model, "jax_state_sync"):
        model.jax_state_sync()


def keep_state(model, transaction):
    """Notes what `push_state` changes."""
    transaction.keep(model, "_jax_state", "_jax_state_synced", "train_function", "test_function", "predict_function")


def push_state(model):
    """Makes the training loop go on from the variables as they are now, with functions traced anew."""
    if keras.backend.backend() == "jax":
        model._jax_state = None
        model._jax_state_synced = True
    for kind in ("train", "test", "predict"):
        if getattr(model, f"{kind}_function", None) is not None:
            getattr(model, f"make_{kind}_function")(force=True)


def release_functions(values):
    """Lets go of the functions that were traced with values that variables had before; nothing else to do elsewhere."""
    if keras.backend.backend() == "tensorflow":
        from cgap_keras.surgery.tensorflow_graphs import release_graphs

        release_graphs(values)

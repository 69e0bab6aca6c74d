"""Writing a draft into the live model: every private attribute of Keras that the library changes is named here.

Layers, variables and the optimizer keep their identity, so that whoever holds a reference to one (another callback, a
shared layer, the user) goes on holding the right one. Keras's own `Model.quantize` and `Layer.enable_lora` change
layers in place in the same way.
"""

import functools

import keras

from cgap_keras.structure.graph import is_nested_model
from cgap_keras.surgery.attributes import PLAIN
from cgap_keras.surgery.subclasses import edited_class


def resize_variable(variable, value, transaction):
    """Gives a variable a value of another shape, a tensor; the `keras.Variable` stays the same object."""
    transaction.keep(variable, "_value", "_shape", "_initializer")
    variable._shape = tuple(value.shape)
    variable._initialize(value)


def update_layer(layer, draft, transaction):
    """Gives a layer the sizes of its draft: every plain attribute in which they differ.

    Plain attributes are numbers, strings, shapes, input specifications and what is made of them. Variables, sublayers,
    functions and objects stay the layer's own, and so does what Keras keeps about every layer: its place in the graph,
    how it was made, what tracks it.
    """
    for name, value in vars(draft).items():
        known = name in vars(layer) and name not in _bookkeeping()
        if known and _is_plain(value) and not are_equal(vars(layer)[name], value):
            transaction.set(layer, name, value)
    if getattr(layer.get_config, "_is_default", False):
        # What a class without a `get_config` of its own is saved by.
        transaction.set(layer, "_auto_config", draft._auto_config)
    for part, new in zip(getattr(layer, "_layers", ()), getattr(draft, "_layers", ()), strict=True):
        update_layer(part, new, transaction)


def plain_attributes(layer):
    """The attributes of a layer that `update_layer` would change, by name."""
    return {name: x for name, x in vars(layer).items() if name not in _bookkeeping() and _is_plain(x)}


def are_equal(left, right):
    """Whether two plain values are equal in type and content."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(are_equal(left[key], right[key]) for key in left)
    if isinstance(left, keras.InputSpec) and isinstance(right, keras.InputSpec):
        return left.get_config() == right.get_config()
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return len(left) == len(right) and all(are_equal(a, b) for a, b in zip(left, right, strict=True))
    return type(left) is type(right) and left == right


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


def update_torch_parameters(model, transaction):
    """Lets PyTorch's modules register the parameters anew; elsewhere there is nothing to do."""
    if keras.backend.backend() != "torch":
        return
    for layer in model._flatten_layers():
        if "_torch_params" in layer._modules:
            transaction.set_item(layer._modules, "_torch_params", layer._modules["_torch_params"])
            layer._track_variables()


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


def push_state(model):
    """Makes the training loop go on from the variables as they are now, with functions traced anew."""
    if keras.backend.backend() == "jax":
        model._jax_state = None
        model._jax_state_synced = True
    if getattr(model, "train_function", None) is not None:
        model.make_train_function(force=True)
    model.test_function = None
    model.predict_function = None


@functools.cache
def _bookkeeping():
    """The attributes that a layer without a width has, but for the two that hold shapes."""
    return frozenset(vars(keras.layers.Layer(name="bookkeeping"))) - {"_input_spec", "_build_shapes_dict"}


def _is_plain(value):
    if isinstance(value, (list, tuple)):
        return all(_is_plain(item) for item in value)
    if isinstance(value, dict):
        return all(_is_plain(item) for item in value.values())
    return isinstance(value, (*PLAIN, keras.InputSpec))

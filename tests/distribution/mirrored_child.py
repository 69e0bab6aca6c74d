"""Trains on two devices of TensorFlow's; a process of its own, because devices are set up before TensorFlow starts."""

import sys

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context

import cgap_keras
from tests.distribution import training
from tests.models import difference, random_inputs, run_model


def main(path):
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    # Collective communication, which this one uses, has to be set up before all else.
    several_machines = tf.distribute.MultiWorkerMirroredStrategy()
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = training.network(synchronized=True)
    result = training.result_of(model, training.train(model))
    replicas = replica_differences(model)
    training.write(
        path,
        result=result,
        replicas=replicas,
        permuted=permute_in_training(model),
        rebuilt=rebuild_elsewhere(model),
        refused=refusals(several_machines),
    )


def replica_differences(model):
    """How many devices hold each variable, and by how much their copies differ."""
    copies = [[x.numpy() for x in v.value.values] for v in [*model.weights, *model.optimizer.variables]]
    return [[len(values), float(np.max(np.abs(values[0] - values[-1])))] for values in copies]


def reversal(model):
    return {g.name: list(range(g.size))[::-1] for g in cgap_keras.find_groups(model) if not g.frozen}


def permute_in_training(model):
    """By how much reordering every group between two epochs of `fit` changes predictions; and the losses."""
    (x, y, size), differences = training.data(), []

    def permute(epoch, logs=None):
        if epoch == 1:
            before = model.predict(x, verbose=0)
            cgap_keras.apply(model, reversal(model))
            differences.append(float(np.max(np.abs(model.predict(x, verbose=0) - before))))

    callback = keras.callbacks.LambdaCallback(on_epoch_begin=permute)
    fitted = model.fit(x, y, batch_size=size, epochs=2, shuffle=False, verbose=0, callbacks=[callback])
    return {"difference": differences[0], "losses": fitted.history["loss"]}


def rebuild_elsewhere(model):
    """By how much the predictions of a copy, made outside the strategy, differ."""
    inputs = random_inputs(model)
    copy = cgap_keras.rebuild(model, reversal(model))
    return float(difference(run_model(model, inputs), run_model(copy, inputs)))


def refusals(strategy):
    """What `fit` and `apply` say to a strategy for several machines."""
    x, y, size = training.data()
    with strategy.scope():
        model = training.network()
    return [
        message_of(lambda: model.fit(x, y, batch_size=size, verbose=0, callbacks=[cgap_keras.CGaP(160, 90)])),
        message_of(lambda: cgap_keras.apply(model, reversal(model))),
        message_in_a_cluster(),
    ]


def message_in_a_cluster():
    """What `CGaP` says where the strategy has joined two machines, which does not reach the begin of training."""
    cluster = tf.train.ClusterSpec({"worker": ["127.0.0.1:1", "127.0.0.1:2"]}).as_cluster_def()
    known = context.context()
    before = known._collective_ops_server_def
    known._collective_ops_server_def = tf.train.ServerDef(cluster=cluster, job_name="worker", task_index=0)
    try:
        return message_of(lambda: cgap_keras.CGaP(160, 90))
    finally:
        known._collective_ops_server_def = before


def message_of(call):
    try:
        call()
    except ValueError as error:
        return str(error)
    return ""


if __name__ == "__main__":
    main(sys.argv[1])

"""One of several processes of JAX's that train one model together."""

import sys

import keras

import cgap_keras
from cgap_keras.distribution import agree, is_first_process
from cgap_keras.saliency import Criterion
from tests.distribution import training


def main(address, processes, number, path):
    keras.distribution.initialize(address, processes, number)
    keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
    keras.utils.set_random_seed(0)
    model = training.network()
    result = training.result_of(model, training.train(model, number, processes))
    training.write(path, result=result, apart=train_apart(model, number, processes), speaks=is_first_process())


def train_apart(model, number, processes):
    """Everything at odds in which processes can be: scores, seeds, plans, values of other lengths."""
    weigh = keras.ops.abs if number == 0 else lambda weight: 1 / keras.ops.abs(weight)

    def own(slices):
        return keras.ops.sum(weigh(slices.kernels[0]), axis=0) if slices.kernels else None

    criterion = Criterion("own", own)
    cgap = training.train(model, number, processes, epochs=2, seed=None, criterion=criterion)
    sizes = {group.name: group.size for group in cgap_keras.find_groups(model)}
    cgap_keras.apply(model, {"hidden": range(sizes["hidden"] - number)}, noise=0.5, seed=number)
    return {**training.result_of(model, cgap), "agreed": agree("first" if number == 0 else "the second")}


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])

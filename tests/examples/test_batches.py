"""Batches: every epoch has an order of its own, which the seed and the epoch decide, also in `fit`."""

import keras
import numpy as np

from examples.batches import ShuffledBatches


def make(seed=0, batch_size=4):
    images = np.arange(10, dtype="uint8").reshape(10, 1, 1, 1)
    return ShuffledBatches(images, np.arange(10), batch_size, seed)


def order(batches, epoch):
    batches.begin_epoch(epoch)
    labels = [batches[i][1] for i in range(batches.num_batches)]
    assert all(np.array_equal(batches[i][0].ravel(), x) for i, x in enumerate(labels))
    return np.concatenate(labels).tolist()


def test_an_epoch_has_whole_batches_of_different_images():
    seen = [order(make(), epoch) for epoch in range(20)]
    assert all(len(set(labels)) == 8 for labels in seen)
    # What one epoch leaves out, another one has.
    assert {label for labels in seen for label in labels} == set(range(10))


def test_the_seed_and_the_epoch_decide():
    assert order(make(), 3) == order(make(), 3) != order(make(), 4)
    assert order(make(), 3) != order(make(seed=1), 3)


def test_few_images_are_one_batch():
    batches = make(batch_size=32)
    assert (batches.batch_size, batches.num_batches, len(order(batches, 0))) == (10, 1, 10)


class Watched(keras.Sequential):
    """A model that keeps the labels that it is trained on."""

    def train_step(self, data):
        self.seen.extend(keras.ops.convert_to_numpy(data[1]).tolist())
        return super().train_step(data)


def test_fit_trains_on_the_order_of_its_epochs():
    batches = make()
    model = Watched([keras.Input((1, 1, 1), dtype="uint8"), keras.layers.Flatten(), keras.layers.Dense(1)])
    model.seen = []
    model.compile("sgd", loss="mse", run_eagerly=True)
    begin = keras.callbacks.LambdaCallback(on_epoch_begin=batches.begin_epoch)
    model.fit(batches, epochs=5, initial_epoch=2, callbacks=[begin], shuffle=False, verbose=0)
    assert list(model.seen) == [label for epoch in (2, 3, 4) for label in order(batches, epoch)]

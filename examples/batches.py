"""Training images in an order that is another one in each epoch, and known beforehand."""

import keras
import numpy as np


class ShuffledBatches(keras.utils.PyDataset):
    """Batches of arrays, shuffled anew for each epoch.

    The order follows from the seed and the epoch's number alone, so that a training that was interrupted goes on with
    the batches that it would have seen, on every backend; `fit` needs `shuffle=False` for it. What does not fill a
    batch is left out, other images in each epoch: a batch of another size would have the step compiled twice after each
    edit.

    Args:
        images: An array, `(images, height, width, channels)`.
        labels: Their labels.
        batch_size: Images a batch; all of them if there are fewer.
        seed: Integer seed of the orders.

    Attributes:
        images: The images.
        batch_size: Images a batch.
    """

    def __init__(self, images, labels, batch_size, seed):
        super().__init__()
        self.images, self._labels, self._seed = images, labels, seed
        self.batch_size = min(batch_size, len(images))
        self.begin_epoch(0)

    @property
    def num_batches(self):
        return len(self.images) // self.batch_size

    def __getitem__(self, index):
        chosen = self._order[index * self.batch_size : (index + 1) * self.batch_size]
        return self.images[chosen], self._labels[chosen]

    def begin_epoch(self, epoch, logs=None):
        """Takes the order of an epoch; `on_epoch_begin` of a callback, since Keras tells a data set no number."""
        self._order = np.random.default_rng((self._seed, epoch)).permutation(len(self.images))

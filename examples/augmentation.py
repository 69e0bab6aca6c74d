"""Random changes of training images, as Keras layers: they run inside the compiled step, on every backend.

In inference the layers change nothing. They take images as they are stored, whole numbers too, and fill what comes in
from outside with zeros, which is black.

Example:

```python
augmented = keras.Sequential([keras.Input((32, 32, 3)), *AUGMENTATIONS["cifar"](seed=0), network])
```
"""

import math

import keras
from keras import ops


class RandomChange(keras.layers.Layer):
    """What changes each image of a batch by numbers of its own, in training alone.

    Args:
        seed: Integer seed of what is drawn.
    """

    def __init__(self, seed, **kwargs):
        super().__init__(**kwargs)
        self._generator = keras.random.SeedGenerator(seed)

    def call(self, images, training=False):
        images = ops.cast(images, self.compute_dtype)
        return self.change(images) if training else images

    def change(self, images):
        """The images, changed."""
        raise NotImplementedError

    def draw(self, images, low, high):
        """A whole number for each image, from `low` to `high` inclusive, `(images, 1)`."""
        return keras.random.randint((ops.shape(images)[0], 1), low, high + 1, seed=self._generator)


class CropAndFlip(RandomChange):
    """A crop of the image with a black border, and its mirror image half of the time.

    The usual augmentation for CIFAR: He et al., "Deep Residual Learning for Image Recognition", 2016, section 4.2. A
    crop picks rows and columns, so it is a product with a matrix of zeros and ones on either side; a row that would lie
    outside is a row of zeros. Batched products are quick everywhere, where gathering pixels is not.

    Args:
        seed: Integer seed of what is drawn.
        border: Pixels of the border, and so the largest shift.
    """

    def __init__(self, seed, border=4, **kwargs):
        super().__init__(seed, **kwargs)
        self._border = border

    def change(self, images):
        _, height, width, channels = images.shape
        rows = ops.arange(height) + self.draw(images, -self._border, self._border)
        columns = ops.arange(width) + self.draw(images, -self._border, self._border)
        columns = ops.where(self.draw(images, 0, 1) == 1, columns, ops.flip(columns, 1))
        cropped = ops.matmul(_picking(rows, height), ops.reshape(images, (-1, height, width * channels)))
        cropped = ops.reshape(cropped, (-1, height, width, channels))
        return ops.matmul(ops.expand_dims(_picking(columns, width), 1), cropped)


def _picking(indices, size):
    """Matrices `(images, picked, size)` that pick the elements with these indices, and zero for one out of range."""
    return ops.cast(ops.expand_dims(indices, -1) == ops.arange(size), "float32")


class ShiftAndTurn(RandomChange):
    """A small shift and a small turn about the middle: for digits, which a mirror would make into something else.

    Args:
        seed: Integer seed of what is drawn.
        shift: The largest shift, as a share of height and width.
        turn: The largest turn, in degrees.
    """

    def __init__(self, seed, shift=0.1, turn=10.0, **kwargs):
        super().__init__(seed, **kwargs)
        self._shift, self._turn = shift, math.radians(turn)

    def change(self, images):
        _, height, width, _ = images.shape
        uniform = keras.random.uniform((ops.shape(images)[0], 3), -1.0, 1.0, seed=self._generator)
        angle, y, x = (
            self._turn * uniform[:, 0],
            self._shift * height * uniform[:, 1],
            self._shift * width * uniform[:, 2],
        )
        cosine, sine, zero = ops.cos(angle), ops.sin(angle), ops.zeros_like(angle)
        # Where the middle comes from is the middle, moved.
        middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
        x = x + middle_x - cosine * middle_x + sine * middle_y
        y = y + middle_y - sine * middle_x - cosine * middle_y
        transform = ops.stack([cosine, -sine, x, sine, cosine, y, zero, zero], axis=1)
        return ops.image.affine_transform(images, transform, interpolation="bilinear", fill_mode="constant")


# Functions of a seed that return layers.
AUGMENTATIONS = {
    "none": lambda seed: [],
    "cifar": lambda seed: [CropAndFlip(seed)],
    "shift": lambda seed: [ShiftAndTurn(seed)],
}

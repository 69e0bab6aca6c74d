"""Image classification data as NumPy arrays: scikit-learn's digits, an .npz file, or a set of TensorFlow Datasets.

Example:

```python
data = load("cifar10", data_dir="~/tensorflow_datasets")
model.fit(data.x_train, data.y_train, validation_data=(data.x_val, data.y_val))
```
"""

import dataclasses
import os
import pathlib

import numpy as np

# The names that a message lists. Any other TFDS set will do that has images, all of one size, with one label each.
KNOWN = ("digits", "mnist", "fashion_mnist", "cifar10", "cifar100", "svhn_cropped")


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """A data set, split into three parts.

    Attributes:
        name: Its name.
        x_train: Training images, `(images, height, width, channels)`: from `load` float32 and normalised, from `read`
            as they are stored.
        y_train: Training labels, int32, `(images,)`.
        x_val: Images held out of the training data, for choosing (what to prune, when to stop).
        y_val: Their labels.
        x_test: Test images, for the figure that is reported.
        y_test: Their labels.
        num_classes: How many classes there are.
        input_shape: Height, width and channels of an image.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_val: np.ndarray
    y_val: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    num_classes: int
    input_shape: tuple


def load(name, data_dir=None, limit=None, validation=0.1, seed=0):
    """Loads a data set by name, normalised.

    Every channel has mean 0 and standard deviation 1 over the training images; the other images are shifted and scaled
    by the same numbers. `read` has the arguments, the result and the errors.
    """
    data = read(name, data_dir, limit, validation, seed)
    mean, deviation = channel_statistics(data.x_train)
    parts = ("x_train", "x_val", "x_test")
    normalised = {part: ((getattr(data, part) - mean) / deviation).astype(np.float32) for part in parts}
    return dataclasses.replace(data, **normalised)


def read(name, data_dir=None, limit=None, validation=0.1, seed=0):
    """Reads a data set by name, its images as they are stored.

    Args:
        name: `"digits"` (1,797 images of 8 x 8 pixels), the path of an `.npz` file with the arrays `x_train`,
            `y_train`, `x_test` and `y_test`, or the name of a TFDS data set. The first two need neither TensorFlow nor
            a download.
        data_dir: The folder with prepared TFDS sets, read only. Defaults to the environment variable `TFDS_DATA_DIR`,
            and without that to TFDS's own folder, into which a missing set is downloaded.
        limit: At most so many training images (before `validation` is held out) and as many test images; all by
            default.
        validation: The share of the training images to hold out, of each class alike.
        seed: Decides which images are held out; of `"digits"`, which has no split of its own, also which are for
            testing.

    Returns:
        A `Dataset`.

    Raises:
        ValueError: If there is no such set, it does not fit, or it is not to be had; the message says which, and what
            to do.
    """
    if not isinstance(validation, float) or not 0 < validation < 1:
        raise ValueError(f"`validation` must be a share between 0 and 1. Received: validation={validation!r}")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 2):
        raise ValueError(f"`limit` must be None or at least 2 images. Received: limit={limit!r}")
    if name == "digits":
        (x, y), test, num_classes = _digits(limit, seed)
    elif name.endswith(".npz"):
        (x, y), test, num_classes = _npz(name, limit)
    else:
        (x, y), test, num_classes = _tfds(name, data_dir or os.environ.get("TFDS_DATA_DIR"), limit)
    held_out = _stratified(y, validation, seed)
    parts = (x[~held_out], y[~held_out]), (x[held_out], y[held_out]), test
    arrays = [array for images, labels in parts for array in (images, labels.astype(np.int32))]
    short = pathlib.Path(name).stem if name.endswith(".npz") else name
    return Dataset(short, *arrays, num_classes, tuple(x.shape[1:]))


def channel_statistics(images):
    """Mean and standard deviation of each channel over some images, as two arrays."""
    # The square of a byte needs a wider sum; a channel that is constant has nothing to scale.
    axes = (0, 1, 2)
    return images.mean(axes, dtype=np.float64), np.maximum(images.std(axes, dtype=np.float64), 1e-6)


def _digits(limit, seed):
    from sklearn.datasets import load_digits

    digits = load_digits()
    test = _stratified(digits.target, 0.2, seed)
    # Whole numbers up to 16.
    images = digits.images[..., np.newaxis].astype(np.uint8)
    parts = [(images[part][:limit], digits.target[part][:limit]) for part in (~test, test)]
    return *parts, len(digits.target_names)


def _npz(path, limit):
    try:
        with np.load(path) as file:
            x_train, y_train, x_test, y_test = (file[key] for key in ("x_train", "y_train", "x_test", "y_test"))
    except (OSError, KeyError, ValueError) as error:
        raise ValueError(
            "`name` must be the path of an .npz file with the arrays x_train, y_train, x_test and y_test "
            f"({error}). Received: name={path!r}"
        ) from error
    if x_train.ndim == 3:
        x_train, x_test = x_train[..., np.newaxis], x_test[..., np.newaxis]
    if x_train.ndim != 4 or x_test.shape[1:] != x_train.shape[1:]:
        raise ValueError(
            "The images of the file must be of the shape (images, height, width) or (images, height, width, channels), "
            f"all of one size. Received: name={path!r}, x_train of shape {x_train.shape}, x_test {x_test.shape}"
        )
    y_train, y_test = y_train.ravel(), y_test.ravel()
    if (len(y_train), len(y_test)) != (len(x_train), len(x_test)) or y_train.dtype.kind not in "iu":
        raise ValueError(
            "The labels of the file must be whole numbers, one an image. "
            f"Received: name={path!r}, {len(y_train)} labels of type {y_train.dtype} for {len(x_train)} images"
        )
    kind = np.uint8 if x_train.dtype == np.uint8 else np.float32
    parts = [(x[:limit].astype(kind), y[:limit]) for x, y in ((x_train, y_train), (x_test, y_test))]
    return *parts, int(max(y_train.max(), y_test.max())) + 1


def _tfds(name, data_dir, limit):
    builder = _builder(name, data_dir)
    _check_features(builder)
    _prepare(builder, data_dir)
    missing = {"train", "test"} - set(builder.info.splits)
    if missing:
        raise ValueError(
            f"`name` must be a data set with the splits train and test, and {name} has {sorted(builder.info.splits)}. "
            f"Received: name={name!r}"
        )
    parts = [_read(builder, split, limit) for split in ("train", "test")]
    return *parts, builder.info.features[builder.info.supervised_keys[1]].num_classes


def _builder(name, data_dir):
    if data_dir is not None and not pathlib.Path(data_dir).expanduser().is_dir():
        raise ValueError(
            "`data_dir` (or the environment variable TFDS_DATA_DIR) must be an existing folder of prepared TFDS sets. "
            "Without either, data is downloaded to TFDS's own folder. "
            f"Received: data_dir={str(data_dir)!r}"
        )
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise ValueError(
            f'Every data set but "digits" needs tensorflow-datasets: pip install -e ".[data]". Received: name={name!r}'
        ) from error
    try:
        return tfds.builder(name, data_dir=data_dir and pathlib.Path(data_dir).expanduser())
    except tfds.core.DatasetNotFoundError:
        # Its own message lists several hundred names.
        raise ValueError(
            f"`name` must be one of {', '.join(KNOWN)}, or another image classification set of TFDS. "
            f"Received: name={name!r}"
        ) from None


def _check_features(builder):
    import tensorflow_datasets as tfds

    keys, features = builder.info.supervised_keys, builder.info.features
    kinds = [type(features[key]) for key in keys] if keys and set(keys) <= set(features) else None
    if kinds != [tfds.features.Image, tfds.features.ClassLabel]:
        raise ValueError(
            f"`name` must be a data set of images with one class label each, and {builder.name} is not one. "
            f"Received: name={builder.name!r}"
        )
    shape = features[keys[0]].shape
    if None in shape:
        raise ValueError(
            f"`name` must be a data set of images of one size, and those of {builder.name} have the shape {shape}. "
            f"Received: name={builder.name!r}"
        )


def _prepare(builder, data_dir):
    if builder.is_prepared():
        return
    if data_dir is not None:
        raise ValueError(
            f"`data_dir` does not hold {builder.name} {builder.version}. Prepare it there with "
            f"`tfds build {builder.name} --data_dir={data_dir}`, or leave out both `data_dir` and TFDS_DATA_DIR to "
            "have it downloaded. "
            f"Received: data_dir={str(data_dir)!r}"
        )
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError

    try:
        builder.download_and_prepare()
    except (OSError, tfds.download.DownloadError, NonMatchingChecksumError, AssertionError) as error:
        # An AssertionError is how TFDS says that a set has to be fetched by hand.
        raise ValueError(
            f"{builder.name} could not be downloaded ({type(error).__name__}). Prepare it on another machine with "
            f"`tfds build {builder.name}` and name its folder as `data_dir`. Received: name={builder.name!r}"
        ) from error


def _read(builder, split, limit):
    import tensorflow_datasets as tfds

    part = split if limit is None else f"{split}[:{min(limit, builder.info.splits[split].num_examples)}]"
    return tfds.as_numpy(builder.as_dataset(split=part, batch_size=-1, as_supervised=True))


def _stratified(labels, share, seed):
    """A mask that picks `share` of the images of each class."""
    order = np.random.default_rng(seed).permutation(len(labels))
    mask = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        mask[members[: round(share * len(members))]] = True
    return mask

"""Image classification data as NumPy arrays: scikit-learn's digits, or any fitting set of TensorFlow Datasets.

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
    """A data set, split and normalised.

    Attributes:
        name: Its name.
        x_train: Training images, float32, `(images, height, width, channels)`. Every channel has mean 0 and standard
            deviation 1 over the training images; the other images are shifted and scaled by the same numbers.
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
    """Loads a data set by name.

    Args:
        name: `"digits"` (1,797 images of 8 x 8 pixels; no download, no TensorFlow) or the name of a TFDS data set.
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
    else:
        (x, y), test, num_classes = _tfds(name, data_dir or os.environ.get("TFDS_DATA_DIR"), limit)
    held_out = _stratified(y, validation, seed)
    return _normalised(name, (x[~held_out], y[~held_out]), (x[held_out], y[held_out]), test, num_classes)


def _digits(limit, seed):
    from sklearn.datasets import load_digits

    digits = load_digits()
    test = _stratified(digits.target, 0.2, seed)
    images = digits.images[..., np.newaxis]
    parts = [(images[part][:limit], digits.target[part][:limit]) for part in (~test, test)]
    return *parts, len(digits.target_names)


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


def _normalised(name, train, validation, test, num_classes):
    axes = (0, 1, 2)
    mean = train[0].mean(axes, dtype=np.float64)
    # A channel that is constant has nothing to scale.
    deviation = np.maximum(train[0].std(axes, dtype=np.float64), 1e-6)
    arrays = []
    for images, labels in (train, validation, test):
        arrays += [((images - mean) / deviation).astype(np.float32), labels.astype(np.int32)]
    return Dataset(name, *arrays, num_classes, tuple(train[0].shape[1:]))

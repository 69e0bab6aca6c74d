"""The data sets of the examples: splits, normalisation, refusals."""

import numpy as np
import pytest

from examples import datasets

PARTS = ("train", "val", "test")


@pytest.fixture(scope="module")
def digits():
    pytest.importorskip("sklearn")
    return datasets.load("digits")


@pytest.fixture
def tfds():
    return pytest.importorskip("tensorflow_datasets")


def test_digits_are_split_without_overlap(digits):
    images = [getattr(digits, f"x_{part}") for part in PARTS]
    assert [len(x) for x in images] == [1295, 143, 359]
    # Each image lies in one part: all 1,797 are there, and as many differ as in the source.
    assert len(np.unique(np.concatenate(images).reshape(1797, -1).round(4), axis=0)) == 1797
    assert (digits.input_shape, digits.num_classes) == ((8, 8, 1), 10)


def test_every_part_holds_the_classes_in_the_same_shares(digits):
    whole = np.bincount(np.concatenate([getattr(digits, f"y_{part}") for part in PARTS])) / 1797
    for part in PARTS:
        labels = getattr(digits, f"y_{part}")
        np.testing.assert_allclose(np.bincount(labels) / len(labels), whole, atol=0.008)


def test_training_images_have_mean_0_and_deviation_1(digits):
    assert digits.x_train.dtype == np.float32 and digits.y_train.dtype == np.int32
    assert digits.x_train.mean() == pytest.approx(0, abs=1e-5)
    assert digits.x_train.std() == pytest.approx(1, abs=1e-5)
    # A black pixel is the same number in every part, so the same shift and scale were used.
    assert digits.x_train.min() == digits.x_val.min() == digits.x_test.min()


def test_the_seed_decides_the_split(digits):
    again, other = datasets.load("digits"), datasets.load("digits", seed=1)
    np.testing.assert_array_equal(again.x_test, digits.x_test)
    np.testing.assert_array_equal(again.y_val, digits.y_val)
    assert not np.array_equal(other.y_test[:100], digits.y_test[:100])


def test_limit_shortens_training_and_test():
    pytest.importorskip("sklearn")
    data = datasets.load("digits", limit=100, validation=0.2)
    assert len(data.x_train) + len(data.x_val) == 100
    assert 15 <= len(data.x_val) <= 25
    assert len(data.x_test) == 100


@pytest.mark.parametrize("validation", [0.0, 1.0, -0.1, 1, "0.1", None])
def test_validation_must_be_a_share(validation):
    with pytest.raises(ValueError, match="`validation` must be a share between 0 and 1. Received: validation="):
        datasets.load("digits", validation=validation)


@pytest.mark.parametrize("limit", [0, 1, -5, 1.5, True])
def test_limit_must_be_a_number_of_images(limit):
    with pytest.raises(ValueError, match="`limit` must be None or at least 2 images. Received: limit="):
        datasets.load("digits", limit=limit)


@pytest.mark.parametrize(("name", "shape"), [("mnist", (28, 28, 1)), ("cifar10", (32, 32, 3))])
def test_tfds_set_is_read_from_the_folder(name, shape, tfds, tfds_data_dir):
    data = datasets.load(name, data_dir=tfds_data_dir, limit=500)
    assert data.x_train.shape[1:] == data.input_shape == shape
    assert len(data.x_train) + len(data.x_val) == len(data.x_test) == 500
    assert data.num_classes == 10 and set(np.unique(data.y_train)) == set(range(10))
    np.testing.assert_allclose(data.x_train.mean((0, 1, 2), dtype=np.float64), 0, atol=1e-6)
    np.testing.assert_allclose(data.x_train.std((0, 1, 2), dtype=np.float64), 1, atol=1e-6)


def test_environment_names_the_folder(tfds, tfds_data_dir, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", tfds_data_dir)
    by_environment = datasets.load("mnist", limit=50)
    by_argument = datasets.load("mnist", data_dir=tfds_data_dir, limit=50)
    np.testing.assert_array_equal(by_environment.x_train, by_argument.x_train)


def test_missing_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"`data_dir`.* must be an existing folder.*Received: data_dir='.*nowhere'"):
        datasets.load("mnist", data_dir=tmp_path / "nowhere")


def test_unknown_set_is_refused_with_the_known_ones(tfds, tmp_path):
    with pytest.raises(
        ValueError, match="`name` must be one of digits, mnist,.*Received: name='no_such_set'"
    ) as caught:
        datasets.load("no_such_set", data_dir=tmp_path)
    assert len(str(caught.value)) < 300


def test_set_that_the_folder_does_not_hold_is_refused(tfds, tmp_path):
    with pytest.raises(ValueError, match=r"does not hold mnist 3.*tfds build mnist.*Received: data_dir="):
        datasets.load("mnist", data_dir=tmp_path)


@pytest.mark.parametrize("name", ["imdb_reviews", "coco"])
def test_set_of_another_kind_is_refused(name, tfds, tmp_path):
    with pytest.raises(ValueError, match=f"images with one class label each, and {name} is not one"):
        datasets.load(name, data_dir=tmp_path)


def test_images_of_many_sizes_are_refused(tfds, tmp_path):
    with pytest.raises(
        ValueError, match=r"images of one size, and those of tf_flowers have the shape \(None, None, 3\)"
    ):
        datasets.load("tf_flowers", data_dir=tmp_path)


@pytest.mark.parametrize("error", [ConnectionError("no network"), AssertionError("Manual directory is empty")])
def test_failed_download_says_what_to_do(error, tfds, tmp_path, monkeypatch):
    def fail(self):
        raise error

    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fail)
    monkeypatch.setattr(tfds.core.DatasetBuilder, "is_prepared", lambda self: False)
    with pytest.raises(
        ValueError, match=f"mnist could not be downloaded .{type(error).__name__}.*Received: name='mnist'"
    ):
        datasets.load("mnist")


def test_set_without_a_test_split_is_refused(tfds, tfds_data_dir, monkeypatch):
    builder = tfds.builder("mnist", data_dir=tfds_data_dir)
    del builder.info.splits["test"]
    monkeypatch.setattr(tfds, "builder", lambda name, data_dir: builder)
    with pytest.raises(ValueError, match=r"splits train and test, and mnist has \['train'\]"):
        datasets.load("mnist", data_dir=tfds_data_dir)


def save(path, **changes):
    x, y = np.arange(40, dtype="uint8").reshape(10, 2, 2), np.arange(10) % 3
    np.savez(path, **{"x_train": x, "y_train": y[:, None], "x_test": x[:4], "y_test": y[:4], **changes})
    return str(path)


def test_npz_file_is_read_as_it_is_stored(tmp_path):
    data = datasets.read(save(tmp_path / "mine.npz"), limit=8, validation=0.34)
    assert (data.name, data.num_classes, data.input_shape, data.x_train.dtype) == ("mine", 3, (2, 2, 1), np.uint8)
    assert (len(data.x_train), len(data.x_val), len(data.x_test)) == (5, 3, 4)
    # An image begins with four times its number, and its label is that number's remainder.
    for part in PARTS:
        np.testing.assert_array_equal(getattr(data, f"x_{part}")[:, 0, 0, 0] // 4 % 3, getattr(data, f"y_{part}"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"x_test": np.zeros((4, 3, 3))}, "all of one size. Received: name="),
        ({"y_train": np.zeros(9, int)}, "labels of the file must be whole numbers, one an image"),
        ({"y_train": np.zeros(10)}, "labels of the file must be whole numbers, one an image"),
    ],
)
def test_npz_file_that_does_not_fit_is_refused(changes, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        datasets.read(save(tmp_path / "mine.npz", **changes))


def test_npz_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ValueError, match="`name` must be the path of an .npz file with the arrays x_train"):
        datasets.read(str(tmp_path / "nothing.npz"))

"""Augmentation: which images can come out, that each is changed on its own, and that inference changes nothing."""

import keras
import numpy as np
import pytest

from examples.augmentation import AUGMENTATIONS, CropAndFlip, ShiftAndTurn


def crops(image, border):
    """Every crop of an image with a black border, and its mirror images, by slicing."""
    height, width, _ = image.shape
    padded = np.pad(image, ((border, border), (border, border), (0, 0)))
    corners = [(y, x) for y in range(2 * border + 1) for x in range(2 * border + 1)]
    plain = [padded[y : y + height, x : x + width] for y, x in corners]
    return [*plain, *(crop[:, ::-1] for crop in plain)]


def change(layer, images):
    return keras.ops.convert_to_numpy(layer(images, training=True))


def test_every_crop_and_its_mirror_image_come_out_and_nothing_else():
    image = np.arange(1, 41, dtype="uint8").reshape(5, 4, 2)
    changed = change(CropAndFlip(seed=0, border=1), np.stack([image] * 400)).astype("uint8")
    possible = {crop.tobytes() for crop in crops(image, border=1)}
    assert len(possible) == 18 and {x.tobytes() for x in changed} == possible


def test_images_of_a_batch_are_changed_each_on_its_own():
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3)).astype("uint8")
    layer = CropAndFlip(seed=0)
    for changed in (change(layer, images), change(layer, images)):
        for image, result in zip(images, changed, strict=True):
            assert any(np.array_equal(result, crop) for crop in crops(image, border=4))


@pytest.mark.parametrize("shift", [0.0, 0.25])
def test_a_shift_is_at_most_its_bound(shift):
    images = np.zeros((200, 13, 13, 1), "uint8")
    images[:, 6, 6] = 100
    changed = change(ShiftAndTurn(seed=0, shift=shift, turn=0.0), images)[..., 0]
    np.testing.assert_allclose(changed.sum((1, 2)), 100, rtol=1e-4)
    places = np.tensordot(changed / 100, np.stack(np.mgrid[:13, :13]) - 6, ([1, 2], [1, 2]))
    assert np.abs(places).max() <= 13 * shift + 1e-3
    assert np.abs(places).max() >= 0.9 * 13 * shift


def test_a_turn_is_about_the_middle():
    images = np.zeros((200, 13, 13, 1), "uint8")
    images[:, 6, 2] = 100
    changed = change(ShiftAndTurn(seed=0, shift=0.0, turn=20.0), images)[..., 0]
    weights = changed / changed.sum((1, 2), keepdims=True)
    y, x = np.tensordot(weights, np.stack(np.mgrid[:13, :13]) - 6.0, ([1, 2], [1, 2])).T
    angles = np.degrees(np.arctan2(y, -x))
    assert 18 < angles.max() < 22 and -22 < angles.min() < -18
    np.testing.assert_allclose(np.hypot(x, y), 4, atol=0.2)


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
def test_inference_changes_nothing(name):
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 1)).astype("uint8")
    for layer in AUGMENTATIONS[name](0):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(layer(images, training=False)), images)

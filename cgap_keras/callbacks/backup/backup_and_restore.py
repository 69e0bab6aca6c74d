"""Backups of a training whose model changes its structure."""

import os

import keras

from cgap_keras.callbacks.backup.file import BackupFile
from cgap_keras.callbacks.backup.keeper import Keeper
from cgap_keras.callbacks.siblings import find_list


class BackupAndRestore(keras.callbacks.Callback):
    """Saves a training in a directory, so that the script can be killed and started again.

    As `keras.callbacks.BackupAndRestore`, across changes of structure. The script that is started again makes its first
    model anew, compiles it and calls `fit` with the same arguments; training goes on after the last backup, within an
    epoch too, and ends as it would have. A backup holds the structure, the weights, the optimizer's state, the metrics,
    the number of epochs and batches done, the state of the callbacks (`CGaP`'s phase and history, the `History` that
    `fit` returns, what `EarlyStopping` waits for) and of the random generators of Python, NumPy, Keras and PyTorch.

    Of a callback that is not the library's, the attributes are saved that have changed since training began and hold
    numbers, text, `None`, NumPy arrays, functions of `keras.ops`, or lists, tuples, sets and dictionaries of these. One
    that keeps other things can have methods `get_state`, which returns a value of these kinds, and `set_state`, which
    receives it.

    What cannot be saved is how far a data set has come in an order of its own. `fit` begins an epoch at its first
    batch, and passes over those that were trained on. Arrays go on in the right order, on TensorFlow if
    `keras.utils.set_random_seed` was called; so does any data that has the same order in each epoch. A
    `tf.data.Dataset` that is shuffled anew in each epoch begins with its first order again.

    The file is written at once or not at all; a backup that is torn, or of another model or other settings, is refused.
    Each `fit` needs a directory of its own. Where several processes train one model, the first one writes, and all go
    on from what it wrote.

    Args:
        directory: Where to save. Made when it is needed.
        save_freq: `"epoch"` to save at the end of each epoch, or after how many batches to save as well.
        delete_checkpoint: Whether to remove the backup, and the directory if it is empty then, when training has ended.

    Raises:
        ValueError: If an argument is out of its range, or, when training begins, if the backup does not fit.

    Example:

    ```python
    backup = cgap_keras.BackupAndRestore("runs/backup", save_freq=500)
    model.fit(x, y, epochs=40, callbacks=[cgap_keras.CGaP(capacity=60_000, target=20_000, seed=0), backup])
    ```
    """

    def __init__(self, directory, save_freq="epoch", delete_checkpoint=True):
        super().__init__()
        if not directory:
            raise ValueError(f"`directory` must be the path of a directory. Received: directory={directory!r}")
        if save_freq != "epoch" and (type(save_freq) is not int or save_freq < 1):
            raise ValueError(
                f'`save_freq` must be "epoch" or a positive number of batches. Received: save_freq={save_freq!r}'
            )
        self._file, self._save_freq, self._delete = BackupFile(os.fspath(directory)), save_freq, delete_checkpoint

    def on_train_begin(self, logs=None):
        callbacks = find_list(self)
        if callbacks is None:
            raise ValueError("BackupAndRestore works in `fit` alone. Received: a call of on_train_begin from elsewhere")
        keeper = Keeper(self._file, self._save_freq, self._delete, callbacks)
        keeper.set_model(self.model)
        keeper.set_params(self.params)
        # The loop that has called this method calls the keeper next, behind all others.
        callbacks.callbacks.append(keeper)

    def on_train_batch_end(self, batch, logs=None):
        """Nothing; but where no callback has this method, Keras calls them later, from another thread."""

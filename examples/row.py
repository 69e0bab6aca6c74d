"""The figures of a run, as one row of a table."""

from importlib.util import find_spec

import datasets
import keras
from machine import environment
from methods import free_groups

import cgap_keras


def make_row(run, history, seconds, out):
    """What came of a run.

    Args:
        run: A `Run` that has been trained.
        history: What `fit` returned.
        seconds: How long it took.
        out: Where `network.keras` and the TFLite file go.

    Returns:
        A dictionary for `json.dumps`.
    """
    run.network.save(out / "network.keras")
    cost, edits = cgap_keras.cost(run.network), run.editor.history if run.editor else []
    mean, deviation = datasets.channel_statistics(run.batches.images)
    return {
        **run.settings,
        "dataset": run.data.name,
        "split": "test" if run.settings["test"] else "validation",
        "images": len(run.batches.images),
        "top1": run.model.evaluate(*run.held_out, batch_size=500, verbose=0, return_dict=True)["accuracy"],
        "params": cost.params,
        "macs": cost.macs,
        "training_macs": training_macs(run.macs, edits, run.steps, run.batches.batch_size),
        "seconds": seconds,
        **describe_file(run.network, out),
        "widths": {group.name: group.size for group in free_groups(run.network)},
        # The saliency of every unit at every edit would make up most of the row.
        "edits": [{**edit.to_dict(), "scores": {}} for edit in edits],
        "finished": run.editor is None or run.editor.finished,
        "history": {name: [float(value) for value in values] for name, values in history.items()},
        # What `network.keras` wants of an image, channel by channel: its mean taken away, divided by the deviation.
        "mean": mean.tolist(),
        "deviation": deviation.tolist(),
        "environment": environment(),
    }


def training_macs(macs, edits, steps, batch_size):
    """Multiply-accumulates of a whole training, each step at the widths that the network had.

    Args:
        macs: Those of a forward pass of one image before the first edit.
        edits: The `cgap_keras.report.Edit`s.
        steps: Training steps.
        batch_size: Images a step.

    Returns:
        An integer.
    """
    begins = [0, *(edit.step for edit in edits), steps]
    costs = [macs, *(edit.macs_after for edit in edits)]
    forward = sum(cost * (end - begin) for cost, begin, end in zip(costs, begins[:-1], begins[1:], strict=True))
    # Three: the forward pass, and as much again for the gradients of a layer's weights and for those of its input.
    return 3 * batch_size * forward


def describe_file(network, out):
    """Bytes of the float32 TFLite file, and its latency on one thread; `None` where no file can be made."""
    if keras.backend.backend() != "tensorflow" or find_spec("ai_edge_litert") is None:
        return {"file_bytes": None, "latency_ms": None}
    from tflite_export import export

    file = export(network, out / "file", quantization=("float32",))["float32"]
    return {"file_bytes": file.bytes, "latency_ms": file.latency_ms}

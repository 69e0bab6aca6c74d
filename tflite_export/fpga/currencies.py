"""What a network costs on an FPGA, as functions of the model: currencies of a `cgap_keras.Budget`."""

import dataclasses

from cgap_keras.structure.resizing import ResizableGraph
from tflite_export.fpga.accelerators.presets import accelerator as find_accelerator
from tflite_export.fpga.estimate import estimate
from tflite_export.fpga.loops.workload import graph_workload


def latency_ms(accelerator):
    """Makes the function that tells how long one inference takes on an accelerator.

    A network then grows or is pruned for the board at hand. An array works on so many maps at once, and a layer that
    leaves some of its units idle takes no less time, so pruning keeps every unit that costs nothing: widths come to be
    what the array takes, multiples of its unroll factors where it is the array that a layer waits for. For those to be
    at hand, let `round_to` divide the factors, or be 1.

    Args:
        accelerator: The name of a published accelerator, or an accelerator, as `estimate` takes it. It must name its
            device.

    Returns:
        A function of a `keras.Model` that returns milliseconds. It raises a `ValueError` where `estimate` does.

    Raises:
        ValueError: If there is no accelerator of that name.

    Example:

    ```python
    target = cgap_keras.Budget(1.5, fpga.latency_ms("ma_arria10_200mhz"))
    phases = [cgap_keras.PruningPolicy(target, round_to=1)]
    model.fit(x, y, epochs=20, callbacks=[cgap_keras.StructureCallback(phases)])
    ```
    """
    return EstimateCost(find_accelerator(accelerator), "latency_ms")


def dram_energy_mj(accelerator):
    """Makes the function that tells the energy of one inference's DRAM traffic, in millijoules; see `latency_ms`."""
    return EstimateCost(find_accelerator(accelerator), "dram_energy_mj")


def device_share(accelerator):
    """Makes the function that tells what share of its device a network's accelerator takes.

    The share of the resource that is scarcest, so that a network fits with at most 1. What an array takes does not
    depend on the network; what a `Dataflow` takes does, whose engines keep all weights on chip. Without a folding each
    layer has one multiplier: the least that the network needs, to which `fold` adds once training is done.

    Args:
        accelerator: As in `latency_ms`.

    Returns:
        A function of a `keras.Model` that returns a share. It raises a `ValueError` where `estimate` does.

    Raises:
        ValueError: If there is no accelerator of that name.

    Example:

    ```python
    streaming = fpga.Dataflow(name="mine", clock_mhz=100.0, weight_bits=4, activation_bits=4, device="xc7z020")
    target = cgap_keras.Budget(0.8, fpga.device_share(streaming))
    ```
    """
    return EstimateCost(find_accelerator(accelerator), "device_share")


@dataclasses.dataclass(frozen=True)
class EstimateCost:
    """A function of a model: a figure of its estimate. Its fields tell one from another when a training goes on.

    Attributes:
        accelerator: The accelerator.
        figure: The name of an attribute of `Estimate`.
    """

    accelerator: object
    figure: str

    def __call__(self, model):
        """The cost of a model."""
        return self._cost(model)

    def at_widths(self, model):
        """The cost of a model as a function of `{group name: units}`, without building one of other widths.

        Returns:
            The function, or `None` for a model whose other widths have to be built.
        """
        try:
            graph = ResizableGraph(model)
        except NotImplementedError:
            return None
        return lambda widths: self._cost(graph_workload(graph.at(widths), model.name))

    def _cost(self, work):
        return getattr(estimate(work, self.accelerator), self.figure)

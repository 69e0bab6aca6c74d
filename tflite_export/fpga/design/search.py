"""The exact cost of every design of a space that fits its device."""

import dataclasses

import numpy as np

from tflite_export.fpga.design.fit import Fit
from tflite_export.fpga.design.layer_costs import LayerCosts
from tflite_export.fpga.energy import dram_energy

# Columns of a table of designs: what is sought, what decides between equals, and the number of the design.
COLUMNS = ("latency_ms", "dram_energy_mj", "resource_share", "dsp", "bram", "uram", "number")
SOUGHT = COLUMNS[:3]
# A sum in another order than an `Estimate`'s differs in the last bits; less than a picosecond is no difference.
_LATENCY_DIGITS = 9
# Designs of a table, so that a search takes no more than some hundred megabytes.
_MOST_DESIGNS = 1 << 20


def design_tables(layers, base, device, space, share):
    """Estimates all designs, part by part.

    Args:
        layers: The network's distinct `Layer`s and how often each occurs, a dict.
        base: An `Accelerator`; all but its `unroll` and buffers counts.
        device: A `Device`.
        space: The `Space`.
        share: The share of each of the device's resources that a design may take.

    Yields:
        `(table, fitting)`: a row of `COLUMNS` for each design that can be built, and how many fit the device, among
        them those whose buffers are too small for a layer, which have no row.
    """
    costs = {layer: LayerCosts(layer, base, space.sizes) for layer in layers}
    fit = Fit(base, device, space.sizes)
    length = max(1, _MOST_DESIGNS // space.combinations)
    for group in space.groups:
        fitting = [(number, factors) for number, factors in group if fit.array(factors)[1] <= share]
        for start in range(0, len(fitting), length):
            numbers, factors = zip(*fitting[start : start + length], strict=True)
            arrays = [dataclasses.replace(base, unroll=each) for each in factors]
            taken, fits = fit.designs(arrays, share)
            held, (us, num_bytes, descriptors) = _network_costs(layers, costs, arrays)
            energy, _, _ = dram_energy(num_bytes, descriptors, base)
            number = np.array(numbers)[:, None] * space.combinations + held
            columns = (np.round(us / 1e3, _LATENCY_DIGITS), energy, *(x[:, held] for x in taken), number)
            built = fits[:, held]
            yield np.stack([column[built] for column in columns], axis=1), int(fits.sum())


def _network_costs(layers, costs, arrays):
    """The combinations of buffers that hold every layer, and what the network costs with them.

    Returns:
        `(combinations, costs)`: indices; microseconds, DRAM bytes and descriptors, shape `(3, arrays, combinations)`.
    """
    unrolls = {kind: [array.unroll_for(kind) for array in arrays] for kind in {layer.kind for layer in layers}}
    held = np.flatnonzero(np.logical_and.reduce([costs[layer].holds(unrolls[layer.kind][0]) for layer in layers]))
    total = np.zeros((3, len(arrays), len(held)))
    for layer, count in layers.items():
        total += count * costs[layer](unrolls[layer.kind], held)
    return held, total

"""The designs that a search considers: candidates for each unroll factor and each buffer."""

import itertools
import math

from tflite_export.fpga.accelerators.tiling import tile_words
from tflite_export.fpga.accelerators.unroll import LOOPS
from tflite_export.fpga.loops.layer import WINDOW_KINDS

BUFFERS = ("input_buffer_kib", "weight_buffer_kib", "output_buffer_kib")
# Arrays that agree in these share the cuts of their layers, so they are looked at together.
OUTER_LOOPS = ("of", "oy", "oxy")
INNER_LOOPS = ("if", "ox", "kx", "ky")


class Space:
    """Every combination of one candidate for each unroll factor and each buffer.

    `oxy` above 1 goes with `ox` and `oy` of 1 only, since it is both as one loop.

    Args:
        layers: The network's distinct `Layer`s.
        base: The `Accelerator` that gives the bits of weights and pixels.
        device: The `Device`, whose memory bounds the buffers.
        given: A dict from a loop or a buffer to its candidates, for those that are not to take the default: for `of`
            and `if` the powers of two up to the largest of a convolution, for `ox` and `oy` also the divisors of each
            convolution's output, 1 for the others; for a buffer the powers of two in KiB from the least that holds the
            smallest tile of every layer to the least that holds every layer whole, or half of the device's memory.

    Attributes:
        sizes: Candidates of the three buffers in KiB.
        groups: Lists of arrays that differ in their inner loops alone; each array is its number in the space and a
            dict of its factors above 1.
        arrays: How many arrays there are.

    Raises:
        ValueError: If a name is not known, a candidate is out of its range, or no combination is left.
    """

    def __init__(self, layers, base, device, given):
        for name in given:
            if name not in LOOPS + BUFFERS:
                raise ValueError(
                    f"`space` has an unknown entry {name!r}; known are {', '.join(LOOPS + BUFFERS)}. "
                    f"Received: space={given}"
                )
        shaping = [layer for layer in layers if layer.kind == "conv"] or layers
        self._factors = {loop: _factors(loop, shaping) for loop in LOOPS}
        self._factors |= {loop: _checked(given, loop, int, 1) for loop in LOOPS if loop in given}
        ranges = _buffer_ranges(layers, base, device)
        self.sizes = tuple(
            _checked(given, name, (int, float), 0) if name in given else _powers_of_two(*ends)
            for name, ends in zip(BUFFERS, ranges, strict=True)
        )
        self.groups = self._groups()
        self.arrays = sum(map(len, self.groups))
        if not self.arrays:
            raise ValueError(f"`space` must allow 1 for `oxy`, or for `ox` and `oy`. Received: space={given}")

    @property
    def combinations(self):
        """Combinations of buffer sizes, of which each array may have any."""
        return math.prod(map(len, self.sizes))

    def design(self, number):
        """The fields of `Accelerator` that make a design: array number * `combinations` + buffer number."""
        array, place = divmod(number, self.combinations)
        factors = dict(itertools.chain.from_iterable(self.groups))[array]
        kibs = next(itertools.islice(itertools.product(*self.sizes), place, None))
        name = "_".join([*(f"{loop}{factor}" for loop, factor in factors.items()), *(f"{kib:g}" for kib in kibs)])
        return {"name": f"{name}kib", "unroll": factors, **dict(zip(BUFFERS, kibs, strict=True))}

    def _groups(self):
        groups, numbers = [], itertools.count()
        for outer in itertools.product(*(self._factors[loop] for loop in OUTER_LOOPS)):
            inner = itertools.product(*(self._factors[loop] for loop in INNER_LOOPS))
            pairs = (dict(zip(OUTER_LOOPS + INNER_LOOPS, outer + each, strict=True)) for each in inner)
            arrays = [{loop: each[loop] for loop in LOOPS if each[loop] > 1} for each in pairs]
            arrays = [array for array in arrays if "oxy" not in array or not {"ox", "oy"} & set(array)]
            groups.append([(next(numbers), array) for array in arrays])
        return groups


def _factors(loop, layers):
    if loop in ("kx", "ky", "oxy"):
        return (1,)
    sizes = {getattr(layer, f"n_{loop}") for layer in layers}
    factors = {2**k for k in range(max(sizes).bit_length())}
    if loop in ("ox", "oy"):
        factors |= {divisor for size in sizes for divisor in range(1, size + 1) if size % divisor == 0}
    return tuple(sorted(factors))


def _buffer_ranges(layers, base, device):
    """The least and the greatest useful size of each buffer in KiB, and half of the device's memory."""
    bits = (base.activation_bits, base.weight_bits, base.activation_bits)
    least, most = [1.0] * 3, [1.0] * 3
    for layer in layers:
        for ends, words in ((least, _words(layer, False)), (most, _words(layer, True))):
            ends[:] = [max(end, int(n) * width / 8192) for end, n, width in zip(ends, words, bits, strict=True)]
    half = (device.block_ram * (20_480 if device.is_intel else 36_864) + device.uram * 294_912) / 2 / 8192
    return [(low, high, half) for low, high in zip(least, most, strict=True)]


def _words(layer, whole):
    """Words of a layer's smallest tile, or of the whole layer, in the three buffers."""
    if layer.kind == "fully_connected":
        return layer.n_if, 1, layer.n_of
    if layer.kind not in WINDOW_KINDS:
        return 1, 1, 1
    maps = layer.n_of if layer.channelwise else layer.n_of // layer.groups
    return tile_words(layer, *((layer.n_oy, maps) if whole else (1, 1)))


def _powers_of_two(least, most, bound):
    """From the first that is no less than `least` to the first that is no less than `most`, but within the bound."""
    powers = [2**k for k in range(math.ceil(math.log2(least)), math.ceil(math.log2(most)) + 1)]
    return tuple(power for power in powers if power <= max(bound, powers[0]))


def _checked(given, name, types, least):
    try:
        candidates = tuple(given[name])
    except TypeError:
        candidates = ()
    sound = (isinstance(x, types) and not isinstance(x, bool) and 0 < x < math.inf and x >= least for x in candidates)
    if not candidates or not all(sound):
        what = "positive ints" if least else "positive numbers, in KiB"
        raise ValueError(f"`space[{name!r}]` must be a sequence of {what}. Received: space={given}")
    return tuple(sorted(set(candidates)))

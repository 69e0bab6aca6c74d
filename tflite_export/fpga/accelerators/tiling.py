"""How a layer is cut into tiles that fit the buffers, and which cut is taken.

The scheme is that of Ma et al., FPGA 2017 and TCAD 2020: a tile holds whole rows of `Toy` output rows and `Tof`
output maps, with all input maps and the whole kernel, so that partial sums never leave the chip.
"""

import dataclasses
import functools

import numpy as np

from tflite_export.fpga.accelerators.pipeline import Tiles, latency_us
from tflite_export.fpga.accelerators.streaming import stream_pixels, stream_weights, streaming_us
from tflite_export.fpga.accelerators.unroll import ceil_div
from tflite_export.fpga.loops.layer import WINDOW_KINDS


@dataclasses.dataclass(frozen=True)
class Tiling:
    """One cut of a layer.

    Attributes:
        rows: Output rows of a tile, `Toy`.
        maps: Output maps of a tile, `Tof`.
        row_tiles: How many tiles the rows make.
        map_tiles: How many tiles the maps make.
        order: What is kept while the other is exchanged: `"maps"` the weights of a tile of maps, `"rows"` the pixels
            of a tile of rows.
    """

    rows: int
    maps: int
    row_tiles: int
    map_tiles: int
    order: str


def tiles_of(layer, accelerator):
    """The tiles of a layer under the best cut.

    Args:
        layer: A `Layer` that is not free.
        accelerator: The `Accelerator`.

    Returns:
        `(tiling, tiles, us)`: a `Tiling`, or `None` for a layer that is streamed; its `Tiles`; their time in
        microseconds.

    Raises:
        ValueError: If the smallest tile does not fit a buffer.
    """
    if layer.kind in WINDOW_KINDS:
        return _best(layer, accelerator)
    if layer.kind == "fully_connected":
        tiles = stream_weights(layer, accelerator, buffer_words(accelerator))
        return None, tiles, latency_us(tiles, accelerator)
    tiles = stream_pixels(layer, accelerator)
    return None, tiles, streaming_us(tiles, accelerator)


def _best(layer, accelerator):
    cuts = fitting_cuts(layer, accelerator)
    if accelerator.tiling == "traffic":
        least = min(bits for _, bits in cuts)
        cuts = [(cut, bits) for cut, bits in cuts if bits == least]
    timed = []
    for cut, bits in cuts:
        tiles = cut_tiles(layer, cut, accelerator)
        timed.append(((latency_us(tiles, accelerator), bits, cut.row_tiles * cut.map_tiles), cut, tiles))
    (us, _, _), cut, tiles = min(timed, key=lambda x: x[0])
    return cut, tiles, us


def tile_words(layer, rows, maps):
    """Elements of a tile in the input, weight and output buffer.

    The input tile is `((Tox-1)*S + Nkx) * min((Toy-1)*S + Nky, Niy + 2*pad) * Tif`, zeros included (Ma et al., FPGA
    2017). A channelwise layer holds the input maps of its output maps only.
    """
    across = min(layer.span(0), layer.n_ix + sum(layer.padding[0]))
    down = np.minimum((rows - 1) * layer.stride[1] + layer.reach(1), layer.n_iy + sum(layer.padding[1]))
    per_map = layer.n_kx * layer.n_ky * layer.n_if if layer.weights else 0
    return across * down * _input_maps(layer, maps), maps * per_map, rows * layer.n_ox * maps


def _input_maps(layer, maps):
    return ceil_div(maps * layer.groups, layer.n_of) if layer.channelwise else layer.n_if


def fitting_cuts(layer, accelerator):
    """The cuts whose tiles fit the buffers, each with the bits that it reads."""
    unroll = accelerator.unroll_for(layer.kind)
    group_maps = layer.n_of if layer.channelwise else layer.n_of // layer.groups
    rows, maps = _tile_sizes(layer.n_oy, unroll.factor("oy")), _tile_sizes(group_maps, unroll.factor("of"))
    fits = _fits(layer, *np.meshgrid(rows, maps, indexing="ij"), accelerator)
    if not fits.any():
        raise ValueError(_shortage(layer, rows.min(), maps.min(), accelerator))
    orders = ("maps", "rows") if accelerator.tile_order == "best" else (accelerator.tile_order,)
    pixel_bits = [_pixel_bits(layer, int(tile), accelerator) for tile in rows]
    cuts = []
    for i, j in np.argwhere(fits):
        row_tiles, map_tiles = ceil_div(layer.n_oy, int(rows[i])), ceil_div(group_maps, int(maps[j]))
        for order in orders if row_tiles > 1 and map_tiles > 1 else orders[:1]:
            cut = Tiling(int(rows[i]), int(maps[j]), row_tiles, map_tiles, order)
            cuts.append((cut, _bits_read(layer, cut, pixel_bits[i], group_maps, accelerator)))
    return cuts


def _pixel_bits(layer, tile, accelerator):
    """Bits of one input map that all tiles of this many rows read together, times the maps that a cut reads at once."""
    down = int(_pixels_read(layer, 1, tile, ceil_div(layer.n_oy, tile)).sum())
    across = int(_pixels_read(layer, 0, layer.n_ox, 1)[0])
    return down * across * accelerator.activation_bits


def _bits_read(layer, cut, pixel_bits, group_maps, accelerator):
    """Bits that a group of the layer reads: the pixels or the weights several times where both are cut."""
    weights, biases = _weights(layer)
    weight_bits = group_maps * (weights * accelerator.weight_bits + biases * accelerator.bias_bits)
    both = cut.row_tiles > 1 and cut.map_tiles > 1
    if layer.channelwise:
        pixels = pixel_bits * int(_input_maps(layer, _sizes(group_maps, cut.maps)).sum())
    else:
        pixels = pixel_bits * layer.n_if * (cut.map_tiles if both and cut.order == "maps" else 1)
    return pixels + weight_bits * (cut.row_tiles if both and cut.order == "rows" else 1)


@functools.lru_cache(maxsize=4096)
def _tile_sizes(size, factor):
    """For each possible number of tiles the smallest size, a multiple of the unroll factor, that gives it."""
    steps = ceil_div(size, factor)
    counts = {ceil_div(steps, k) for k in range(1, steps + 1)}
    return np.array(sorted(min(size, factor * ceil_div(steps, count)) for count in counts))


def _fits(layer, rows, maps, accelerator):
    words = tile_words(layer, rows, maps)
    return np.logical_and.reduce(
        [needed <= capacity for needed, capacity in zip(words, buffer_words(accelerator), strict=True)]
    )


def buffer_words(accelerator):
    """Elements that one half of the input, weight and output buffer holds."""
    return tuple(
        int(kib * 8192 // bits)
        for kib, bits in (
            (accelerator.input_buffer_kib, accelerator.activation_bits),
            (accelerator.weight_buffer_kib, accelerator.weight_bits),
            (accelerator.output_buffer_kib, accelerator.activation_bits),
        )
    )


def _shortage(layer, rows, maps, accelerator):
    """The sentence that says which buffer is short of the smallest tile, and by how much."""
    bits = (accelerator.activation_bits, accelerator.weight_bits, accelerator.activation_bits)
    names = ("input_buffer_kib", "weight_buffer_kib", "output_buffer_kib")
    short = []
    for name, needed, width in zip(names, tile_words(layer, rows, maps), bits, strict=True):
        kib, has = int(needed) * width / 8192, getattr(accelerator, name)
        if int(needed) > int(has * 8192 // width):
            short.append(f"`{name}` needs {kib:.1f} KiB and has {has:g}, {kib - has:.1f} too few")
    return (
        f"Layer {layer.name!r} does not fit the accelerator: its smallest tile is {rows} rows of {maps} maps, "
        f"for which {'; '.join(short)}. Enlarge the buffer, or unroll `oy` or `of` less. "
        f"Received: accelerator={accelerator.name!r}"
    )


def cut_tiles(layer, cut, accelerator):
    """The tiles of a convolution, depthwise layer or pooling under one cut.

    With one tile of maps, weights are read once and pixels once a row tile; with one tile of rows, pixels once and
    weights once a map tile; with both split, the order says which is read again.

    Args:
        layer: A `Layer`.
        cut: A `Tiling`.
        accelerator: The `Accelerator`.

    Returns:
        Its `Tiles`, for all groups of the layer.
    """
    (r, m), loops = _order(cut), tile_loops(layer, cut, accelerator)
    rows, maps = loops["n_oy"], loops["n_of"]
    held_pixels = not layer.channelwise and (cut.order == "rows" or cut.row_tiles == 1)
    reads_pixels = (m == 0) if held_pixels else np.ones(r.size, bool)
    reads_weights = (r == 0) if cut.order == "maps" or cut.map_tiles == 1 else np.ones(r.size, bool)
    maps_in = _input_maps(layer, maps) * np.ones(r.size, int)
    row_pixels = _pixels_read(layer, 1, cut.rows, cut.row_tiles) * _pixels_read(layer, 0, layer.n_ox, 1)[0]
    weights, biases = _weights(layer)
    weight_bits = maps * (weights * accelerator.weight_bits + biases * accelerator.bias_bits) * reads_weights
    tiles = Tiles(
        cycles=accelerator.unroll_for(layer.kind).cycles(**loops),
        weight_bytes=weight_bits / 8,
        input_bytes=row_pixels[r] * maps_in * reads_pixels * accelerator.activation_bits / 8,
        output_bytes=rows * maps * layer.n_ox * accelerator.activation_bits / 8,
        read_descriptors=maps_in * reads_pixels + (weight_bits > 0),
        write_descriptors=maps,
    )
    return tiles if layer.channelwise else tiles.repeat(layer.groups)


def tile_loops(layer, cut, accelerator):
    """The loops of each tile of a layer, or of one of its groups, in the order of execution.

    Args:
        layer: A `Layer`.
        cut: Its `Tiling`; `None` for a fully connected layer, which is taken whole.
        accelerator: The `Accelerator`.

    Returns:
        A dict of the arguments of `Unroll.cycles`, the rows and maps as arrays with an entry a tile.
    """
    loops = {name: getattr(layer, name) for name in ("n_kx", "n_ky", "n_if", "n_ox", "n_oy", "n_of")}
    if cut is None:
        return loops
    r, m = _order(cut)
    group_maps = layer.n_of if layer.channelwise else layer.n_of // layer.groups
    drain = accelerator.unroll_for(layer.kind).drain(accelerator.output_words_per_cycle) if layer.macs else 1
    rows, maps = _sizes(layer.n_oy, cut.rows)[r], _sizes(group_maps, cut.maps)[m]
    return loops | {"n_oy": rows, "n_of": maps, "drain": drain}


def _order(cut):
    """The number of the tile of rows and of the tile of maps, tile by tile in the order of execution."""
    r, m = np.meshgrid(np.arange(cut.row_tiles), np.arange(cut.map_tiles), indexing="ij")
    return (r.T.ravel(), m.T.ravel()) if cut.order == "maps" else (r.ravel(), m.ravel())


def _weights(layer):
    """Weights and biases of one output map; a fused scale and shift may count more than one value a map."""
    per_map = layer.n_kx * layer.n_ky * layer.n_if if layer.weights else 0
    return per_map, layer.biases / layer.n_of


def _sizes(total, tile):
    """The sizes of the tiles along one loop: all whole but the last."""
    starts = np.arange(0, total, tile)
    return np.minimum(tile, total - starts)


def _pixels_read(layer, axis, tile, tiles):
    """Input positions that each tile along an axis reads: what its windows cover, zeros left out."""
    n_out, n_in = ((layer.n_ox, layer.n_ix), (layer.n_oy, layer.n_iy))[axis]
    starts = np.arange(tiles) * tile
    first = starts * layer.stride[axis] - layer.padding[axis][0]
    last = (np.minimum(starts + tile, n_out) - 1) * layer.stride[axis] - layer.padding[axis][0] + layer.reach(axis)
    return np.maximum(np.minimum(last, n_in) - np.maximum(first, 0), 0)

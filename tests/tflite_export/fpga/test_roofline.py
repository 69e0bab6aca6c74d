"""The plots of an estimate: what is drawn where, read back from the SVG."""

import math
from xml.etree import ElementTree

import pytest

from cgap_keras.report import palette
from tflite_export import fpga
from tflite_export.fpga.loops.layer import Layer
from tflite_export.fpga.plots.layer_chart import layer_chart
from tflite_export.fpga.plots.roofline import roofline

SVG = "{http://www.w3.org/2000/svg}"
CONV = Layer("block/conv", "conv", n_kx=3, n_ky=3, n_if=64, n_ox=28, n_oy=28, n_of=64, padding=((1, 1), (1, 1)))
DENSE = Layer("a < b & $c$", "fully_connected", n_if=4096, n_of=100)
POOL = Layer("pool", "pool", n_kx=2, n_ky=2, n_ox=14, n_oy=14, n_of=64, stride=(2, 2), groups=64)


def estimate(layers, **changes):
    return fpga.estimate(layers, fpga.accelerator("ma_arria10_200mhz", **changes))


def titles(text):
    """The title of each part by its id."""
    root = ElementTree.fromstring(text)
    return {x.get("id"): x.find(f"{SVG}title").text for x in root.iter() if x.find(f"{SVG}title") is not None}


def texts(text):
    return [x.text for x in ElementTree.fromstring(text).iter(f"{SVG}text")]


def place(text, name):
    """Where the mark of a part lies, in the picture's units."""
    (group,) = (x for x in ElementTree.fromstring(text).iter() if x.get("id") == name)
    (use,) = group.iter(f"{SVG}use")
    return float(use.get("x")), float(use.get("y"))


def test_a_point_a_layer_with_its_figures():
    found = estimate((CONV, DENSE, POOL))
    text = roofline(found)
    names = titles(text)
    # The pooling does not multiply. 2 * 4096 * 100 operations over 2 * 409600 + 2 * 4096 + 2 * 100 bytes.
    assert set(names) == {"roofline-layer-0", "roofline-layer-1", "roofline-network"}
    assert names["roofline-layer-1"].startswith("a < b & $c$: 0.99 operations a byte, ")
    assert names["roofline-layer-1"].endswith("bound by weights")
    gops = 2e-3 * 9 * 64 * 64 * 28 * 28 / found.layers[0].latency_us
    assert f"{gops:,.0f} GOPS" in names["roofline-layer-0"]
    assert "bound by compute" in names["roofline-layer-0"]


def test_layers_at_one_place_are_one_point():
    names = titles(roofline(estimate((CONV, DENSE, CONV, CONV))))
    assert len(names) == 3
    assert names["roofline-layer-0"].startswith("block/conv and 2 more: ")


def test_points_lie_where_their_figures_say():
    # Both axes are logarithmic: of three points in the picture, two give the scale and the third must agree.
    found = estimate((CONV, DENSE))
    text = roofline(found)
    sizes = [(x.macs, x.dram_bytes, x.latency_us) for x in found.layers]
    sizes.append((found.macs, found.dram_bytes, 1e3 * found.latency_ms))
    figures = [(2 * macs / num_bytes, macs / us) for macs, num_bytes, us in sizes]
    places = [place(text, f"roofline-{name}") for name in ("layer-0", "layer-1", "network")]
    for axis in (0, 1):
        values, seen = [math.log(x[axis]) for x in figures], [x[axis] for x in places]
        assert (seen[2] - seen[0]) / (seen[1] - seen[0]) == pytest.approx(
            (values[2] - values[0]) / (values[1] - values[0]), abs=1e-4
        )


@pytest.mark.parametrize(
    "duplex, labels",
    # min(64 bytes * 200 MHz, 25.6 GB/s * 0.7) is 12.8 or 17.92 GB/s: the memory's.
    [(True, {"35.8 GB/s, both ways", "17.9 GB/s, one way"}), (False, {"17.9 GB/s"})],
)
def test_the_roof_says_peak_and_bandwidth(duplex, labels):
    shown = texts(roofline(estimate((CONV,), duplex=duplex, dma_bits=1024)))
    assert {x for x in shown if "GB/s" in x} == labels
    # 32 * 14 * 7 units at 200 MHz.
    assert "1,254 GOPS peak" in shown


def test_the_layers_in_the_order_of_execution():
    text = layer_chart(estimate((CONV, DENSE, POOL)))
    names = list(titles(text).values())
    assert [name.split(" (")[0] for name in names] == ["block/conv", "a < b & $c$", "pool"]
    assert {"block/conv", "a < b & $c$", "pool"} <= set(texts(text))


def test_many_layers_are_columns_whose_titles_name_them():
    text = layer_chart(estimate((CONV, POOL) * 40))
    assert len(titles(text)) == 80
    assert "block/conv" not in texts(text)
    assert "layer, in the order of execution" in texts(text)


@pytest.mark.parametrize("draw", [roofline, layer_chart])
def test_plots_follow_the_theme_and_are_the_same_every_time(draw):
    text = draw(estimate((CONV, DENSE)))
    assert text == draw(estimate((CONV, DENSE)))
    assert "prefers-color-scheme:dark" in text
    body = text.partition("</style>")[2]
    assert "var(--grow)" in body
    assert not any(palette.light(name) in body for name in palette.COLOURS)


def test_what_cannot_be_drawn():
    flow = fpga.Dataflow(name="flow", clock_mhz=100.0, weight_bits=4, activation_bits=4, device="zu9eg")
    with pytest.raises(ValueError, match="Only an `Accelerator` has a roofline.*Received: estimate of 'flow'"):
        roofline(fpga.estimate((CONV,), flow))
    with pytest.raises(ValueError, match="must have a layer that multiplies. Received: estimate of"):
        roofline(estimate((POOL,)))
    with pytest.raises(ValueError, match="must have a layer that takes time. Received: estimate of"):
        layer_chart(estimate((Layer("s", "host"),)))

import importlib.resources
import runpy
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.image import imread

from cgap_keras.report import training_chart, widths_chart
from cgap_keras.report.chart import course, training_figure, widths_figure

WIDTHS = {"conv2d": 6, "conv2d_1": 12, "conv2d_2": 16, "dense": 24}


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_png_is_an_image_with_something_on_it(edits, tmp_path):
    path = widths_chart(edits, WIDTHS, tmp_path / "new" / "widths.png", epochs=32)
    pixels = imread(path)
    assert pixels.shape[1] == 1520
    assert 0.02 < np.mean(np.abs(pixels - pixels[0, 0]).max(axis=-1) > 0.1) < 0.9


def test_svg_is_xml_with_the_names_of_the_groups(edits, tmp_path):
    root = ElementTree.parse(widths_chart(edits, WIDTHS, tmp_path / "widths.svg")).getroot()
    shown = {"".join(element.itertext()).strip() for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert {*WIDTHS, "epoch", "Parameters"} <= shown


def test_the_same_run_gives_the_same_file(edits, history, tmp_path):
    files = [training_chart(history, edits, tmp_path / f"{i}.svg").read_bytes() for i in range(2)]
    assert files[0] == files[1]


def test_parameters_are_drawn_as_recorded(edits):
    line = widths_figure(tuple(edits), WIDTHS, epochs=32).axes[1].lines[0]
    after = [edit.params_after for edit in edits]
    assert list(line.get_ydata()) == [edits[0].params_before, *after, after[-1]]
    assert list(line.get_xdata()) == [0, *(edit.epoch for edit in edits), 32]


def test_areas_are_as_high_as_the_share_of_the_peak(edits):
    lines = [line for line in widths_figure(tuple(edits), WIDTHS, 32).axes[0].lines if len(line.get_xdata()) > 2]
    heights = np.array(lines[3].get_ydata()[:-1])
    widths = np.array([WIDTHS["dense"], *(edit.widths["dense"] for edit in edits)])
    np.testing.assert_allclose(heights / heights.max(), widths / widths.max())


def test_widths_at_start_peak_and_end_stand_beside_the_row(edits):
    shown = texts(widths_figure(tuple(edits), WIDTHS, epochs=32))
    for group, start in WIDTHS.items():
        widths = [start, *(edit.widths[group] for edit in edits)]
        assert f"{widths[0]} → {max(widths)} → {widths[-1]}" in shown


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([6, 20, 14], "6 → 20 → 14"),
        ([6, 8, 20], "6 → 20"),
        ([20, 8], "20 → 8"),
        ([5, 5], "5"),
        ([5, 9, 5], "5 → 9 → 5"),
    ],
)
def test_course_says_each_turn_once(values, expected):
    assert course(values) == expected


@pytest.mark.parametrize("count", [1, 3, 12, 13, 60])
@pytest.mark.parametrize("inches", [3.65, 7.6])
def test_labels_lie_inside_the_figure_whatever_the_number_of_groups(count, inches):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    widths = {f"stage{i // 20}/block{i % 20}/conv2d_{i}": 64 + i for i in range(count)}
    figure = widths_figure((), widths, epochs=10, inches=inches)
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    boxes = [text.get_window_extent(renderer) for text in figure.axes[0].texts]
    assert len(boxes) >= 2 * count
    assert min(box.x0 for box in boxes) >= 0 and max(box.x1 for box in boxes) <= figure.bbox.x1


def test_heat_map_shades_are_shares_of_the_peak(edits):
    widths = {f"conv2d_{i}": WIDTHS["dense"] for i in range(13)}
    named = [edit.__class__(**{**edit.to_dict(), "widths": {}, "plan": {}}) for edit in edits]
    flat = widths_figure(tuple(named), widths, epochs=32).axes[0]
    assert len(flat.collections) == 13
    moving = [
        edit.__class__(**{**edit.to_dict(), "widths": {"conv2d_0": w}, "plan": {}})
        for edit, w in zip(edits[:3], (48, 96, 24), strict=True)
    ]
    bars = widths_figure(tuple(moving), widths, epochs=32).axes[0].collections
    spans = [bar.get_paths()[0].get_extents() for bar in bars[:4]]
    assert len(bars) == 13 + 3
    assert [(span.x0, span.x1) for span in spans] == [(0, 1), (1, 3), (3, 5), (5, 32)]


def test_names_with_signs_of_formulas_are_plain_text(edits, tmp_path):
    path = widths_chart((), {"a$b$_{": 3, "<&>": 4}, tmp_path / "widths.svg")
    shown = {"".join(element.itertext()).strip() for element in ElementTree.parse(path).iter()}
    assert {"a$b$_{", "<&>"} <= shown


def test_training_draws_the_history(edits, history):
    accuracy, loss = training_figure(history, tuple(edits)).axes
    drawn = [line.get_ydata() for line in (*accuracy.lines, *loss.lines) if len(line.get_xdata()) == 32]
    np.testing.assert_allclose(drawn[0], 100 * np.array(history["accuracy"]))
    np.testing.assert_allclose(drawn[1], 100 * np.array(history["val_accuracy"]))
    np.testing.assert_allclose(drawn[2:], [history["loss"], history["val_loss"]])


def test_training_marks_each_edit_in_each_panel(edits, history):
    times = {edit.epoch for edit in edits}
    for axes in training_figure(history, tuple(edits)).axes:
        upright = [line for line in axes.lines if len(set(line.get_xdata())) == 1 and len(line.get_xdata()) == 2]
        assert {line.get_xdata()[0] for line in upright} == times


def test_training_of_one_epoch_with_a_loss_alone(tmp_path):
    path = training_chart({"loss": [0.5]}, (), tmp_path / "training.png")
    assert path.stat().st_size > 2000


@pytest.mark.parametrize("history", [{}, {"lr": [0.1]}, {"loss": []}])
def test_a_history_with_nothing_to_draw_is_refused(history, tmp_path):
    with pytest.raises(ValueError, match="`training_history` must hold an accuracy or a loss"):
        training_chart(history, (), tmp_path / "training.svg")
    assert list(tmp_path.iterdir()) == []


def test_another_format_is_refused_before_anything_is_written(edits, tmp_path):
    with pytest.raises(ValueError, match=r"`path` must end with .png or .svg"):
        widths_chart(edits, WIDTHS, tmp_path / "widths.bmp")
    with pytest.raises(ValueError, match=r"`initial_widths` must name at least one group. Received: initial_widths={}"):
        widths_chart([], {}, tmp_path / "widths.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["canvas", "chart", "embed", "page", "sections"])
def test_the_modules_load_without_matplotlib(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    file = importlib.resources.files("cgap_keras.report").joinpath(f"{name}.py")
    assert runpy.run_path(str(file))["__doc__"]


def test_drawing_leaves_no_global_trace(edits, history, tmp_path):
    from matplotlib import pyplot

    settings = dict(pyplot.rcParams)
    widths_chart(edits, WIDTHS, tmp_path / "widths.svg")
    training_chart(history, edits, tmp_path / "training.png")
    assert pyplot.get_fignums() == []
    assert dict(pyplot.rcParams) == settings

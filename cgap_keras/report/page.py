"""The page of a run: one HTML file that shows what came out, and how the network grew and shrank on the way."""

import importlib.resources
import string

from cgap_keras.report import chart, comparison, palette, sections
from cgap_keras.report.files import write_atomically
from cgap_keras.report.history import as_edits
from cgap_keras.report.markup import text


def write_page(path, summary, edits, initial_widths, training_history):
    """Writes the report of a run as one self-contained HTML file.

    The file needs no network and no other file, follows the reader's light or dark theme, and fits a phone. It is put
    together in memory and takes its name in one step, so a failure leaves no part of a page behind, and an older page
    as it was.

    Args:
        path: Where the page goes. Its folder is made where it is missing.
        summary: The dict that a run writes: `"dataset"`, `"model"`, and under `"dense"` and `"compact"` at least
            `"accuracy"` (between 0 and 1), `"params"` and `"macs"`, with `"seconds"`, `"files"` (kind -> path, bytes,
            accuracy, latency_ms, max_abs_error) and `"fpga"` where they are known; beside them `"seed"`, `"epochs"`,
            `"environment"` (name -> version) and `"command"` (what to type to make the run again), all of which may be
            missing.
        edits: A sequence of `Edit` or of their dicts, in the order in which they were made.
        initial_widths: Name of a group -> its units at the start, in the order of the network.
        training_history: Name of a metric -> its value at the end of each epoch, as `History.history` of `fit` holds
            it; empty or `None` leaves the training chart out.

    Returns:
        The path, as a `pathlib.Path`.

    Raises:
        ValueError: If the summary lacks a figure that every report needs, `initial_widths` is empty, or the edits do
            not fit it.

    Example:

    ```python
    history = model.fit(x, y, epochs=30, callbacks=[cgap])
    write_page("report.html", summary, edits, initial_widths, history.history)
    ```
    """
    comparison.check_summary(summary)
    content = _render(summary, as_edits(edits), dict(initial_widths), training_history or {})
    return write_atomically(path, content)


def _render(summary, edits, initial_widths, training_history):
    facts = [comparison.title(summary), *(f"{key} {summary[key]}" for key in ("seed", "epochs") if key in summary)]
    return string.Template(_resource("page.html")).substitute(
        title=text(comparison.title(summary)),
        style=palette.css_variables() + _resource("page.css"),
        facts=text(" · ".join(facts)),
        headline=text(comparison.headline(summary)),
        lede=sections.lede(summary),
        tiles=sections.tiles(summary),
        sections="\n".join(_sections(summary, edits, initial_widths, training_history)),
    )


def _sections(summary, edits, initial_widths, training_history):
    epochs = summary.get("epochs")
    yield sections.networks(summary)
    yield sections.growth(edits, initial_widths, epochs)
    if chart.has_curves(training_history):
        yield sections.training(training_history, edits)
    if edits:
        yield sections.edits_table(edits, initial_widths)
    yield sections.descent(edits, initial_widths, epochs)
    if comparison.file_names(summary):
        yield sections.files(summary)
    if comparison.fpga_rows(summary):
        yield sections.fpga(summary)
    yield sections.reproduction(summary)


def _resource(name):
    return importlib.resources.files("cgap_keras.report").joinpath(name).read_text(encoding="utf-8")

"""The few pieces of HTML that a page is put together from. Text is escaped here, once, and nowhere else."""

import dataclasses
import html


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        heading: What stands above it.
        style: The CSS classes of its cells: `left`, `strong`, `wrap`, `slim`, `path`, `kind`; `ratio` is left out on a
            phone.
    """

    heading: str
    style: str = ""


def text(value):
    """Any text made safe for HTML, in content and in attributes; a percent sign stays on the line of its number."""
    return html.escape(str(value)).replace(" %", "\N{NO-BREAK SPACE}%")


def number(value):
    """A figure as text made safe: with a true minus sign, a multiplication sign, and no break before its unit."""
    shown = str(value)
    if shown[:1] == "-" and shown[1:2].isdigit():
        shown = f"−{shown[1:]}"
    if shown[-1:] == "x" and shown[:1].isdigit():
        shown = f"{shown[:-1]}×"
    return text("–" if shown == "-" else shown)


def table(columns, rows):
    """A table that scrolls by itself where the screen is narrow.

    Args:
        columns: A sequence of `Column`.
        rows: Rows of plain text, a cell for each column; the first cell is the row's heading.

    Returns:
        HTML.
    """
    head = "".join(
        f'<th scope="col"{_style(column, ("left", "ratio", "slim"))}>{text(column.heading)}</th>' for column in columns
    )
    body = "".join(f"<tr>{''.join(_cells(columns, row))}</tr>\n" for row in rows)
    return f'<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table></div>'


def section(title, *parts, note=""):
    """A part of the page with its title, a sentence that says what it shows, and its content (HTML)."""
    said = f'<p class="note">{text(note)}</p>\n' if note else ""
    return f"<section>\n<h2>{text(title)}</h2>\n{said}{''.join(parts)}\n</section>"


def pairs(values):
    """Names and values as a list of terms."""
    items = "".join(f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>" for name, value in values)
    return f'<dl class="pairs">{items}</dl>'


def _cells(columns, row):
    for i, (column, cell) in enumerate(zip(columns, row, strict=True)):
        if i == 0:
            yield f'<th scope="row">{text(cell)}</th>'
        elif column.style == "kind":
            yield f'<td class="left"><span class="kind {text(cell)}">{text(cell)}</span></td>'
        elif column.style == "path":
            yield f'<td class="left path"><code>{text(cell)}</code></td>'
        else:
            yield f"<td{_style(column)}>{number(cell)}</td>"


def _style(column, only=None):
    kept = [word for word in column.style.split() if only is None or word in only]
    # Kinds and paths are words, which start at the left whatever the column.
    if only and column.style in ("kind", "path"):
        kept.append("left")
    return f' class="{" ".join(kept)}"' if kept else ""

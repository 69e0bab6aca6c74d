import copy
import html.parser
import os
import re

import pytest

from cgap_keras.report import lineage, write_page

WIDTHS = {"conv2d": 6, "conv2d_1": 12, "conv2d_2": 16, "dense": 24}
VOID = {"meta", "br"}


class Page(html.parser.HTMLParser):
    """The page as a reader gets it: its text, its tags, its tables; complains about tags that do not match."""

    def __init__(self, source):
        super().__init__()
        self.open, self.tags, self.words, self.rows, self.ids = [], [], [], [], []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            expected = self.open.pop()
            if tag != expected:
                raise ValueError(f"</{tag}> closes <{expected}>")

    def handle_data(self, data):
        self.words.append(data)
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data

    def text(self):
        return " ".join("".join(self.words).replace("\N{NO-BREAK SPACE}", " ").split())

    def row(self, label):
        return next([c.replace("\N{NO-BREAK SPACE}", " ") for c in row] for row in self.rows if row[0] == label)


def read(path):
    return path.read_text(encoding="utf-8")


@pytest.fixture
def source(tmp_path, summary, edits, history):
    return read(write_page(tmp_path / "page.html", summary, edits, WIDTHS, history))


def test_every_tag_is_closed_and_every_id_is_used_once(source):
    page = Page(source)
    assert page.open == []
    assert len(page.ids) > 100 and len(set(page.ids)) == len(page.ids)
    assert [tag for tag, _ in page.tags].count("svg") == 4 + len(WIDTHS) + 3


def test_references_inside_the_charts_lead_somewhere(source):
    page = Page(source)
    links = [attrs["href"] for tag, attrs in page.tags if tag == "use"] + re.findall(r"url\((#[^)]*)\)", source)
    assert len(links) > 20
    assert {link.removeprefix("#") for link in links} <= set(page.ids)


def test_the_page_needs_nothing_from_outside(source):
    page = Page(source)
    assert not re.search(r"https?:|//[a-z]|@import|src\s*=|url\((?!#)", source)
    assert not {"script", "link", "img", "image", "iframe", "object"} & {tag for tag, _ in page.tags}


def test_the_figures_of_the_page_are_those_of_the_summary(tmp_path, summary, edits, history):
    summary["dense"].update(accuracy=0.9915, params=61706, macs=416520)
    summary["compact"].update(accuracy=0.9903, params=10482, macs=120000)
    for side, size in (("dense", 64906), ("compact", 13682)):
        summary[side]["files"]["int8"].update(bytes=size, path=f"{side}/int8.tflite", max_abs_error=0.03125)
    summary["compact"]["fpga"].update(latency_ms=0.0706)
    page = Page(read(write_page(tmp_path / "page.html", summary, edits, WIDTHS, history)))
    text = page.text()
    assert "LeNet-5 on MNIST: 99.03 % test accuracy with 83.0 % fewer parameters" in text
    assert "The compact network has 10,482 parameters where the dense one has 61,706" in text
    assert "takes 120,000 multiply-accumulates instead of 416,520 (71.2 % fewer)" in text
    assert "Its test accuracy is 0.12 points below the dense network's 99.15 %." in text
    assert "As an int8 file it takes 13.7 kB instead of 64.9 kB." in text
    assert page.row("Test accuracy") == ["Test accuracy", "99.15 %", "99.03 %", "−0.12 points", ""]
    assert page.row("Parameters") == ["Parameters", "61,706", "10,482", "−83.0 %", "5.89×"]
    assert page.row("int8 file") == ["int8 file", "64.9 kB", "13.7 kB", "−78.9 %", "4.74×"]
    assert page.row("Latency")[2] == "0.0706 ms"
    files = [row for row in page.rows if row[1:3] == ["compact/int8.tflite", "int8"]]
    assert [(row[3], row[6]) for row in files] == [("13,682", "0.0312")]
    for word in (summary["command"], "tensorflow 2.21.0".split()[1], "3.15.1"):
        assert word in text


def test_every_edit_is_a_row_with_what_came_and_went(source, edits):
    rows = [row for row in Page(source).rows if len(row) == 7 and row[1] in ("grow", "prune")]
    assert [(row[0], row[1]) for row in rows] == [(str(edit.epoch), edit.kind) for edit in edits]
    first, last = edits[0], edits[-1]
    assert rows[0][3] == f"{first.params_before:,} → {first.params_after:,}"
    assert rows[0][2] == f"{sum(WIDTHS.values())} → {first.units_after}"
    assert rows[0][6].replace("\N{NO-BREAK SPACE}", " ") == "conv2d +1, conv2d_1 +2, conv2d_2 +3, dense +4"
    assert rows[-1][6].count("−") == 4 and "+" not in rows[-1][6]
    assert rows[-1][3] == f"{last.params_before:,} → {last.params_after:,}"


def test_the_charts_tell_each_edit_under_the_pointer(source, edits):
    text = "".join(Page(source).words)
    assert all(text.count(edit.describe()) == 4 for edit in edits)


def test_the_trees_show_every_unit_that_ever_lived(source, edits):
    page = Page(source)
    for group, descent in lineage(edits, WIDTHS).items():
        grown = len(descent.units) + len(descent.pruned) - descent.seeds
        counts = f"{descent.seeds} seed units, {grown} grown, {len(descent.pruned)} pruned, {len(descent.units)} now"
        assert counts in page.text()
        assert any(attrs.get("aria-label") == f"{group}: {counts}" for tag, attrs in page.tags if tag == "svg")
    families = lineage(edits, WIDTHS).values()
    survivors = sum(len(descent.units) for descent in families)
    drawn = [attrs for tag, attrs in page.tags if tag == "path" and attrs.get("class") in ("seed", "grown")]
    assert sum(attrs["d"].endswith("H1000") for attrs in drawn) == survivors
    assert len(drawn) == survivors + 2
    gone = [attrs["d"].count("M") for tag, attrs in page.tags if tag == "path" and attrs.get("class") == "gone"]
    assert sum(gone) == sum(len(descent.pruned) for descent in families) + 1


def test_text_is_escaped_wherever_it_comes_from(tmp_path, summary, edits, history):
    evil = '<evil x="\'">&$title'
    summary.update(dataset=evil, model=evil, command=evil, environment={evil: evil})
    summary["compact"]["files"][evil] = {"path": evil, "bytes": 10}
    summary["compact"]["fpga"].update({"device": evil, evil: 3})
    renamed = []
    for edit in edits:
        values = copy.deepcopy(edit.to_dict())
        values.update(kind=evil, widths={}, plan={evil if g == "conv2d" else g: i for g, i in edit.plan.items()})
        renamed.append(values)
    widths = {evil if group == "conv2d" else group: units for group, units in WIDTHS.items()}
    source = read(write_page(tmp_path / "page.html", summary, renamed, widths, history))
    page = Page(source)
    assert "<evil" not in source
    assert page.open == []
    assert page.text().count(evil) >= 20
    assert all(set(attrs) <= {"class", "scope"} for tag, attrs in page.tags if tag in ("td", "th", "span"))


def test_a_short_summary_leaves_sections_out(tmp_path, summary):
    for side in ("dense", "compact"):
        summary[side] = {key: summary[side][key] for key in ("accuracy", "params", "macs")}
    for key in ("epochs", "seed", "command", "environment"):
        del summary[key]
    page = Page(read(write_page(tmp_path / "page.html", summary, [], {"dense": 3}, None)))
    titles = re.findall(r"<h2>(.*?)</h2>", read(tmp_path / "page.html"))
    assert titles == [
        "Dense and compact", "How the network grew and shrank", "Descent of the units", "To make this run again",
    ]  # fmt: skip
    assert "3 seed units, 0 grown, 0 pruned, 3 now" in page.text()


def test_many_groups_open_on_request(tmp_path, summary, edits):
    widths = {f"conv2d_{i}": 4 for i in range(60)}
    many = [
        edit.__class__(**{**edit.to_dict(), "widths": {}, "plan": {group: [0, 1, 2, 3] for group in widths}})
        for edit in edits
    ]
    grown = {**many[3].to_dict(), "plan": {group: [0, 1, 2, 3, 0] for group in widths}}
    page = Page(read(write_page(tmp_path / "page.html", summary, [*many[:3], grown], widths, {})))
    assert [tag for tag, _ in page.tags].count("details") == 60
    rows = [row for row in page.rows if len(row) == 7 and row[1] == "grow"]
    assert [row[6] for row in rows] == ["", "", "", "60 groups"]


@pytest.mark.parametrize("failing", ["write", "replace"])
def test_a_failure_leaves_the_older_page_and_nothing_else(tmp_path, summary, edits, history, monkeypatch, failing):
    path = tmp_path / "page.html"
    path.write_text("older")

    def fail(*arguments, **_):
        if failing == "write":
            os.close(os.open(arguments[0], os.O_CREAT | os.O_WRONLY))
        raise OSError("disk full")

    monkeypatch.setattr("pathlib.Path.write_bytes" if failing == "write" else "os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_page(path, summary, edits, WIDTHS, history)
    assert [entry.name for entry in tmp_path.iterdir()] == ["page.html"]
    assert path.read_text() == "older"


@pytest.mark.parametrize("widths", [{}, {"conv2d": 6}])
def test_wrong_widths_are_refused_before_anything_is_written(tmp_path, summary, edits, history, widths):
    with pytest.raises(ValueError, match="`initial_widths` must name"):
        write_page(tmp_path / "page.html", summary, edits, widths, history)
    assert list(tmp_path.iterdir()) == []

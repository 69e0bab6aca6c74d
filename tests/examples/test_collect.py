"""The table and the plot: what is averaged, what is never put together, and figures worked by hand."""

import json
import pathlib
import subprocess
import sys

import pytest

from examples import comparison
from examples.plot import spread_out

SCRIPT = pathlib.Path(__file__).parents[2] / "examples" / "collect.py"
ENVIRONMENT = {"backend": "tensorflow", "machine": "x86_64", "cores": 2}


def row(method, seed, top1, **values):
    settings = {name: 1 for name in comparison.NEEDED}
    known = {"dataset": "digits", "model": "digits_cnn", "split": "validation", "epochs": 9, "images": 100}
    costs = {"params": 2000, "macs": 4e6, "training_macs": 6e9, "seconds": 50.0, "file_bytes": None, "latency_ms": 0.5}
    run = {"method": method, "seed": seed, "top1": top1, "finished": True, "environment": ENVIRONMENT}
    return {**settings, **known, **costs, **run, **values}


def lines(*rows):
    """The cells of each line of the only table, header left out."""
    (table,) = comparison.compare(rows)
    text = comparison.to_markdown([table]).splitlines()
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text[4:]]


def test_a_line_is_worked_by_hand():
    dense = [row("dense", 0, 0.98), row("dense", 1, 0.96)]
    cgap = [row("cgap", seed, top1, macs=1e6, params=500, seconds=25.0) for seed, top1 in enumerate((0.95, 0.97, 0.93))]
    first, second = lines(*cgap, *dense)
    assert first == ["dense", "2", "97.00 ± 1.41", "96.00", "", "2 k", "4 M", "6 G", "50", "", "0.500"]
    assert second == [
        *("cgap", "3", "95.00 ± 2.00", "93.00", "-2.00", "500 (x 0.250)", "1 M (x 0.250)", "6 G (x 1.000)"),
        *("25 (x 0.500)", "", "0.500 (x 1.000)"),
    ]


def test_a_single_run_has_no_spread_and_without_dense_there_is_no_ratio():
    assert lines(row("cgap", 0, 0.9)) == [
        ["cgap", "1", "90.00", "90.00", "", "2 k", "4 M", "6 G", "50", "", "0.500"],
    ]


def test_times_of_different_machines_are_not_compared():
    other = {**ENVIRONMENT, "cores": 8}
    _, second = lines(row("dense", 0, 0.98), row("narrow", 0, 0.9, environment=other))
    assert second[-3:] == ["50", "", "0.500"] and second[6] == "4 M (x 1.000)"


@pytest.mark.parametrize(
    "difference",
    [{"split": "test"}, {"epochs": 10}, {"images": 99}, {"dataset": "mnist"}, {"model": "lenet5"}],
)
def test_what_may_not_be_compared_stands_in_tables_of_their_own(difference):
    tables = comparison.compare([row("dense", 0, 0.9), row("dense", 1, 0.8, **difference), row("cgap", 0, 0.7)])
    assert sorted([(len(table.groups), [len(group.rows) for group in table.groups]) for table in tables]) == [
        (1, [1]),
        (2, [1, 1]),
    ]


@pytest.mark.parametrize(
    ("method", "difference", "label"),
    [
        ("cgap", {"target": 0.5}, "cgap target=0.5"),
        ("cgap", {"seed_width": 0.5}, "cgap seed_width=0.5"),
        ("prune", {"criterion": "l1"}, "prune criterion=l1"),
        ("narrow", {"target": 0.5}, "narrow target=0.5"),
        ("retrain", {"origin": "prune to 0.4 of macs"}, "retrain origin=prune to 0.4 of macs"),
        ("dense", {"learning_rate": 0.5}, "dense learning_rate=0.5"),
    ],
)
def test_runs_with_another_setting_are_not_averaged(method, difference, label):
    (table,) = comparison.compare([row(method, 0, 0.9), row(method, 1, 0.8, **difference)])
    name = next(iter(difference))
    assert [group.label for group in table.groups] == [f"{method} {name}=1", label]


@pytest.mark.parametrize(
    ("method", "difference"),
    [("dense", {"target": 0.5}), ("narrow", {"criterion": "l1"}), ("retrain", {"structure": "other"})],
)
def test_a_setting_that_a_method_does_not_use_does_not_part_its_runs(method, difference):
    (table,) = comparison.compare([row(method, 0, 0.9), row(method, 1, 0.8, **difference)])
    assert [(group.label, len(group.rows)) for group in table.groups] == [(method, 2)]


def test_a_run_counts_once():
    with pytest.raises(ValueError, match=r"each run must be there once. Received: method cgap with the seeds \[0, 0\]"):
        comparison.compare([row("cgap", 0, 0.9), row("cgap", 0, 0.9)])


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([], []),
        ([5.0], [5.0]),
        ([0.0, 20.0], [0.0, 20.0]),
        ([5.0, 5.0], [0.0, 10.0]),
        ([0.0, 1.0, 2.0], [-9.0, 1.0, 11.0]),
        # The third pushes the second, which pushes the first.
        ([0.0, 10.0, 11.0], [-3.0, 7.0, 17.0]),
        ([0.0, 50.0, 51.0], [0.0, 45.5, 55.5]),
    ],
)
def test_labels_are_spread_out_no_more_than_needed(places, expected):
    assert spread_out(places, 10) == pytest.approx(expected)


def run_script(*arguments):
    return subprocess.run([sys.executable, str(SCRIPT), *map(str, arguments)], capture_output=True, text=True)


def test_the_script_writes_a_table_and_a_plot(tmp_path):
    paths = []
    for number, values in enumerate([("dense", 0, 0.98), ("cgap", 0, 0.96), ("cgap", 1, 0.95)]):
        paths.append(tmp_path / f"{number}.json")
        paths[-1].write_text(json.dumps(row(*values)))
    finished = run_script(*paths, f"--out={tmp_path / 'out'}")
    assert finished.returncode == 0, finished.stderr
    assert (tmp_path / "out" / "table.md").read_text() in finished.stdout
    assert (tmp_path / "out" / "plot.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "a row must be a file of JSON"),
        ("[]", "a row must be what train.py writes"),
        ('{"method": "cgap"}', "lacks dataset, model"),
        (json.dumps({**row("cgap", 0, 0.9), "finished": False}), "the run ended before its network was at the target"),
    ],
)
def test_a_file_that_is_no_row_is_refused_by_its_path(content, words, tmp_path):
    path = tmp_path / "row.json"
    path.write_text(content)
    finished = run_script(path, f"--out={tmp_path / 'out'}")
    assert finished.returncode == 1
    assert words in finished.stderr and str(path) in finished.stderr and "Traceback" not in finished.stderr
    assert not (tmp_path / "out").exists()

import pytest

from cgap_keras.report import figures


@pytest.mark.parametrize(
    ("write", "arguments", "expected"),
    [
        (figures.count, (10482,), "10,482"),
        (figures.count, (None,), "-"),
        (figures.count, (float("nan"),), "-"),
        (figures.short_count, (0,), "0"),
        (figures.short_count, (15000,), "15 k"),
        (figures.short_count, (999_700,), "1 M"),
        (figures.short_count, (2_512_000,), "2.51 M"),
        (figures.accuracy, (0.98912,), "98.91 %"),
        (figures.size, (999,), "999 B"),
        (figures.size, (14_249,), "14.2 kB"),
        (figures.size, (20_040_000,), "20.0 MB"),
        (figures.measure, (0.12449, "ms"), "0.124 ms"),
        (figures.measure, (12345.6, "ms"), "12,346 ms"),
        (figures.measure, (2.4e-7,), "2.4e-07"),
        (figures.duration, (8.44,), "8.4 s"),
        (figures.duration, (59.97,), "1 min 0 s"),
        (figures.duration, (724,), "12 min 4 s"),
        (figures.duration, (7505,), "2 h 5 min"),
        (figures.change, (61706, 10482), "-83.0 %"),
        (figures.change, (100, 100), "0.0 %"),
        (figures.change, (0, 5), "-"),
        (figures.change, (None, 5), "-"),
        (figures.points, (0.9915, 0.9903), "-0.12 points"),
        (figures.points, (0.5, 0.5), "0.00 points"),
        (figures.ratio, (61706, 10482), "5.89x"),
        (figures.ratio, (5, 0), "-"),
        (figures.fewer, (100, 17), "83.0 % fewer"),
        (figures.fewer, (100, 112.5), "12.5 % more"),
        (figures.fewer, (7, 7), "as many"),
        (figures.plain, (True,), "yes"),
        (figures.plain, (12000,), "12,000"),
        (figures.plain, ("2.21.0",), "2.21.0"),
    ],
)
def test_figures_are_written_as_a_person_reads_them(write, arguments, expected):
    assert write(*arguments) == expected

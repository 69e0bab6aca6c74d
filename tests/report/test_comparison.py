import pytest

from cgap_keras.report import comparison, summary_table


def rows_of(table):
    """Label -> the other cells of each line of a table whose cells stand two blanks apart."""
    lines = (line.split("  ") for line in table.splitlines())
    return {cells[0].strip(): [cell.strip() for cell in cells[1:] if cell.strip()] for cells in lines}


def test_the_table_holds_the_summary(summary):
    dense, compact = summary["dense"], summary["compact"]
    dense.update(accuracy=0.9915, params=61706, macs=416520, seconds=214.3)
    compact.update(accuracy=0.9903, params=10482, macs=120000, seconds=187.9)
    dense["files"]["int8"].update(bytes=64906, latency_ms=0.109)
    compact["files"]["int8"].update(bytes=13682, latency_ms=0.0314)
    dense["fpga"].update(latency_ms=0.245, dsp=1568)
    compact["fpga"].update(latency_ms=0.0706, dsp=784)
    rows = rows_of(summary_table(summary))
    assert rows["Test accuracy"] == ["99.15 %", "99.03 %", "-0.12 points"]
    assert rows["Parameters"] == ["61,706", "10,482", "-83.0 %", "5.89x"]
    assert rows["MACs a forward pass"] == ["416,520", "120,000", "-71.2 %", "3.47x"]
    assert rows["Training time"] == ["3 min 34 s", "3 min 8 s", "-12.3 %", "1.14x"]
    assert rows["int8 file"] == ["64.9 kB", "13.7 kB", "-78.9 %", "4.74x"]
    assert rows["int8 latency"] == ["0.109 ms", "0.0314 ms", "-71.2 %", "3.47x"]
    assert rows["Latency"] == ["0.245 ms", "0.0706 ms", "-71.2 %", "3.47x"]
    assert rows["DSP blocks"] == ["1,568", "784", "-50.0 %", "2x"]
    assert "FPGA estimate: of16-ox14-oy14 on arria10_gx1150" in rows


def test_the_columns_of_the_table_stand_below_each_other(summary):
    lines = summary_table(summary).splitlines()
    header = next(line for line in lines if line.strip().startswith("dense"))
    end = header.index("compact") + len("compact")
    for label in ("Parameters", "int8 file", "DRAM traffic"):
        line = next(line for line in lines if line.startswith(label))
        assert line[end - 1] != " " and line[end : end + 2] == "  "


def test_only_what_is_known_gets_a_row(summary):
    for side in ("dense", "compact"):
        summary[side] = {key: summary[side][key] for key in ("accuracy", "params", "macs")}
    assert list(rows_of(summary_table(summary)))[-3:] == ["Test accuracy", "Parameters", "MACs a forward pass"]
    assert "file" not in summary_table(summary) and "FPGA" not in summary_table(summary)


def test_a_file_of_one_network_alone_has_dashes(summary):
    del summary["dense"]["files"]["int8"]
    row = next(row for row in comparison.file_rows(summary) if row.label == "int8 file")
    assert (row.dense, row.change, row.ratio) == ("-", "-", "-")


def test_other_figures_of_an_estimate_are_shown_under_their_key(summary):
    summary["dense"]["fpga"].update(weight_reads=2000, layers=[1, 2], fits=True)
    summary["compact"]["fpga"].update(weight_reads=500, layers=[1, 2], fits=True)
    rows = {row.label: row for row in comparison.fpga_rows(summary)}
    assert (rows["weight reads"].dense, rows["weight reads"].compact) == ("2,000", "500")
    assert not {"layers", "fits", "LUTs or ALMs", "accelerator"} & set(rows)


@pytest.mark.parametrize("value", [None, "many", float("nan"), True])
def test_a_figure_that_every_report_needs_must_be_a_number(summary, value):
    summary["compact"]["params"] = value
    with pytest.raises(ValueError, match=r"`summary\['compact'\]\['params'\]` must be a number. Received: "):
        summary_table(summary)


def test_a_missing_network_is_named(summary):
    del summary["dense"]
    with pytest.raises(ValueError, match="`summary` must have the key 'dense'"):
        summary_table(summary)


def test_the_headline_tells_growth_from_shrinking(summary):
    summary["dense"]["params"], summary["compact"]["params"] = 1000, 1250
    summary["compact"]["accuracy"] = 0.5
    assert comparison.headline(summary) == "LeNet-5 on MNIST: 50.00 % test accuracy with 25.0 % more parameters"

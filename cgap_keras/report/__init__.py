"""The history of a run: records of its edits, charts, and a page that shows how the network grew and shrank."""

from cgap_keras.report.chart import training_chart, widths_chart
from cgap_keras.report.comparison import summary_table
from cgap_keras.report.history import Edit
from cgap_keras.report.lineage import Descent, Unit, lineage
from cgap_keras.report.page import write_page

__all__ = ["Descent", "Edit", "Unit", "lineage", "summary_table", "training_chart", "widths_chart", "write_page"]

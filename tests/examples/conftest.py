"""The scripts of `examples` import each other by their plain names, as they do when one is run."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "examples"))

"""What the rows of many runs say together: means and spreads over seeds, a table for what may be compared."""

import dataclasses
import statistics

# What has to be equal for figures to stand in one table.
_SHARED = ("dataset", "model", "split", "epochs", "images")
# The settings that a method takes notice of, beside the seed: runs that differ in one are not averaged.
_PRECISION = ("dtype_policy", "fused")
_TRAINING = ("limit", "batch_size", "optimizer", "learning_rate", "weight_decay", "augmentation", *_PRECISION)
_RANKING = ("criterion", "normalize", "scope", "round_to")
_EDITING = (*_RANKING, "target", "currency", "prune_steps", "fine_tune", "every")
# Older rows do not have these, and were made with the defaults, which `None` stands for.
_OPTIONAL = ("new_units", "noise", "growth_share")
_USED = {
    "dense": _TRAINING,
    "narrow": (*_TRAINING, "target", "currency"),
    "retrain": (*_TRAINING, "origin"),
    "prune": (*_TRAINING, *_EDITING, "dense_share"),
    "cgap": (*_TRAINING, *_EDITING, "dense_share", "capacity", "seed_width", "growth_rate", *_OPTIONAL),
}
_MACHINE = ("backend", "machine", "cores")
_COSTS = ("params", "macs", "training_macs", "seconds", "file_bytes", "latency_ms")
NEEDED = (
    *_SHARED,
    *(name for name in _USED["cgap"] if name not in (*_OPTIONAL, *_PRECISION)),
    "origin",
    "method",
    "seed",
    "top1",
    "finished",
    "environment",
    *_COSTS,
)


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs that differ in their seed alone.

    Attributes:
        label: The method, and the settings in which it differs from other groups of the method.
        method: The method.
        rows: The rows.
    """

    label: str
    method: str
    rows: tuple

    def mean(self, name):
        """The mean of a figure over the seeds, `None` if a row does not have it."""
        values = [row[name] for row in self.rows]
        return None if None in values else statistics.fmean(values)

    @property
    def accuracies(self):
        """Top-1 accuracies in percent."""
        return [100 * row["top1"] for row in self.rows]

    @property
    def spread(self):
        """Sample standard deviation of the accuracies, `None` of a single one."""
        return statistics.stdev(self.accuracies) if len(self.rows) > 1 else None

    @property
    def machines(self):
        """Where the runs were made, as far as times depend on it."""
        return {tuple(row["environment"].get(name) for name in _MACHINE) for row in self.rows}


@dataclasses.dataclass(frozen=True)
class Table:
    """Groups that may be compared.

    Attributes:
        title: What they have in common.
        groups: The `Group`s, the dense network first.
    """

    title: str
    groups: tuple


def compare(rows):
    """Puts rows into tables.

    Args:
        rows: A list of rows as `train.py` writes them.

    Returns:
        A list of `Table`s.

    Raises:
        ValueError: If a run is there twice.
    """
    parts = _partition(rows, lambda row: tuple(row[name] for name in _SHARED))
    return [Table(_title(*shared), _groups(part)) for shared, part in sorted(parts.items(), key=str)]


def _title(dataset, model, split, epochs, images):
    return f"{dataset}, {model}, {split} images, {epochs} epochs of {images:,} images"


def _groups(rows):
    groups = []
    for method, of_method in _partition(sorted(rows, key=_place), lambda row: row["method"]).items():
        used = _USED[method]
        parts = _partition(of_method, lambda row, used=used: tuple(row.get(name) for name in used))
        for values, part in parts.items():
            told = [
                f"{name}={value}"
                for i, (name, value) in enumerate(zip(used, values, strict=True))
                if len({other[i] for other in parts}) > 1
            ]
            _check_seeds(method, part)
            groups.append(Group(" ".join([method, *told]), method, tuple(part)))
    return tuple(groups)


def _place(row):
    return list(_USED).index(row["method"])


def _check_seeds(method, rows):
    seeds = [row["seed"] for row in rows]
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"each run must be there once. Received: method {method} with the seeds {sorted(seeds)}")


def _partition(rows, key):
    parts = {}
    for row in rows:
        parts.setdefault(key(row), []).append(row)
    return parts


def to_markdown(tables):
    """The tables as text."""
    return "\n".join(_table(table) for table in tables)


def _table(table):
    header = ("method", "seeds", "top-1, %", "worst", "to dense", "parameters", "MACs", "training MACs", "seconds")
    header = (*header, "file, bytes", "latency, ms")
    reference = next((group for group in table.groups if group.method == "dense"), None)
    lines = [header, ("---",) * len(header), *(_line(group, reference) for group in table.groups)]
    rows = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"## {table.title}\n\n{rows}\n"


def _line(group, reference):
    accuracies = group.accuracies
    mean = statistics.fmean(accuracies)
    spread = "" if group.spread is None else f" ± {group.spread:.2f}"
    to_dense = "" if reference in (None, group) else f"{mean - statistics.fmean(reference.accuracies):+.2f}"
    costs = [_cost(name, group, reference) for name in _COSTS]
    return (group.label, str(len(accuracies)), f"{mean:.2f}{spread}", f"{min(accuracies):.2f}", to_dense, *costs)


def _cost(name, group, reference):
    """A cost and, where it can be compared, its ratio to that of the dense network."""
    value = group.mean(name)
    if value is None:
        return ""
    text = f"{value:.3f}" if name == "latency_ms" else _short(value)
    if reference in (None, group) or not reference.mean(name):
        return text
    timed = name in ("seconds", "latency_ms")
    if timed and (len(group.machines) > 1 or group.machines != reference.machines):
        return text
    return f"{text} (x {value / reference.mean(name):.3f})"


def _short(value):
    for letter, size in (("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {letter}"
    return f"{value:.3g}"

"""BUILD names the tree as it is. Bazel's language is close enough to Python for this file to be run as Python."""

import pathlib

import pytest

ROOT = pathlib.Path(__file__).parent.parent
RULES = ("py_binary", "py_library", "py_test")


def glob(patterns):
    return sorted(path.relative_to(ROOT).as_posix() for pattern in patterns for path in ROOT.glob(pattern))


@pytest.fixture(scope="module")
def targets():
    """The targets of BUILD by name; each is a dictionary of its arguments, with its rule."""
    found = {}

    def record(rule):
        def define(name, **arguments):
            found[name] = {"rule": rule, **arguments}

        return define

    ignored = dict.fromkeys(("load", "package", "licenses", "exports_files"), lambda *args, **kwargs: None)
    rules = {rule: record(rule) for rule in RULES}
    names = {"glob": glob, "requirement": lambda name: f"@pip//{name}", "True": True, **ignored, **rules}
    exec(compile((ROOT / "BUILD").read_text(), "BUILD", "exec"), names)
    return found


def sources(target):
    return [*target["srcs"], *target.get("data", [])]


def test_every_module_belongs_to_a_library(targets):
    owned = [src for target in targets.values() if target["rule"] == "py_library" for src in target["srcs"]]
    packages = glob([f"{folder}/**/*.py" for folder in ("cgap_keras", "tflite_export", "examples", "benchmarks")])
    support = glob(["tests/**/conftest.py", "tests/run_pytest.py"])
    assert sorted(owned) == sorted(packages + support)


def test_every_test_file_has_a_target_that_runs_it(targets):
    tests = {target["args"][0] for target in targets.values() if target["rule"] == "py_test"}
    assert tests == {f"$(location {path})" for path in glob(["tests/**/test_*.py"])}


def test_every_named_file_exists(targets):
    assert [src for target in targets.values() for src in sources(target) if not (ROOT / src).is_file()] == []


def test_every_dependency_is_a_target_or_a_declared_package(targets):
    deps = {dep for target in targets.values() for dep in target["deps"]}
    assert {dep for dep in deps if dep.startswith(":")} <= {f":{name}" for name in targets}
    setup = (ROOT / "setup.py").read_text()
    assert [dep for dep in deps if dep.startswith("@pip//") and f'"{dep[len("@pip//") :]}>=' not in setup] == []

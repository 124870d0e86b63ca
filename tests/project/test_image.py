"""What the image is built from: cog.yaml, requirements.txt and .dockerignore agree with each other, with the package and with Cog."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.server import IMAGE_SETTINGS

# What Cog knows; any other key stops its build.
TOP_KEYS = {"build", "image", "predict", "train", "environment", "weights", "observability"}
BUILD_KEYS = {"gpu", "cuda", "python_version", "python_requirements", "system_packages", "run", "sdk_version"}
CUDA_OF_TORCH = {"2.8.0": {"12.6", "12.8", "12.9"}}
"""The CUDA versions that Cog finds a build of torch for."""


@pytest.fixture(scope="module")
def config(root: Path) -> dict[str, Any]:
    return yaml.safe_load((root / "cog.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def pins(root: Path) -> dict[str, str]:
    lines = (root / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


@pytest.fixture(scope="module")
def package(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def version(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text))


def test_cog_knows_every_key(config: dict[str, Any]) -> None:
    assert set(config) <= TOP_KEYS
    assert set(config["build"]) <= BUILD_KEYS
    environment = dict(line.split("=") for line in config["environment"])
    assert environment == {"BARK_MODEL": "large", **IMAGE_SETTINGS}


def test_predictor_is_where_cog_looks_for_it(config: dict[str, Any], root: Path) -> None:
    file, name = config["predict"].split(":")
    tree = ast.parse((root / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.ClassDef)}


def test_server_is_the_one_that_is_tested(config: dict[str, Any], package: dict[str, Any]) -> None:
    assert package["optional-dependencies"]["serve"] == [f"cog=={config['build']['sdk_version']}"]


def test_torch_is_built_for_the_cuda_that_is_named(config: dict[str, Any], pins: dict[str, str]) -> None:
    assert config["build"]["gpu"] is True
    assert config["build"]["cuda"] in CUDA_OF_TORCH[pins["torch"]]
    assert pins["torchaudio"] == pins["torch"]


def test_requirements_are_exact_and_hold_what_the_package_needs(config: dict[str, Any], pins: dict[str, str], package: dict[str, Any]) -> None:
    assert config["build"]["python_requirements"] == "requirements.txt"
    assert "cog" not in pins
    assert version(package["requires-python"]) <= version(config["build"]["python_version"])
    for requirement in package["dependencies"]:
        found = re.match(r"([\w-]+)(>=|==)([\d.]+)", requirement)
        assert found is not None, requirement
        name, sign, least = found.groups()
        assert version(pins[name]) >= version(least), name
        assert sign == ">=" or pins[name] == least, name


def test_image_holds_what_it_runs_and_little_else(root: Path) -> None:
    lines = (root / ".dockerignore").read_text(encoding="utf-8").splitlines()
    ignored = {line for line in lines if line and not line.startswith("#")}
    assert not ignored & {"predict.py", "bark_core", "weights", "LICENSE", ".cog"}
    assert {".git", ".venv", "tests", "training"} <= ignored

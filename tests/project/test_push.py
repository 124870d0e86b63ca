"""The way to Replicate: workflows, scripts and the cases that are tried before a push, held against linters, the Makefile, the schema and the server."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.schema import build_schema
from scripts.server import Server

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))
SCRIPTS = sorted((ROOT / "script").iterdir())

# What cog-safe-push reads of its file (replicate/cog-safe-push, cog_safe_push/config.py); anything else stops it.
KEYS = {
    "": {"model", "test_model", "test_hardware", "predict", "train", "deployment", "dockerfile", "parallel", "fast_push", "use_cog_base_image",
         "ignore_schema_compatibility", "official_model"},
    "predict": {"compare_outputs", "predict_timeout", "test_cases", "fuzz"},
    "fuzz": {"fixed_inputs", "disabled_inputs", "iterations", "prompt"},
    "case": {"inputs", "exact_string", "match_url", "match_prompt", "error_contains"},
}  # fmt: skip


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "cog-safe-push.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def cases(config: dict[str, Any]) -> list[dict[str, Any]]:
    return config["predict"]["test_cases"]


def read_workflow(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def list_steps(path: Path) -> Iterator[dict[str, Any]]:
    for job in read_workflow(path)["jobs"].values():
        yield from job["steps"]


def check(*command: str | Path, text: str | None = None) -> None:
    """Run a linter that comes with the environment; fail with what it finds."""
    program = Path(sys.executable).with_name(str(command[0]))
    if not program.exists():
        pytest.skip(f"{command[0]} is not installed: pip install 'bark-core[dev]'")
    done = subprocess.run([program, *command[1:]], cwd=ROOT, input=text, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_workflows_are_what_github_reads() -> None:
    assert [path.stem for path in WORKFLOWS] == ["ci", "push"]
    check("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *WORKFLOWS)


def test_workflows_give_nothing_away() -> None:
    check("zizmor", "--offline", "--no-progress", "--persona=pedantic", ROOT / ".github")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_and_say_as_what(path: Path) -> None:
    for line in path.read_text(encoding="utf-8").splitlines():
        if "uses:" in line:
            assert re.search(r"uses: [\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_steps_are_sound_shell_and_name_what_is_there(path: Path) -> None:
    commands = [step["run"] for step in list_steps(path) if "run" in step]
    assert commands
    for command in commands:
        assert "${{" not in command, "what somebody typed must not become a part of a script: pass it by env"
        check("shellcheck", "--shell=bash", "-", text=command)
        for script in re.findall(r"(?<![\w./-])script/\w+", command):
            assert os.access(ROOT / script, os.X_OK), script
        for target in re.findall(r"\bmake (\w+)", command):
            assert target in list_targets()


def list_targets() -> set[str]:
    return set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))


def test_scripts_are_sound_shell_over_the_makefiles_words() -> None:
    assert [path.name for path in SCRIPTS] == ["lint", "push", "test"]
    assert all(os.access(path, os.X_OK) for path in SCRIPTS)
    check("shellcheck", *SCRIPTS)
    assert {"lint", "test", "quick"} <= list_targets()


@pytest.mark.parametrize(
    ("script", "arguments", "sentence"),
    [
        ("push", [], "'' is not a model on Replicate; give it as OWNER/NAME."),
        ("push", ["bark"], "'bark' is not a model on Replicate"),
        ("push", ["owner/name; rm -rf x"], "is not a model on Replicate"),
        ("push", ["owner/bark", "--now"], "'--now' is not an option; there is --test-only"),
        ("test", ["--fast"], "--fast is not an option; there is --quick"),
    ],
)
def test_scripts_refuse_what_they_do_not_know(script: str, arguments: list[str], sentence: str) -> None:
    done = subprocess.run([ROOT / "script" / script, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert sentence in done.stderr


def test_push_says_where_cog_is_missing() -> None:
    if shutil.which("cog"):
        pytest.skip("Cog's command line is here")
    done = subprocess.run([ROOT / "script" / "push", "owner/bark"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "there is no cog here" in done.stderr


def test_cog_safe_push_knows_every_key(config: dict[str, Any], cases: list[dict[str, Any]]) -> None:
    assert set(config) <= KEYS[""]
    assert set(config["predict"]) <= KEYS["predict"]
    assert set(config["predict"]["fuzz"]) <= KEYS["fuzz"]
    assert not set(config["predict"]["fuzz"]["fixed_inputs"]) & set(config["predict"]["fuzz"]["disabled_inputs"])
    for case in cases:
        assert set(case) <= KEYS["case"]
        assert len(set(case) - {"inputs"}) <= 1, "a case expects one thing"


def test_cases_and_examples_are_inputs_of_the_schema(config: dict[str, Any], cases: list[dict[str, Any]]) -> None:
    schemas = build_schema(ROOT / "predict.py")["components"]["schemas"]
    properties = schemas["Input"]["properties"]
    examples = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (ROOT / "examples" / "inputs").glob("*.json")}
    assert set(config["predict"]["fuzz"]["disabled_inputs"]) <= set(properties)
    for inputs in [*(case["inputs"] for case in cases), *examples.values()]:
        assert set(inputs) <= set(properties)
        assert inputs.get("history_prompt", "v2/en_speaker_0") in schemas["history_prompt"]["enum"]
    for name, inputs in examples.items():
        assert {"inputs": inputs} in cases, f"{name}.json is not tried before a push"


@pytest.mark.slow
def test_every_case_is_answered_as_it_expects(cases: list[dict[str, Any]]) -> None:
    """By the demo checkpoint, which has none of Suno's voices: its own speaks in their place."""
    with Server({"BARK_MODEL": "demo"}) as server:
        for case in cases:
            inputs = {**case["inputs"], **({"history_prompt": "demo_speaker_0"} if "history_prompt" in case["inputs"] else {})}
            body = server.predict(**inputs).body
            if "error_contains" in case:
                assert body["status"] == "failed"
                assert case["error_contains"] in body["error"]
            else:
                assert body["status"] == "succeeded", (case, body)
                assert body["output"].startswith("data:audio/wav;base64,")

"""What is in deploy/: valid by its own tools, and true to the server's and the gateway's real ports, paths and words."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from packaging.requirements import Requirement

from bark_core.cli.main import build_parser
from tests.gateway.running import Gateway, Speaker

COG_PORT, GATEWAY_PORT = 5000, 8000


@pytest.fixture(scope="module")
def deploy(root: Path) -> Path:
    return root / "deploy"


def load(path: Path) -> Any:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def pod(deploy: Path) -> dict[str, Any]:
    """The containers of a pod, by name."""
    return {each["name"]: each for each in load(deploy / "kubernetes.yaml")[0]["spec"]["template"]["spec"]["containers"]}


@pytest.fixture(scope="module")
def services(deploy: Path) -> dict[str, Any]:
    return load(deploy / "compose.yaml")[0]["services"]


def run_module(module: str, *words: str) -> str:
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"the package {module} is not installed: pip install 'bark-core[dev]'")
    done = subprocess.run([sys.executable, "-m", module, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_compose_is_valid(deploy: Path) -> None:
    assert "ok" in run_module("check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(deploy / "compose.yaml"))


def test_kubernetes_is_valid(deploy: Path) -> None:
    said = run_module("kubernetes_validate", "--strict", str(deploy / "kubernetes.yaml"))
    for kind in ("deployment/bark", "service/bark", "poddisruptionbudget/bark"):
        assert f"passed for resource {kind}" in said


def test_sky_is_valid(deploy: Path) -> None:
    sky = pytest.importorskip("sky", reason="the package skypilot is not installed, which brings some sixty others and is in no extra")
    task = sky.Task.from_yaml(str(deploy / "sky.yaml"))
    assert task.service.readiness_path == "/ready" and {each.ports[0] for each in task.resources} == {str(GATEWAY_PORT)}


def test_ports_are_those_that_are_listened_on(deploy: Path, pod: dict[str, Any], services: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PORT", raising=False)
    import cog.server.http as server

    assert f'os.getenv("PORT", "{COG_PORT}")' in Path(str(server.__file__)).read_text(encoding="utf-8"), "Cog's own default"
    assert build_parser().parse_args(["gateway"]).port == GATEWAY_PORT
    assert [each["containerPort"] for each in pod["cog"]["ports"] + pod["gateway"]["ports"]] == [COG_PORT, GATEWAY_PORT]
    assert services["bark-1"]["expose"] == services["bark-2"]["expose"] == [str(COG_PORT)]
    assert services["gateway"]["ports"][0].endswith(f":{GATEWAY_PORT}:{GATEWAY_PORT}")
    assert f"EXPOSE {GATEWAY_PORT}" in (deploy / "gateway.Dockerfile").read_text(encoding="utf-8")
    assert load(deploy / "sky.yaml")[0]["resources"]["ports"] == GATEWAY_PORT


def test_parts_of_the_kubernetes_file_fit_together(deploy: Path, pod: dict[str, Any]) -> None:
    deployment, service, budget = load(deploy / "kubernetes.yaml")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    for selector in (deployment["spec"]["selector"]["matchLabels"], service["spec"]["selector"], budget["spec"]["selector"]["matchLabels"]):
        assert selector.items() <= labels.items()
    assert [each["targetPort"] for each in service["spec"]["ports"]] == [pod["gateway"]["ports"][0]["name"]]
    assert pod["cog"]["resources"]["limits"]["nvidia.com/gpu"] == 1
    for container in pod.values():
        assert container["resources"]["requests"]["memory"] and container["resources"]["limits"]["memory"]
        stop_s = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
        assert stop_s + 10 < deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]


def list_gateways(deploy: Path, pod: dict[str, Any], services: dict[str, Any]) -> dict[str, list[str]]:
    """Return the words of each gateway's command line, by file."""
    run = load(deploy / "sky.yaml")[0]["run"]
    return {
        "kubernetes": pod["gateway"]["args"],
        "compose": services["gateway"]["command"],
        "sky": re.search(r'"\$GATEWAY_IMAGE" (.*)', run)[1].split(),  # type: ignore[index]
    }


def test_gateways_are_given_words_that_they_know(deploy: Path, pod: dict[str, Any], services: dict[str, Any]) -> None:
    entry = json.loads(re.search(r"ENTRYPOINT (\[.*\])", (deploy / "gateway.Dockerfile").read_text(encoding="utf-8"))[1])  # type: ignore[index]
    assert entry[:3] == ["python", "-m", "bark_core"]
    for file, words in list_gateways(deploy, pod, services).items():
        options = build_parser().parse_args([*entry[3:], *words])
        hosts = [f"http://bark-{n}" for n in (1, 2)] if file == "compose" else ["http://127.0.0.1"]
        assert options.backend == [f"{host}:{COG_PORT}" for host in hosts]
        assert options.host == "0.0.0.0" and options.port == GATEWAY_PORT


class Status(BaseHTTPRequestHandler):
    """Answers as Cog does: 200, whatever the status."""

    def do_GET(self) -> None:
        assert self.path == "/health-check"
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"status": self.server.status}).encode())  # type: ignore[attr-defined]

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture(scope="module")
def status() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Status)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def probe(command: list[str], port: int) -> int:
    """Run a probe as it stands, but for the port, without anything that the image would not have."""
    assert command[:2] == ["python", "-c"] and command[2].count(f"127.0.0.1:{COG_PORT}/") == 1
    code = command[2].replace(f"127.0.0.1:{COG_PORT}/", f"127.0.0.1:{port}/")
    return subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, check=False).returncode


def list_probes(pod: dict[str, Any], services: dict[str, Any]) -> dict[str, list[str]]:
    found = {name: pod["cog"][f"{name}Probe"]["exec"]["command"] for name in ("startup", "readiness", "liveness")}
    return {**found, **{name: services[name]["healthcheck"]["test"][1:] for name in ("bark-1", "bark-2")}}


@pytest.mark.parametrize("says", ["STARTING", "READY", "BUSY", "SETUP_FAILED", "UNHEALTHY", "DEFUNCT"])
def test_probes_look_at_the_status(pod: dict[str, Any], services: dict[str, Any], status: ThreadingHTTPServer, says: str) -> None:
    status.status = says  # type: ignore[attr-defined]
    for name, command in list_probes(pod, services).items():
        if name == "bark-2":
            assert command == list_probes(pod, services)["bark-1"]
            continue
        passes = says not in ("SETUP_FAILED", "UNHEALTHY", "DEFUNCT") if name == "liveness" else says in ("READY", "BUSY")
        assert (probe(command, status.server_port) == 0) == passes, name


@pytest.mark.slow
def test_probes_pass_on_the_real_servers(deploy: Path, pod: dict[str, Any], services: dict[str, Any], tmp_path: Path) -> None:
    paths = {pod["gateway"][f"{name}Probe"]["httpGet"]["path"]: 200 for name in ("readiness", "liveness")}
    assert paths.keys() == {load(deploy / "sky.yaml")[0]["service"]["readiness_probe"]["path"], "/health"}
    assert "8000/health" in services["gateway"]["healthcheck"]["test"][-1]
    with Speaker(tmp_path / "cog", "plain") as cog, Gateway(cog.url, api_key="key") as gateway:
        for name, command in list_probes(pod, services).items():
            assert probe(command, int(cog.url.rpartition(":")[2])) == 0, name
        for path, code in paths.items():
            assert gateway.client.get(path).status_code == code, "probes need no key"
        assert gateway.speak("Hello.").status_code == 401
    with Gateway(cog.url) as gateway:
        assert {path: gateway.client.get(path).status_code for path in paths} == {"/ready": 503, "/health": 200}, "without a Cog server"
    for command in list_probes(pod, services).values():
        assert probe(command, int(cog.url.rpartition(":")[2])) != 0


def test_the_gateways_image_has_what_it_imports(deploy: Path, root: Path) -> None:
    text = (deploy / "gateway.Dockerfile").read_text(encoding="utf-8")
    pins = dict(re.findall(r"^    ([\w-]+)==([\d.]+)", text, re.MULTILINE))
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {each.name: each for each in map(Requirement, [*project["dependencies"], *project["optional-dependencies"]["gateway"]])}
    assert {Requirement(each).name for each in project["optional-dependencies"]["gateway"]} <= pins.keys()
    for name, version in pins.items():
        assert name not in wanted or wanted[name].specifier.contains(version), name
    copied = set(re.findall(r"^COPY (\S+)", text, re.MULTILINE))
    assert copied == {line[1:] for line in (deploy / "gateway.Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines() if line.startswith("!")}
    # What of this environment the image lacks must not be missed.
    script = f"""
        import sys
        for name in {sorted(LACKING)!r}:
            sys.modules[name] = None
        from bark_core.audio.speed import change_speed
        from bark_core.audio.formats import FORMATS, encode
        import numpy as np
        tone = np.sin(np.arange(24_000) / 9).astype(np.float32)
        for name in FORMATS:
            assert encode(change_speed(tone, 24_000, 1.5), 24_000, name)
        from bark_core.cli.main import main
        main(["gateway", "--backend", "http://127.0.0.1:9", "--port", "0"])
    """
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stderr is not None
        line = process.stdout.readline()
        assert line.startswith("Listening on http://"), process.stderr.read()
        assert httpx.get(f"{line.split()[-1]}/health", trust_env=False).status_code == 200
        assert httpx.get(line.split()[-1], trust_env=False).status_code == 200, "the page"
    finally:
        process.terminate()
        process.communicate(timeout=60)


LACKING = {"torch", "encodec", "huggingface_hub", "safetensors", "sentencex", "tokenizers", "tqdm", "pyloudnorm", "unicode_rbnf", "cog", "ray", "openai"}


def test_the_scripts_are_sound(deploy: Path, tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_text("#!/bin/bash\n" + load(deploy / "sky.yaml")[0]["run"], encoding="utf-8")
    shellcheck = shutil.which("shellcheck") or shutil.which("shellcheck", path=str(Path(sys.executable).parent))
    for command in ["bash", "-n"], [shellcheck]:
        if command[0] is None:
            pytest.skip("shellcheck is not installed: pip install 'bark-core[dev]'")
        done = subprocess.run([*filter(None, command), str(script)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_set_is_read(deploy: Path, pod: dict[str, Any], services: dict[str, Any], root: Path) -> None:
    """Environment variables that these files set are those that the code reads."""
    sky = load(deploy / "sky.yaml")[0]
    names = {each["name"] for container in pod.values() for each in container["env"]}
    names |= services["bark-1"]["environment"].keys() | services["gateway"]["environment"].keys()
    names |= (sky["envs"].keys() | sky["secrets"].keys()) - {"BARK_IMAGE", "GATEWAY_IMAGE"}
    code = "".join(path.read_text(encoding="utf-8") for path in (root / "bark_core").rglob("*.py"))
    assert names == {"BARK_MODEL", "BARK_API_KEY", "XDG_CACHE_HOME"} and all(f'"{name}"' in code for name in names)
    assert all(f"${name}" in sky["run"] for name in ("BARK_IMAGE", "GATEWAY_IMAGE"))
    assert all((root / path).exists() for path in ("predictors/concurrent.yaml", services["gateway"]["build"]["dockerfile"]))

"""What hubs, proxies and networks refuse, each in processes of their own, with the variables that decide it: the sentence names what to change."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub import open_proxy
from tests.world import BIN, World, open_world

PROXIES = [f"{each}_proxy" for each in ("http", "https", "all", "no")]
VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", *PROXIES, *map(str.upper, PROXIES))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    with open_world(tmp_path, monkeypatch) as world:
        yield world


def refuse(world: World, **environment: str) -> str:
    """Fetch, which must fail at once and in one sentence; return that."""
    out, err = (process := world.start("fetch", "small", **environment)).communicate(timeout=120)
    assert process.returncode == 1 and not out and "Traceback" not in err, err
    assert not (world.weights / "small").exists()
    said = err.strip().splitlines()[-1].removeprefix("bark: ")
    assert said.endswith(".") and said.count("(") == said.count(")"), said
    return said


@pytest.mark.slow
@pytest.mark.parametrize("variable", ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"])
def test_a_token_that_is_not_accepted_is_named_and_not_shown(world: World, variable: str) -> None:
    world.hub.token = "hf_right"
    said = refuse(world, **{variable: "hf_wrong"})
    assert f"{world.hub.endpoint} does not accept the access token in {variable} (401). Renew it, or unset it" in said
    assert "hf_wrong" not in said and "later" not in said


@pytest.mark.slow
def test_a_kept_token_that_is_not_accepted_is_named_by_its_file(world: World) -> None:
    world.hub.token = "hf_right"
    world.home.mkdir(exist_ok=True)
    (world.home / "token").write_text("hf_kept")
    assert f"the access token in {world.home / 'token'} (401)" in refuse(world)


@pytest.mark.slow
def test_a_hub_that_wants_a_token_says_so_and_takes_the_right_one(world: World) -> None:
    world.hub.token = "hf_right"
    said = refuse(world)
    assert "asks for an access token (401): it is private, or there is no such repository" in said and "set HF_TOKEN" in said
    process = world.start("fetch", "small", HF_TOKEN="hf_right")
    assert process.communicate(timeout=120)[0] == f"{world.weights / 'small'}\n"


@pytest.mark.slow
@pytest.mark.parametrize(("status", "token"), [(403, "hf_mine"), (401, None)])
def test_a_gated_repository_is_there_and_its_terms_are_to_be_accepted(world: World, status: int, token: str | None) -> None:
    world.hub.statuses[BIN] = status
    world.hub.headers = {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access to model test/tiny is restricted."}
    said = refuse(world, **({"HF_TOKEN": token} if token else {}))
    assert f"is gated ({status})" in said and f"accept its terms at {world.hub.endpoint}/test/tiny" in said and "set HF_TOKEN" in said
    assert "no such repository" not in said
    assert ("the access token in HF_TOKEN has no access to it" in said) == (token is not None)


@pytest.mark.slow
def test_a_refusal_without_a_reason_says_what_to_look_at(world: World) -> None:
    world.hub.statuses[BIN] = 403
    assert f"refuses to send {BIN} (403). Check whether a proxy or a firewall" in refuse(world)
    assert "Check whether the access token in HF_TOKEN may read it" in refuse(world, HF_TOKEN="hf_mine")


@pytest.mark.slow
def test_a_proxy_that_wants_a_password_is_named(world: World) -> None:
    with open_proxy() as proxy:
        assert refuse(world, HTTP_PROXY=proxy) == (
            f"The proxy {proxy}, named in HTTP_PROXY, asks for a name and a password (407). "
            "Set HTTP_PROXY to http://NAME:PASSWORD@HOST:PORT, or unset it where no proxy is needed."
        )
    assert world.hub.requests == []


@pytest.mark.slow
def test_a_proxy_that_refuses_a_password_is_named_without_it(world: World) -> None:
    with open_proxy() as proxy:
        said = refuse(world, https_proxy=proxy.replace("//", "//me:secret@"), HF_ENDPOINT="https://hub.invalid")
        assert f"The proxy {proxy}, named in https_proxy, does not accept the name and password in its address (407)." in said
    assert "secret" not in said


@pytest.mark.slow
def test_a_network_that_wants_one_to_sign_in_is_told_from_a_hub(world: World) -> None:
    world.hub.page = b"<!DOCTYPE html><title>Sign in</title>"
    said = refuse(world)
    assert f"{world.hub.endpoint} answers {BIN} with something that no model hub sends" in said and "Sign in to the network, or check HF_ENDPOINT" in said


@pytest.mark.slow
@pytest.mark.parametrize("name", ["config.json", "vocab.txt", "speaker_embeddings/announcer_fine_prompt.npy"])
def test_a_page_in_the_place_of_a_file_is_told_and_not_kept(world: World, name: str) -> None:
    page = b"\n <HTML><body>Too many requests</body>"
    world.hub.files[f"test/tiny/{name}"] = page
    said = refuse(world)
    assert f"{name} is a web page, not the file itself" in said and "download the file again" in said
    assert all(path.read_bytes() != page for path in world.blobs())

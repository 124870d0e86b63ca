"""Downloads within bounds: what is slow, endless, broken or refused is one sentence, ends in time, and leaves neither file nor connection."""

from __future__ import annotations

import io
import socket
import threading
from pathlib import Path

import pytest

from bark_core.errors import InvalidInput
from bark_core.voices.upload import download, keep_upload
from tests.trickle import HEAD, Trickle, open_trickle


def refuse(url: str, tmp_path: Path, max_bytes: int = 10_000, max_seconds: float = 30.0) -> str:
    """Download, which must fail; return the sentence."""
    with pytest.raises(InvalidInput) as caught:
        download(url, tmp_path / "file", "this", max_bytes, max_seconds)
    assert not (tmp_path / "file").exists()
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("head", [HEAD, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n186a0\r\n", b"HTTP/1.0 200 OK\r\n\r\n"])
def test_a_file_comes_whole_however_slowly_it_comes(tmp_path: Path, head: bytes) -> None:
    content = bytes(range(100)) * 1000
    end = b"\r\n0\r\n\r\n" if b"chunked" in head else b""
    with open_trickle(Trickle(head + content[:-5], content[-5:] + end, 0.01)) as server:
        download(server.url.replace("voice", "ein e\u0301 voice"), tmp_path / "file", "this", 100_000, 30.0)
    assert (tmp_path / "file").read_bytes() == content


@pytest.mark.parametrize("start", [HEAD, HEAD[:20], b""], ids=["body", "headers", "first line"])
def test_a_byte_now_and_then_ends_when_time_is_up(tmp_path: Path, start: bytes) -> None:
    with open_trickle(Trickle(start, b"HTTP/1.1 200 OK\r\nX: "[len(start) :] + b"x" * 10_000, 0.05)) as server:
        said = refuse(server.url, tmp_path, max_seconds=0.5)
        assert said == "this was not downloaded within 0.5 seconds; use a faster server, or send the file itself as a data: URL."
        assert server.left.wait(10), "the connection is closed, too"


def test_what_interrupts_the_waiting_ends_the_transfer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a cancelled prediction does: an exception that comes from outside, between two steps of Python."""

    class Cancelled(BaseException):
        pass

    n_calls = 0
    join = threading.Thread.join

    def join_or_cancel(self: threading.Thread, timeout: float | None = None) -> None:
        nonlocal n_calls
        join(self, timeout)
        n_calls += self.daemon
        if n_calls == 3:
            raise Cancelled

    with open_trickle(Trickle(pause_s=0.05)) as server:
        monkeypatch.setattr(threading.Thread, "join", join_or_cancel)
        with pytest.raises(Cancelled):
            download(server.url, tmp_path / "file", "this", 10_000, 60.0)
        assert server.left.wait(10)
    assert not (tmp_path / "file").exists()


def test_a_file_without_end_is_left_off(tmp_path: Path) -> None:
    with open_trickle(Trickle(b"HTTP/1.0 200 OK\r\n\r\n" + bytes(200_000))) as server:
        assert "it has more than 0.125 MiB, which no voice has" in refuse(server.url, tmp_path, max_bytes=2**17)


def test_a_connection_that_breaks_is_no_file(tmp_path: Path) -> None:
    with open_trickle(Trickle(HEAD + bytes(500), b"")) as server:
        assert "the connection broke 99500 bytes before its end" in refuse(server.url, tmp_path)


def test_what_servers_answer_is_told(tmp_path: Path) -> None:
    with open_trickle(Trickle(b"HTTP/1.1 403 Signature expired\r\nContent-Length: 0\r\n\r\n", b"")) as server:
        assert "this could not be downloaded: the server answered 403 Signature expired. Check the URL" in refuse(server.url, tmp_path)
    with open_trickle(Trickle(b"no HTTP at all\r\n\r\n", b"")) as server:
        assert "this could not be downloaded: no HTTP at all." in refuse(server.url, tmp_path)
    with open_trickle(Trickle(b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n", b"")) as server:
        assert "this could not be downloaded: " in refuse(server.url, tmp_path)
        with open_trickle(Trickle(f"HTTP/1.1 302 Found\r\nLocation: {server.url}\r\nContent-Length: 0\r\n\r\n".encode(), b"")) as other:
            assert "this could not be downloaded: " in refuse(other.url, tmp_path)


def test_what_cannot_be_reached_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        assert "Connection refused" in refuse(f"http://127.0.0.1:{taken.getsockname()[1]}/", tmp_path)
    for url in ("http://", "http://[::1", "http://host.invalid:port/", "https://127.0.0.1:1/", "ftp://127.0.0.1/x", "data:,x"):
        assert "this could not be downloaded: " in refuse(url, tmp_path)


def test_redirects_are_followed(tmp_path: Path) -> None:
    with (
        open_trickle(Trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes", b"")) as there,
        open_trickle(Trickle(f"HTTP/1.1 302 Found\r\nLocation: {there.url}\r\nContent-Length: 0\r\n\r\n".encode(), b"")) as here,
    ):
        download(here.url, tmp_path / "file", "this", 10, 30.0)
    assert (tmp_path / "file").read_bytes() == b"yes"


def test_a_slow_handshake_ends_when_time_is_up(tmp_path: Path) -> None:
    record_of_16_kilobytes = b"\x16\x03\x03\x40\x00"
    with open_trickle(Trickle(record_of_16_kilobytes, pause_s=0.05)) as server:
        assert "this was not downloaded within 0.5 seconds" in refuse(server.url.replace("http:", "https:"), tmp_path, max_seconds=0.5)
        assert server.left.wait(10)


def read_and_complain(source: object, folder: Path) -> None:
    with keep_upload(source, folder, "this") as path:
        assert path is not None and path.read_bytes() == b"voice"
        raise InvalidInput(f"{path} has no array a")


def test_an_upload_is_kept_meanwhile_and_messages_call_it_by_its_name(tmp_path: Path) -> None:
    with keep_upload(None, tmp_path, "this") as nothing:
        assert nothing is None
    with open_trickle(Trickle(b"HTTP/1.0 200 OK\r\n\r\nvoice", b"")) as server:
        for source in (io.BytesIO(b"voice"), server.url, server.url.replace("http", "HTTP")):
            with pytest.raises(InvalidInput, match="^this has no array a$"):
                read_and_complain(source, tmp_path)
            assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("source", ["/etc/passwd", "file:///etc/passwd", "voice.npz", "", 3, Path("/etc/passwd")])
def test_what_is_no_upload_is_refused(tmp_path: Path, source: object) -> None:
    with pytest.raises(InvalidInput, match="^this was '.*'; it must be an uploaded file"):
        read_and_complain(source, tmp_path)

"""What whoever runs the real server sees of it: its health, and its traces."""

from __future__ import annotations

import itertools
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from scripts.server import Server

pytestmark = pytest.mark.slow

TRACE = "0af7651916cd43dd8448eb211c80319c"


class Collector:
    """Takes spans over OTLP, as a tracing backend does."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        spans = self.spans

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                request = ExportTraceServiceRequest.FromString(body)
                spans.extend(span for each in request.resource_spans for scope in each.scope_spans for span in scope.spans)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> Collector:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running


def test_a_span_a_stage_inside_the_clients_trace(collector: Collector) -> None:
    env = {
        "BARK_MODEL": "demo",
        # What the image has from cog.yaml, and what its host sets.
        "COG_TRACE_CONFIGURED": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
    }
    with Server(env) as server:
        parent = "b7ad6b7169203331"
        headers = {"traceparent": f"00-{TRACE}-{parent}-01"}
        assert server.request("POST", "/predictions", {"input": {"prompt": "Good day.", "seed": 3}}, headers).body["status"] == "succeeded"
        refused = server.request("POST", "/predictions", {"input": {"prompt": "[pause -1s] No."}}, headers)
        assert refused.body["status"] == "failed"
    # All has been sent once the server has ended.
    spans = {span.name: span for span in collector.spans if span.name.startswith("bark.")}
    assert set(spans) == {"bark.semantic", "bark.coarse", "bark.fine", "bark.codec"}
    order = [spans[f"bark.{stage}"] for stage in ("semantic", "coarse", "fine", "codec")]
    assert all(span.trace_id.hex() == TRACE for span in order)
    assert all(span.start_time_unix_nano < span.end_time_unix_nano for span in order)
    assert all(before.end_time_unix_nano <= after.start_time_unix_nano for before, after in itertools.pairwise(order))
    assert all(span.status.code == Status.StatusCode.STATUS_CODE_UNSET for span in order)


def test_health_tells_whether_a_prediction_could_be_made() -> None:
    with Server({"BARK_MODEL": "demo"}) as server:
        assert server.request("GET", "/health-check").body["status"] == "READY"
        assert server.predict(prompt="Good day.", seed=3).body["status"] == "succeeded"
        # Whoever cleans up temporary files takes the folder that outputs go to, too: no prediction can be made from then on.
        for folder in server.scratch.glob("bark-*"):
            shutil.rmtree(folder)
        answer = server.request("GET", "/health-check").body
        assert answer["status"] == "UNHEALTHY"

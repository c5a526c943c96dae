"""Traces over OTLP: where the spans of `TracedGuard` go.

Rules: batched and sent by a thread of the SDK's; a collector that is slow or away costs spans, never an
access. The resource says which program this is and nothing of the machine or its environment.
"""

from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from nomoat import __version__

TIMEOUT_S: Final = 5.0
MOST_WAITING: Final = 8192  # spans that wait to be sent; more are dropped


def open_tracer(url: str) -> TracerProvider:
    """Return what sends spans to `url` (OTLP over HTTP). The caller shuts it down."""
    provider = TracerProvider(
        resource=Resource({"service.name": "nomoat", "service.version": __version__}), shutdown_on_exit=False
    )
    exporter = OTLPSpanExporter(endpoint=url, timeout=TIMEOUT_S)
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=MOST_WAITING))
    return provider

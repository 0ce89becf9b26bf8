"""A span for each call, below the span of its caller, and below it what took the time.

    penchant.v1.InterestService/Score     the call; its parent is what `traceparent` names (W3C Trace Context)
    ├── wait                              until the batch began that answers it
    ├── store                             reading what the user did
    └── model                             computing; these two are shared by all calls of a batch (batches.py)

Spans are made once a batch is answered, with the times that were noted, so that no other call waits for them. Only
calls that are sampled pay for more than the decision. Whoever brings a decision in `traceparent` made it for us too.
"""

import threading
import time

import grpc
import opentelemetry.sdk.trace as sdk
from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from graph.storage.errors import BadInputError
from server.watch.batches import Batch
from server.watch.call import Call
from server.watch.stages import Stage, tell_stages

CLOSE_S = 3.0
"""A collector that is away would hold up the end of the server for half a minute."""
BATCH_CALLS = "penchant.batch.calls"
"""Attribute of what a call shared with others: how many they were, itself included."""
_OURS_TO_MEND = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
"""Codes that make the span of a server an error, as the semantic conventions for gRPC say."""


def sender_to(endpoint: str) -> sdk.SpanProcessor:
    """Sends spans in batches, in a thread of its own; what a collector does not take in time is dropped and told.

    Raises BadInputError for what is no address of a collector.
    """
    if not endpoint.startswith(("http://", "https://")):
        raise BadInputError(
            f"{endpoint} is no address of a collector.", hint="Use http://host:4317, or https:// where it has TLS."
        )
    return BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint))


class Traces:
    """A provider of its own, so that nothing outside this server is traced by it."""

    def __init__(self, processor: sdk.SpanProcessor, *, ratio: float, version: str) -> None:
        """`ratio` in [0, 1]: share of the calls to be traced whose callers have not decided."""
        self._provider = sdk.TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(ratio)),
            resource=Resource.create({"service.name": "penchant", "service.version": version}),
            shutdown_on_exit=False,  # `close` does it, once
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("penchant.server", version)

    def of_method(self, method: str) -> "MethodTraces":
        return MethodTraces(self._tracer, method)

    def batch(self, call: Call, asked_ns: int, batch: Batch) -> None:
        """The call was answered in a batch, or given up while it was."""
        span = call.observed
        if not (isinstance(span, trace.Span) and span.is_recording()):
            return
        shared = {BATCH_CALLS: batch.calls}
        for stage in (Stage("wait", asked_ns, batch.begun_ns), *batch.stages):
            add_stage(self._tracer, span, stage, shared)

    def close(self) -> None:
        """Sends what is left, as far as that takes no longer than CLOSE_S."""
        closing = threading.Thread(target=self._provider.shutdown, name="close-traces", daemon=True)
        closing.start()
        closing.join(CLOSE_S)


class MethodTraces:
    """Observer of the calls of one method."""

    def __init__(self, tracer: trace.Tracer, method: str) -> None:
        self._tracer = tracer
        self._name = method.removeprefix("/")
        self._attributes = {"rpc.system.name": "grpc", "rpc.method": self._name}
        self._propagator = TraceContextTextMapPropagator()

    def begun(self, call: Call) -> None:
        above = self._propagator.extract(call.metadata, context.Context())
        kind = trace.SpanKind.SERVER
        span = self._tracer.start_span(self._name, above, kind=kind, attributes=self._attributes)
        call.observed = span
        if not span.is_recording():
            return
        call.trace_id = trace.format_trace_id(span.get_span_context().trace_id)
        span.set_attribute("penchant.request_id", call.request_id)
        context.attach(trace.set_span_in_context(span))  # for libraries that make spans; it goes with the call's task
        tell_stages(lambda stage: add_stage(self._tracer, span, stage))

    def ended(self, call: Call, code: grpc.StatusCode, elapsed_s: float) -> None:
        span: trace.Span = call.observed
        if span.is_recording():
            span.set_attribute("rpc.response.status_code", code.name)
            if code in _OURS_TO_MEND:
                span.set_attribute("error.type", code.name)
                span.set_status(trace.StatusCode.ERROR)
        span.end(time.time_ns())


def add_stage(tracer: trace.Tracer, span: trace.Span, stage: Stage, attributes: dict[str, int] | None = None) -> None:
    """What is over already, as a child of `span`."""
    above = trace.set_span_in_context(span, context.Context())
    child = tracer.start_span(stage.name, above, attributes=attributes, start_time=stage.begun_ns)
    child.end(stage.ended_ns)

"""Every metric of the server, named in one place: prefix `pergai_`, base units, `_total`, `_seconds`, `_bytes`.

Labels are few and small: never a key, a prompt or the id of a record. Metrics live in an object with a registry of its own,
so that two servers in one process (tests) do not meet.
"""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from pergai import __version__
from pergai.telemetry.gpu import gpus

REQUEST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
WORK_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640, 1800)
WAIT_SECONDS = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600, 14400)
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """The metrics of one server. Attributes are named as PromQL names the metrics, without `pergai_`."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry = registry or CollectorRegistry()
        ProcessCollector(registry=registry)

        self.http_requests_total = Counter(
            "pergai_http_requests",
            "Requests answered. `path` is the route's template, never the path itself.",
            ("method", "path", "status_code"),
            registry=registry,
        )
        self.http_request_duration_seconds = Histogram(
            "pergai_http_request_duration_seconds",
            "Time from a request's headers to the end of its answer.",
            ("method", "path", "status_code"),
            buckets=REQUEST_SECONDS,
            registry=registry,
        )
        self.generations_total = Counter(
            "pergai_generations",
            "Generations that ended. `outcome` is completed, or the code of the error.",
            ("provider", "task", "outcome"),
            registry=registry,
        )
        self.queue_depth = Gauge(
            "pergai_queue_depth", "Generations waiting for the engine.", ("provider",), registry=registry
        )
        self.queue_wait_seconds = Histogram(
            "pergai_queue_wait_seconds",
            "Time from a generation's request to its claim by the dispatcher.",
            ("provider",),
            buckets=WAIT_SECONDS,
            registry=registry,
        )
        self.batch_size = Histogram(
            "pergai_batch_size",
            "Payloads in one run of a model on the device.",
            ("model",),
            buckets=BATCH_SIZES,
            registry=registry,
        )
        self.inference_duration_seconds = Histogram(
            "pergai_inference_duration_seconds",
            "Time a generation spent in each phase inside the engine.",
            ("provider", "phase"),
            buckets=WORK_SECONDS,
            registry=registry,
        )
        self.model_run_duration_seconds = Histogram(
            "pergai_model_run_duration_seconds",
            "Time of one batch of a model on the device.",
            ("model",),
            buckets=WORK_SECONDS,
            registry=registry,
        )
        self.model_load_duration_seconds = Histogram(
            "pergai_model_load_duration_seconds",
            "Time to load a model's weights onto the device.",
            ("model",),
            buckets=WORK_SECONDS,
            registry=registry,
        )
        self.model_resident = Gauge(
            "pergai_model_resident", "1 while the model is loaded on the device, else 0.", ("model",), registry=registry
        )
        self.model_memory_bytes = Gauge(
            "pergai_model_memory_bytes", "Memory the loaded model takes on the device.", ("model",), registry=registry
        )
        self.engine_up = Gauge(
            "pergai_engine_up", "1 while the engine process is ready to take jobs, else 0.", registry=registry
        )
        self.engine_restarts_total = Counter(
            "pergai_engine_restarts", "Times the engine process died and was started again.", registry=registry
        )
        self.engine_busy_seconds = Gauge(
            "pergai_engine_busy_seconds",
            "How long the device has been in its current call; 0 when idle.",
            registry=registry,
        )
        self.engine_resident_memory_bytes = Gauge(
            "pergai_engine_resident_memory_bytes", "Resident memory of the engine process.", registry=registry
        )
        self.gpu_memory_bytes = Gauge(
            "pergai_gpu_memory_bytes",
            "Memory of the device; `kind` is used or total.",
            ("device", "kind"),
            registry=registry,
        )
        self.gpu_utilization_ratio = Gauge(
            "pergai_gpu_utilization_ratio", "Share of time the device was busy, 0-1.", ("device",), registry=registry
        )
        self.storage_bytes = Gauge(
            "pergai_storage_bytes",
            "Disk; `kind` is images, database, weights, cache, temp or free.",
            ("kind",),
            registry=registry,
        )
        self.webhook_deliveries_total = Counter(
            "pergai_webhook_deliveries",
            "Webhook attempts; `outcome` is delivered, failed (tried again later) or given_up.",
            ("outcome",),
            registry=registry,
        )
        self.build_info = Gauge(
            "pergai_build_info", "Always 1; the versions are labels.", ("version", "torch", "cuda"), registry=registry
        )

    def build(self, versions: Mapping[str, str]) -> None:
        """What runs here. `versions` is what the engine says in its Hello; torch and cuda are "" when it has none."""
        self.build_info.clear()
        self.build_info.labels(__version__, versions.get("torch", ""), versions.get("cuda", "")).set(1)

    def queued(self, depth: Mapping[str, int]) -> None:
        """Jobs waiting by provider; a provider without any has no line."""
        self.queue_depth.clear()
        for provider, jobs in depth.items():
            self.queue_depth.labels(provider).set(jobs)

    def stored(self, bytes_by_kind: Mapping[str, int]) -> None:
        for kind, size in bytes_by_kind.items():
            self.storage_bytes.labels(kind).set(size)

    def ran(self, model: str, size: int, seconds: float) -> None:
        """The device ran a batch of `size` payloads."""
        self.batch_size.labels(model).observe(size)
        self.model_run_duration_seconds.labels(model).observe(seconds)

    def loaded(self, model: str, seconds: float, memory_bytes: int = 0) -> None:
        self.model_load_duration_seconds.labels(model).observe(seconds)
        self.model_resident.labels(model).set(1)
        self.model_memory_bytes.labels(model).set(memory_bytes)

    def unloaded(self, model: str) -> None:
        self.model_resident.labels(model).set(0)
        self.model_memory_bytes.labels(model).set(0)

    def forget_models(self) -> None:
        """The engine process died, and every model with it."""
        self.model_resident.clear()
        self.model_memory_bytes.clear()

    def beat(self, device: str, *, resident: int, busy_seconds: float, used: int, total: int) -> None:
        """The engine's sign of life; memory in bytes, `total` 0 on a machine without a GPU."""
        self.engine_resident_memory_bytes.set(resident)
        self.engine_busy_seconds.set(busy_seconds)
        if total:
            self.gpu_memory_bytes.labels(device, "used").set(used)
            self.gpu_memory_bytes.labels(device, "total").set(total)

    def names(self) -> set[str]:
        """The name of every series /metrics can show, as PromQL has to write it."""
        found: set[str] = set()
        for metric in self.registry.collect():
            name = metric.name
            match metric.type:
                case "counter":
                    found |= {f"{name}_total", f"{name}_created"}
                case "histogram":
                    found |= {f"{name}_bucket", f"{name}_count", f"{name}_sum", f"{name}_created"}
                case _:
                    found.add(name)
        return found

    def render(self) -> tuple[bytes, str]:
        """What GET /metrics answers (Prometheus text format 0.0.4), and its content type."""
        for gpu in gpus():
            self.gpu_utilization_ratio.labels(gpu.name).set(gpu.utilization)
        return generate_latest(self.registry), CONTENT_TYPE_PLAIN_0_0_4

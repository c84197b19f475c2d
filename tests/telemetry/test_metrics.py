"""What GET /metrics says."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pergai.telemetry.metrics import Metrics

PROMISED = {
    "pergai_http_requests_total": {"method", "path", "status_code"},
    "pergai_http_request_duration_seconds_bucket": {"method", "path", "status_code", "le"},
    "pergai_generations_total": {"provider", "task", "outcome"},
    "pergai_queue_depth": {"provider"},
    "pergai_queue_wait_seconds_bucket": {"provider", "le"},
    "pergai_batch_size_bucket": {"model", "le"},
    "pergai_inference_duration_seconds_bucket": {"provider", "phase", "le"},
    "pergai_model_load_duration_seconds_bucket": {"model", "le"},
    "pergai_model_resident": {"model"},
    "pergai_gpu_memory_bytes": {"device", "kind"},
    "pergai_gpu_utilization_ratio": {"device"},
    "pergai_storage_bytes": {"kind"},
    "pergai_engine_up": set(),
    "pergai_engine_restarts_total": set(),
    "pergai_webhook_deliveries_total": {"outcome"},
    "pergai_build_info": {"version", "torch", "cuda"},
}


def touch_every_metric(metrics: Metrics) -> None:
    metrics.http_requests.labels("GET", "/products/{id}", 200).inc()
    metrics.http_request_duration.labels("GET", "/products/{id}", 200).observe(0.01)
    metrics.generations.labels("nano-banana", "scene", "completed").inc()
    metrics.queue_wait.labels("nano-banana").observe(1)
    metrics.batch_size.labels("u2netp").observe(4)
    metrics.inference_duration.labels("nano-banana", "render").observe(3)
    metrics.model_load_duration.labels("u2netp").observe(0.5)
    metrics.model_run_duration.labels("u2netp").observe(0.5)
    metrics.model_resident.labels("u2netp").set(1)
    metrics.model_memory.labels("u2netp").set(1)
    metrics.gpu_memory.labels("cuda:0", "used").set(1)
    metrics.gpu_utilization.labels("cuda:0").set(0.5)
    metrics.webhook_deliveries.labels("delivered").inc()
    metrics.set_build("0.1.0", {"torch": "2.13.0"})
    metrics.set_queue_depth({"nano-banana": 3})
    metrics.set_storage({"images": 5, "free": 7})


def series(metrics: Metrics) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(metrics.render()[0].decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


@pytest.mark.parametrize("name", sorted(PROMISED))
def test_every_promised_metric_is_there_with_its_labels(name: str) -> None:
    metrics = Metrics()
    touch_every_metric(metrics)
    assert {label for label, _ in next(iter(series(metrics)[name]))} == PROMISED[name]


def test_the_list_of_names_is_what_is_rendered() -> None:
    metrics = Metrics()
    touch_every_metric(metrics)
    assert {name for name in series(metrics) if name.startswith("pergai_")} == {
        name for name in metrics.names() if name.startswith("pergai_")
    }


def test_two_servers_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.engine_restarts.inc()
    assert series(one)["pergai_engine_restarts_total"][()] == 1
    assert series(other)["pergai_engine_restarts_total"][()] == 0


def test_a_provider_whose_queue_ran_empty_has_no_line_any_more() -> None:
    metrics = Metrics()
    metrics.set_queue_depth({"nano-banana": 3, "nano-banana-pro": 1})
    metrics.set_queue_depth({"nano-banana-pro": 2})
    assert series(metrics)["pergai_queue_depth"] == {(("provider", "nano-banana-pro"),): 2}


def test_a_new_engine_replaces_the_versions_of_the_old_one() -> None:
    metrics = Metrics()
    metrics.set_build("0.1.0", {})
    metrics.set_build("0.1.0", {"torch": "2.13.0", "cuda": "13.0"})
    labels = (("cuda", "13.0"), ("torch", "2.13.0"), ("version", "0.1.0"))
    assert series(metrics)["pergai_build_info"] == {labels: 1}


def test_the_answer_is_the_text_format_every_prometheus_reads() -> None:
    body, content_type = Metrics().render()
    assert content_type.startswith("text/plain; version=0.0.4")
    assert b"# TYPE pergai_engine_up gauge" in body

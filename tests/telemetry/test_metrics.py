"""What GET /metrics says."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pergai import __version__
from pergai.telemetry.gpu import gpus
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
    metrics.http_requests_total.labels("GET", "/products/{id}", 200).inc()
    metrics.http_request_duration_seconds.labels("GET", "/products/{id}", 200).observe(0.01)
    metrics.generations_total.labels("nano-banana", "scene", "completed").inc()
    metrics.queue_wait_seconds.labels("nano-banana").observe(1)
    metrics.inference_duration_seconds.labels("nano-banana", "render").observe(3)
    metrics.ran("u2netp", 4, 0.5)
    metrics.loaded("u2netp", 0.5, 1 << 20)
    metrics.beat("cuda:0", resident=1, busy_seconds=0, used=1, total=2)
    metrics.gpu_utilization_ratio.labels("cuda:0").set(0.5)
    metrics.webhook_deliveries_total.labels("delivered").inc()
    metrics.build({"torch": "2.13.0"})
    metrics.queued({"nano-banana": 3})
    metrics.stored({"images": 5, "free": 7})


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
    one.engine_restarts_total.inc()
    assert series(one)["pergai_engine_restarts_total"][()] == 1
    assert series(other)["pergai_engine_restarts_total"][()] == 0


def test_a_provider_whose_queue_ran_empty_has_no_line_any_more() -> None:
    metrics = Metrics()
    metrics.queued({"nano-banana": 3, "nano-banana-pro": 1})
    metrics.queued({"nano-banana-pro": 2})
    assert series(metrics)["pergai_queue_depth"] == {(("provider", "nano-banana-pro"),): 2}


def test_a_new_engine_replaces_the_versions_of_the_old_one() -> None:
    metrics = Metrics()
    metrics.build({})
    metrics.build({"torch": "2.13.0", "cuda": "13.0"})
    labels = (("cuda", "13.0"), ("torch", "2.13.0"), ("version", __version__))
    assert series(metrics)["pergai_build_info"] == {labels: 1}


def test_the_answer_is_the_text_format_every_prometheus_reads() -> None:
    body, content_type = Metrics().render()
    assert content_type.startswith("text/plain; version=0.0.4")
    assert b"# TYPE pergai_engine_up gauge" in body


def test_a_model_is_resident_until_it_is_unloaded_or_its_engine_dies() -> None:
    metrics = Metrics()
    metrics.loaded("u2netp", 0.5, 1 << 20)
    metrics.loaded("realesrgan-x4plus", 0.5, 1 << 20)
    metrics.unloaded("u2netp")
    assert series(metrics)["pergai_model_resident"] == {
        (("model", "u2netp"),): 0,
        (("model", "realesrgan-x4plus"),): 1,
    }
    metrics.forget_models()
    assert "pergai_model_resident" not in series(metrics)


def test_a_machine_without_a_gpu_shows_no_gpu_memory() -> None:
    metrics = Metrics()
    metrics.beat("CPU", resident=5, busy_seconds=0.5, used=0, total=0)
    shown = series(metrics)
    assert shown["pergai_engine_resident_memory_bytes"][()] == 5
    assert "pergai_gpu_memory_bytes" not in shown


def test_every_gpu_the_driver_knows_shows_how_busy_it_is() -> None:
    shown = series(Metrics()).get("pergai_gpu_utilization_ratio", {})
    assert {labels[0][1] for labels in shown} == {gpu.name for gpu in gpus()}
    assert all(0 <= ratio <= 1 for ratio in shown.values())

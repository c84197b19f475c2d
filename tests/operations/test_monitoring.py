"""Dashboard and alerts ask for what the server has, in PromQL that can be true."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pergai.telemetry.metrics import Metrics

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
OF_PROMETHEUS_ITSELF = {"up"}
METRIC = re.compile(r"\b(?:pergai|process)_[a-z_]+\b|\bup\b")


def panels() -> list[dict[str, Any]]:
    dashboard = json.loads((CONFIGS / "grafana" / "pergai.json").read_text())
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[tuple[str, str]]:
    for panel in panels():
        for target in panel["targets"]:
            yield f"panel: {panel['title']} {target['refId']}", target["expr"]
    for group in yaml.safe_load((CONFIGS / "prometheus-alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            yield f"alert: {rule['alert']}", rule["expr"]


EXPRESSIONS = dict(expressions())
every_expression = pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS)


def labels_of(metric: str) -> set[str]:
    """The labels a series of this name has, taken from the object that makes it."""
    family = re.sub(r"_(total|bucket|sum|count)$", "", metric.removeprefix("pergai_"))
    metrics = Metrics()
    made = getattr(metrics, metric.removeprefix("pergai_"), None) or getattr(metrics, family)
    return {*made._labelnames, "job", "instance", *({"le"} if metric.endswith("_bucket") else ())}


@every_expression
def test_every_metric_named_exists(expression: str) -> None:
    named = set(METRIC.findall(expression))
    assert named
    assert named <= Metrics().names() | OF_PROMETHEUS_ITSELF


@every_expression
def test_brackets_match(expression: str) -> None:
    opened: list[str] = []
    for character in re.sub(r'"[^"]*"', '""', expression):
        if character in "([{":
            opened.append(character)
        elif character in ")]}":
            assert opened
            assert opened.pop() + character in ("()", "[]", "{}")
    assert not opened


@every_expression
def test_rates_are_taken_of_counters_only(expression: str) -> None:
    for metric in re.findall(r"\b(?:rate|increase)\((\w+)", expression):
        assert metric.endswith(("_total", "_bucket", "_sum", "_count"))
    for metric in METRIC.findall(expression):
        if metric.endswith(("_total", "_bucket", "_sum", "_count")):
            assert re.search(rf"\b(?:rate|increase)\({metric}(?:{{[^}}]*}})?\[[^\]]+\]\)", expression), (
                f"{metric} without a rate"
            )


@every_expression
def test_quantiles_keep_the_bucket_label(expression: str) -> None:
    for labels, metric in re.findall(r"histogram_quantile\([\d.]+, sum by \(([^)]*)\) \(rate\((\w+)", expression):
        assert "le" in labels.split(", ")
        assert metric.endswith("_bucket")
    assert (
        expression.count("histogram_quantile")
        == expression.count("histogram_quantile(")
        == len(re.findall(r"sum by \(le[,)]", expression))
    )


@every_expression
def test_every_label_asked_for_exists(expression: str) -> None:
    for metric, selector in re.findall(r"(pergai_\w+){([^}]*)}", expression):
        assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector)) <= labels_of(metric)
    for labels, metric in re.findall(r"sum by \(([^)]*)\) \(rate\((\w+)", expression):
        assert set(labels.split(", ")) <= labels_of(metric)


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_every_legend_shows_a_label_that_is_left(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        shown = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
        grouped = re.search(r"sum by \(([^)]*)\)", target["expr"])
        left = (
            set(grouped[1].split(", ")) if grouped else labels_of(METRIC.findall(target["expr"])[0]) if shown else set()
        )
        assert shown <= left


def test_the_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


def test_prometheus_scrapes_the_servers_own_port_and_reads_the_alerts() -> None:
    config = yaml.safe_load((CONFIGS / "prometheus.yml").read_text())
    (job,) = config["scrape_configs"]
    assert job["static_configs"][0]["targets"] == ["localhost:3002"]
    assert job["metrics_path"] == "/metrics"
    assert all((CONFIGS / name).is_file() for name in config["rule_files"])

"""Figures counted in this process, for a server to show: counters and gauges, each declared once with its labels."""

import threading
from dataclasses import dataclass, field
from typing import Literal

from cortex import limits


@dataclass(frozen=True, slots=True)
class Metric:
    """A counter, which only grows, or a gauge. The values are by the labels' values, in the order of `labels`."""

    name: str
    kind: Literal["counter", "gauge"]
    about: str
    labels: tuple[str, ...]
    values: dict[tuple[str, ...], float] = field(default_factory=dict)


_METRICS: dict[str, Metric] = {}
_changing = threading.Lock()


def counter(name: str, about: str, *labels: str) -> Metric:
    """Declare a counter."""
    return _declared(Metric(name, "counter", about, labels))


def gauge(name: str, about: str, *labels: str) -> Metric:
    """Declare a gauge."""
    return _declared(Metric(name, "gauge", about, labels))


def _declared(metric: Metric) -> Metric:
    assert metric.name not in _METRICS, f"{metric.name} is declared twice"
    _METRICS[metric.name] = metric
    return metric


def add(metric: Metric, *labels: str, count: float = 1) -> None:
    """Let a counter grow."""
    assert metric.kind == "counter", f"{metric.name} is no counter"
    with _changing:
        if _has_room(metric, labels):
            metric.values[labels] = metric.values.get(labels, 0) + count


def put(metric: Metric, *labels: str, value: float) -> None:
    """Set a gauge."""
    assert metric.kind == "gauge", f"{metric.name} is no gauge"
    with _changing:
        if _has_room(metric, labels):
            metric.values[labels] = value


def _has_room(metric: Metric, labels: tuple[str, ...]) -> bool:
    assert len(labels) == len(metric.labels), f"{metric.name} has the labels {metric.labels}"
    return labels in metric.values or len(metric.values) < limits.METRIC_SERIES_MAX


VERIFICATION_RUNS = counter(
    "cortex_verification_runs_total", "Verifications of a log that were run, by their result.", "log", "result"
)
VERIFICATION_FINDINGS = counter(
    "cortex_verification_findings_total", "What verifications and witnesses told of, by its code.", "log", "code"
)
LAST_VERIFICATION = gauge(
    "cortex_last_verification_timestamp_seconds", "When a log was last verified, in seconds since 1970.", "log"
)

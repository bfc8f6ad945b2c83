"""What an operator sees: counters and times for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Meters:
    """The metrics of one service, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.seconds = Histogram(
            "honeyguide_request_seconds", "Time of a request", ["route"], registry=self.registry, buckets=_BUCKETS
        )
        self.requests = Counter(
            "honeyguide_requests", "Requests by route and status", ["route", "status"], registry=self.registry
        )
        self.lists = Counter(
            "honeyguide_lists", "Lists by what they were made from", ["source"], registry=self.registry
        )
        self.exposures = Counter(
            "honeyguide_exposures", "Pages that were written to the exposure log", registry=self.registry
        )
        self.exposures_dropped = Counter(
            "honeyguide_exposures_dropped", "Pages that were not, under overload or a fault", registry=self.registry
        )
        self._pairs: dict[tuple[str, int], tuple[Histogram, Counter]] = {}
        self.events = Counter("honeyguide_events", "Events that were new", registry=self.registry)

    def saw(self, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        pair = self._pairs.get((route, status))
        if pair is None:
            pair = self._pairs[route, status] = self.seconds.labels(route), self.requests.labels(route, str(status))
        pair[0].observe(seconds)
        pair[1].inc()

    def text(self) -> bytes:
        """In the text format of Prometheus."""
        return generate_latest(self.registry)

"""What is read off the server when it is scraped, and costs nothing in between: model, queue, store, change feed."""

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from graph.storage.database import Database
from graph.storage.errors import ArtifactError
from graph.storage.times import SECOND_US
from server.known_users import KnownUsers
from server.owner.ask import NetOwner
from server.reload import Models
from server.watch.vitals import LOOP_S
from training.artifact_manifest import Manifest


class State(Collector):
    """Times are Unix times in seconds, so that an age is `time() - …` and goes on where a server has died."""

    def __init__(
        self,
        models: Models,
        database: Database,
        known: KnownUsers,
        waiting: Callable[[], int],
        loop_delay_s: Callable[[float], float],
        owner: NetOwner | None = None,
    ) -> None:
        """waiting: questions that no batch has taken yet.
        loop_delay_s: how long the event loop takes to get to something, at most as long as is said.
        """
        self._models = models
        self._database = database
        self._known = known
        self._waiting = waiting
        self._loop_delay_s = loop_delay_s
        self._owner = owner

    def collect(self) -> Iterator[Metric]:
        yield from self._model()
        pool = self._database.connections()
        yield _gauge("penchant_batch_queue_length", "Questions that wait for a batch.", self._waiting())
        users, size = self._known.size()
        yield _gauge("penchant_known_users", "Users whose answers are kept until they do something.", users)
        yield _gauge("penchant_known_users_bytes", "Memory for what is kept of them.", size)
        yield _gauge("penchant_store_connections_in_use", "Connections taken from the pool.", pool.in_use)
        yield _gauge("penchant_store_connections_limit", "Connections that the pool may open.", pool.limit)
        yield _gauge(
            "penchant_event_loop_delay_seconds", "What a new task waits for its turn.", self._loop_delay_s(LOOP_S)
        )
        yield self._encodings()
        feed = self._models.feed
        yield _gauge(
            "penchant_change_feed_lag_seconds", "Age of the newest change when this server saw it.", feed.lag_s
        )
        yield _time("penchant_change_feed_followed_timestamp_seconds", "When the feed was last read.", feed.followed_us)
        yield _time(
            "penchant_newest_event_timestamp_seconds",
            "When the newest events that this server knows of were recorded.",
            feed.newest_event_us,
        )

    def _model(self) -> Iterator[Metric]:
        info = InfoMetricFamily("penchant_model", "The revision that answers.")
        sizes = GaugeMetricFamily("penchant_model_size", "What the revision holds.", labels=["of"])
        as_of_us = published_us = None
        if manifest := self._manifest():
            info.add_metric([], {"version": manifest.version, "vector_space": manifest.vector_space})
            as_of_us, published_us = manifest.as_of, manifest.created_at
            for name in ("items", "users", "categories"):
                sizes.add_metric([name], getattr(manifest, f"n_{name}"))
            sizes.add_metric(["dimensions"], manifest.dim)
        yield info
        yield sizes
        yield _gauge("penchant_model_loaded", "1 where a model is loaded, else 0.", manifest is not None)
        yield _time("penchant_model_as_of_timestamp_seconds", "Events before it went into the revision.", as_of_us)
        yield _time("penchant_model_published_timestamp_seconds", "When the revision was published.", published_us)
        yield _gauge(
            "penchant_model_reload_problem",
            "1 where a revision that should answer could not be loaded, else 0.",
            bool(self._models.problem),
        )

    def _encodings(self) -> Metric:
        by = CounterMetricFamily(
            "penchant_encodings",
            "Batches of users by who computed their vectors: the owner of the device, or we since it did not.",
            labels=["by"],
        )
        by.add_metric(["owner"], self._owner.told if self._owner else 0)
        by.add_metric(["here"], self._owner.untold if self._owner else 0)
        return by

    def _manifest(self) -> Manifest | None:
        try:
            return self._models.current().revision.artifact.manifest
        except ArtifactError:
            return None


def _gauge(name: str, says: str, value: float) -> Metric:
    return GaugeMetricFamily(name, says, value=value)


def _time(name: str, says: str, at_us: int | None) -> Metric:
    """Without a sample where there is no such time."""
    return GaugeMetricFamily(name, says, value=None if at_us is None else at_us / SECOND_US)

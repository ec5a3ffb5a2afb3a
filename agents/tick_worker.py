"""The tick worker: one Faust process a device, an agent on ``market.ticks``.

Thin on purpose: Faust hands events in, :class:`agents.pipeline.TickPipeline` does the rest. What Faust
must not do (acknowledge on its own, keep tables, wait for streams to run empty) is switched off here.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any

import faust
from faust.types import EventT, StreamT

from agents.backpressure import Backpressure
from agents.configuration import partition_config
from agents.faust_assignor import assignor
from agents.faust_consumer import use_prompt_consumer
from agents.frames import CPU, Backend
from agents.live.library import RegistryLibrary
from agents.live.watch import ModelWatch
from agents.messages import Message
from agents.partition import warm_up
from agents.pipeline import TickPipeline
from agents.worker_reports import report, worker_report
from agents.worker_web import Accounts, add_pages
from schemas.errors import TapestreamError
from schemas.promotions import Promotion
from schemas.settings import Settings
from schemas.workers import WorkerReport
from streams import topics
from streams.clients import addresses, security
from streams.promotions import announce

log = logging.getLogger("tapestream.worker")


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """What the command line says of one worker process.

    Attributes
    ----------
    backend
        What it computes on.
    capacity
        Its share of the partitions, beside the others' of the group.
    """

    name: str
    web_port: int
    gpu_uuid: str
    log_level: str = "INFO"
    backend: Backend = CPU
    capacity: float = 1.0


class FaustEvent:
    """A Faust event as the pipeline's :class:`agents.pipeline.LogEvent`."""

    __slots__ = ("_event", "message")

    def __init__(self, event: EventT) -> None:
        raw = event.message
        self._event = event
        self.message = Message(
            raw.offset, int((raw.timestamp or 0) * 1000), list(raw.headers or ()), raw.value
        )

    def ack(self) -> None:
        """Let the group commit past it."""
        self._event.ack()

    def drop_payload(self) -> None:
        """Free the bytes while the event waits for its checkpoint."""
        self.message = None  # type: ignore[assignment]
        self._event.value = None
        self._event.message.value = None


class TickWorker:
    """The Faust application and its pipeline."""

    def __init__(self, settings: Settings, options: WorkerOptions) -> None:
        self.settings = settings
        self.options = options
        self.failure: BaseException | None = None
        self.app = self._new_app()
        use_prompt_consumer(self.app, settings)
        library = RegistryLibrary(settings.data_dir)
        config = partition_config(settings, library, options.backend)
        warm_up(config(0))
        self.pipeline = TickPipeline(settings, config, self._on_failure)
        self.backpressure = Backpressure(settings, options.gpu_uuid, options.name, self._hold)
        windows_ns = config(0).kernel.windows_ns
        self._watch = ModelWatch(
            library, windows_ns, settings.model_window_ms, self._models, self._announce_model
        )
        self._add_agent()
        self._add_lifecycle()
        self.accounts = Accounts(self.app, self.pipeline, self.backpressure, options.name)
        add_pages(self.app, self.pipeline, self.accounts)

    def _new_app(self) -> faust.App:
        settings = self.settings
        hosts = ";".join(f"kafka://{host}:{port}" for host, port in addresses(settings.broker))
        return faust.App(
            topics.group(settings),
            broker=hosts,
            broker_credentials=_credentials(settings),
            broker_client_id=f"tapestream-{self.options.name}",
            broker_session_timeout=settings.session_timeout_s,
            broker_heartbeat_interval=settings.session_timeout_s / 6,
            broker_commit_interval=0.5,
            consumer_auto_offset_reset="earliest",
            # Messages, not bytes: a frame is at most 600 KB, so this is 20 to 40 MB a partition.
            stream_buffer_maxsize=64,
            stream_wait_empty=False,
            topic_allow_declare=False,
            topic_disable_leader=True,
            autodiscover=False,
            PartitionAssignor=assignor(self.options.capacity),
            datadir=str(settings.data_dir / "faust" / self.options.name),
            web_bind=settings.host,
            web_host=settings.host,
            web_port=self.options.web_port,
            web_in_thread=False,
            web_stats_enabled=True,
            web_tables_enabled=False,
            web_graph_enabled=False,
            web_router_enabled=False,
            web_metrics_enabled=False,
            worker_redirect_stdouts=False,
            logging_config=None,
            key_serializer="raw",
            value_serializer="raw",
        )

    def _add_agent(self) -> None:
        ticks = self.app.topic(
            topics.name(self.settings, topics.TICKS), key_serializer="raw", value_serializer="raw"
        )

        @self.app.agent(ticks, name="tick-agent", isolated_partitions=True)
        async def tick_agent(stream: StreamT[bytes]) -> None:
            waiting = stream.channel.queue
            async for event in stream.noack().events():
                more = not waiting.empty()
                await self.pipeline.accept(event.message.partition, FaustEvent(event), more)

    def _add_lifecycle(self) -> None:
        app, pipeline = self.app, self.pipeline
        name = topics.name(self.settings, topics.TICKS)

        @app.on_partitions_assigned.connect
        async def assigned(_: Any, assigned: set[Any], **__: Any) -> None:
            pipeline.assign({tp.partition for tp in assigned if tp.topic == name})

        @app.on_partitions_revoked.connect
        async def revoked(_: Any, revoked: set[Any], **__: Any) -> None:
            await pipeline.release({tp.partition for tp in revoked if tp.topic == name}, app.consumer.commit)

        @app.on_before_shutdown.connect
        async def closing(_: Any, **__: Any) -> None:
            await pipeline.close(app.consumer.commit)

        @app.task
        async def opening() -> None:
            await pipeline.start()

        app.task(self.backpressure.run)

        @app.task
        async def reporting() -> None:
            await report(self.settings, self._look)

        @app.task
        async def watching() -> None:
            await self._watch.run()

    def _models(self) -> dict[int, Promotion | None]:
        """The model that each of our partitions is at."""
        runners = self.pipeline.runners.items()
        return {number: runner.state.model.promotion for number, runner in runners if runner.state}

    async def _announce_model(self, partition: int, promotion: Promotion) -> int:
        return await announce(self.settings, self.pipeline.producer, partition, promotion)

    def _look(self) -> WorkerReport:
        options = self.options
        host = f"[{self.settings.host}]" if ":" in self.settings.host else self.settings.host
        return worker_report(
            worker=options.name,
            device=options.backend.name,
            page=f"http://{host}:{options.web_port}/pipeline",
            capacity=options.capacity,
            summary=self.accounts.summary(),
            at_ns=time.time_ns(),
        )

    def _hold(self, held: bool) -> None:
        self.pipeline.hold(held)
        self.app.consumer.hold(held)

    def _on_failure(self, reason: BaseException) -> None:
        self.failure = reason
        self.app.loop.create_task(self.app.crash(reason))

    def run(self) -> None:
        """Run until a signal or a failure; returns after a clean stop.

        Raises
        ------
        TapestreamError
            The reason of a failure.
        """
        worker = self.app.Worker(
            loglevel=self.options.log_level, quiet=True, redirect_stdouts=False, override_logging=False
        )
        code: object = 0
        try:
            worker.execute_from_commandline()
        except SystemExit as exc:
            code = exc.code
        if self.failure is not None:
            raise self.failure
        if code:
            raise TapestreamError(f"the worker ended with {code}", "see its log for the reason")


def _credentials(settings: Settings) -> Any:
    options = security(settings)
    if "SASL" in settings.security_protocol:
        return faust.SASLCredentials(
            username=options["sasl_plain_username"],
            password=options["sasl_plain_password"],
            mechanism=options["sasl_mechanism"],
            ssl_context=options.get("ssl_context"),
        )
    if "SSL" in settings.security_protocol:
        return faust.SSLCredentials(options["ssl_context"])
    return None

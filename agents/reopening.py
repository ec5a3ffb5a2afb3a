"""From a checkpoint to a partition that goes on, also when other signals or indicators are configured now.

Outputs beyond the checkpoint that are on the log already were made under the selection of those who wrote
them. Up to the last of these the partition therefore goes on under that, so that they come out as they are
there, and changes after it.
"""

from __future__ import annotations

import logging

from agents.partition import Partition
from agents.partition_config import PartitionConfig
from agents.partition_state import course_of
from agents.selection import Selection
from schemas.errors import CheckpointError
from streams.recovery import Recovery
from streams.topics import TICKS

log = logging.getLogger("tapestream.worker")


class Reopening:
    """One partition's way back.

    Parameters
    ----------
    config
        What is configured now.
    found
        What the log has.
    """

    def __init__(self, config: PartitionConfig, found: Recovery) -> None:
        self._config, self._checkpoint = config, found.checkpoint
        self._last_emitted = max((offset for offset, _ in found.emitted), default=-1)

    def open(self) -> Partition:
        """The state to go on with.

        Raises
        ------
        CheckpointError
            When the checkpoint is of no use, or outputs that are there need a signal that is not configured.
        """
        if self._checkpoint is None:
            return Partition(self._config)
        before = course_of(self._config, self._checkpoint.state).stretches[-1][1]
        config = self._config
        if before != config.selection:
            if self._last_emitted >= self._checkpoint.next_offset:
                config = self._under(before)
            self._say(before)
        state = Partition(config)
        state.restore(self._checkpoint.state)
        if state.model_trouble is not None:
            log.error("%s[%d]: no model scores bars: %s", TICKS, config.partition, state.model_trouble)
        return state

    def _under(self, before: Selection) -> PartitionConfig:
        try:
            return self._config.select(before)
        except CheckpointError as exc:
            raise CheckpointError(
                f"{TICKS}[{self._config.partition}]: outputs up to offset {self._last_emitted} are on the "
                f"log and in no checkpoint: {exc.problem}",
                f"{exc.remedy}, until the worker has been stopped in good order once",
            ) from exc

    def _say(self, before: Selection) -> None:
        log.warning(
            "%s[%d]: computed was [%s], configured is [%s]: what is new begins empty at offset %d",
            TICKS,
            self._config.partition,
            before,
            self._config.selection,
            max(self._last_emitted + 1, self._checkpoint.next_offset if self._checkpoint else 0),
        )

    def is_over(self, offset: int) -> bool:
        """Whether all outputs that were there belong to messages before this one."""
        return offset > self._last_emitted

    def change(self, state: Partition) -> Partition:
        """The state under what is configured now."""
        same = state.config.selection == self._config.selection
        return state if same else state.under(self._config)

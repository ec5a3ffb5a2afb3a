"""Faust's partition assignor, but for the shares: by declared capacity, where Faust shares evenly."""

from __future__ import annotations

from typing import Any

from faust.assignor.client_assignment import ClientAssignment, ClientMetadata
from faust.assignor.partition_assignor import PartitionAssignor
from faust.types.assignor import PartitionAssignorT

from agents.shares import share


class CapacityMetadata(  # type: ignore[call-arg]
    ClientMetadata,  # type: ignore[misc]
    serializer="json",
    include_metadata=False,
    namespace="@CapacityMetadata",
):
    """What a member says of itself when it joins the group."""

    capacity: float = 1.0


class CapacityAssignor(PartitionAssignor):  # type: ignore[misc]
    """Shares each topic's partitions out in proportion to what the members say they can carry.

    For applications without tables. A member that says nothing, a worker of an older version while a group
    is changed over, counts as capacity 1.
    """

    capacity = 1.0

    @property
    def _metadata(self) -> CapacityMetadata:
        return CapacityMetadata(**super()._metadata.asdict(), capacity=self.capacity)

    @classmethod
    def _get_client_metadata(cls, metadata: Any) -> CapacityMetadata:
        return CapacityMetadata.loads(metadata.user_data)  # type: ignore[no-any-return]

    def _perform_assignment(self, cluster: Any, member_metadata: Any) -> Any:
        members = {member: self._get_client_metadata(said) for member, said in member_metadata.items()}
        self._update_member_urls(members)
        assignments = {member: ClientAssignment(actives={}, standbys={}) for member in members}
        wanted = {topic for said in member_metadata.values() for topic in said.subscription}
        topics = sorted(topic for topic in wanted if cluster.partitions_for_topic(topic))
        for topic in topics:
            readers = [member for member, said in member_metadata.items() if topic in said.subscription]
            shares = share(
                cluster.partitions_for_topic(topic),
                {member: members[member].capacity for member in readers},
                {member: members[member].assignment.actives.get(topic, ()) for member in readers},
            )
            for member, partitions in shares.items():
                assignments[member].actives[topic] = partitions
        external = self._get_external_topic_distribution(assignments)
        numbers = {topic: number for number, topic in enumerate(topics)}
        return self._protocol_assignments(assignments, {}, external, numbers)


def assignor(capacity: float) -> type[PartitionAssignorT]:
    """The assignor of a member with this capacity, for :class:`faust.App`'s ``PartitionAssignor``."""
    return type("CapacityAssignor", (CapacityAssignor,), {"capacity": capacity})

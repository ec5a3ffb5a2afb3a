"""A forward pass recorded once as a CUDA graph, and replayed without a launch an operation."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from schemas.errors import SettingsError


class Graph:
    """For one shape of input; anything of the network that is changed in place is seen by the next replay.

    Parameters
    ----------
    example
        Has the shape, the type and the device of all inputs.

    Raises
    ------
    SettingsError
        On a device that has no graphs.
    """

    def __init__(self, network: nn.Module, example: Tensor) -> None:
        if example.device.type != "cuda":
            raise SettingsError(f"{example.device}: has no CUDA graphs", "leave the switch off there")
        self._given = example.clone()
        beside = torch.cuda.Stream(example.device)  # type: ignore[no-untyped-call]
        beside.wait_stream(torch.cuda.current_stream(example.device))
        with torch.cuda.stream(beside):
            for _ in range(3):  # libraries choose their algorithms and workspaces before the recording
                network(self._given)
        torch.cuda.current_stream(example.device).wait_stream(beside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._found = cast(Tensor, network(self._given))

    def fits(self, x: Tensor) -> bool:
        """Whether it was recorded for inputs like this one."""
        return x.shape == self._given.shape

    def __call__(self, x: Tensor) -> Tensor:
        """What the network gives for x; the caller's own."""
        self._given.copy_(x)
        self._graph.replay()
        return self._found.clone()

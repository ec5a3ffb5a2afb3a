"""The command line and what it runs: `up`, `demo`, `doctor`, `verify`."""

from importlib.metadata import version

__version__ = version("tapestream")

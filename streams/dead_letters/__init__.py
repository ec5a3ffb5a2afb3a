"""``dead.letters``: reading what could not be used, and sending it again when the reason is gone."""

from streams.dead_letters.letters import DeadLetter, Wanted, read_letter, read_letters
from streams.dead_letters.retry import Outcome, Retry

__all__ = ["DeadLetter", "Outcome", "Retry", "Wanted", "read_letter", "read_letters"]

"""What a listener says of itself."""

from dataclasses import dataclass

__all__ = ["Counts"]


@dataclass(slots=True)
class Counts:
    """Since the listener began: messages stored and dropped, senders refused; ``trouble`` with the disk."""

    stored: int = 0
    dropped: int = 0
    refused: int = 0
    trouble: str = ""

"""Whether what is stored is what was confirmed: by names, not by counts; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

Place = tuple[str, str]  # a collection, and a message's name


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is wrong, by place.

    Attributes:
        lost: confirmed, and not where it belongs.
        twice: there more than once.
        strange: there, and never sent, or not sent as what it became.
        unconfirmed: sent, and not confirmed, though faults are over long before senders give up.
    """

    lost: Sequence[Place]
    twice: Sequence[Place]
    strange: Sequence[Place]
    unconfirmed: Sequence[Place]

    @property
    def is_good(self) -> bool:
        """Return whether nothing is wrong."""
        return not (self.lost or self.twice or self.strange or self.unconfirmed)


def judge(
    sent: Mapping[str, str], confirmed: Collection[str], stored: Mapping[str, Sequence[str]]
) -> Verdict:
    """Compare messages with what became of them.

    What was sent and never confirmed may be there, once, or not; good is neither.

    Args:
        sent: {message: the collection where it belongs}.
        confirmed: messages that Kafka confirmed.
        stored: {collection: the message of each document}.
    """
    found = Counter((where, name) for where, names in stored.items() for name in names)
    return Verdict(
        lost=sorted({(sent[name], name) for name in confirmed} - found.keys()),
        twice=sorted(place for place, times in found.items() if times > 1),
        strange=sorted(place for place in found if sent.get(place[1]) != place[0]),
        unconfirmed=sorted((sent[name], name) for name in sent.keys() - set(confirmed)),
    )

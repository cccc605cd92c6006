"""What intake has to know of the shop to understand its mail."""

from __future__ import annotations

from dataclasses import dataclass

from mailbot.config import Settings
from mailbot.core.address import Address, parse_address
from mailbot.core.person import PersonKey
from mailbot.core.tokens import TokenKeys
from mailbot.core.words.vocabulary import THE_WORD, Vocabulary
from mailbot.data import load_vocabulary


@dataclass(frozen=True, slots=True)
class Shop:
    """`acknowledge_every_days` is None where acknowledgements are switched off.

    After `brake_requests` in an hour that failed authentication, such requests go to a person;
    who bounced on `bounce_days` of `bounce_within_days` days is taken for gone.
    """

    help_address: Address
    own_domains: frozenset[str]
    policy_version: str
    person_key: PersonKey
    token_keys: TokenKeys
    acknowledge_every_days: int | None
    vocabulary: Vocabulary = THE_WORD
    own_lists: frozenset[str] = frozenset()
    is_shadow: bool = False
    brake_requests: int = 20
    bounce_days: int = 5
    bounce_within_days: int = 30

    @classmethod
    def of(cls, settings: Settings, person_key: PersonKey, token_keys: TokenKeys) -> Shop:
        """The shop as the configuration describes it."""
        answers, recognition = settings.acknowledgements, settings.recognition
        return cls(
            help_address=parse_address(settings.shop.help_address),
            own_domains=frozenset(settings.shop.own_domains),
            policy_version=settings.shop.policy_version,
            person_key=person_key,
            token_keys=token_keys,
            acknowledge_every_days=answers.every_days if answers.enabled else None,
            vocabulary=load_vocabulary(recognition.vocabulary),
            own_lists=frozenset(settings.shop.own_lists),
            is_shadow=recognition.mode == "shadow",
            brake_requests=recognition.brake_requests,
            bounce_days=recognition.bounce_days,
            bounce_within_days=recognition.bounce_within_days,
        )

    def is_own(self, address: Address) -> bool:
        """Whether it is help@ itself, or an address of the shop's own domains."""
        return (
            address.domain in self.own_domains
            or address.untagged_key == self.help_address.untagged_key
        )

"""Who our mail is from and where its answers go: built once from the settings."""

from __future__ import annotations

from dataclasses import dataclass

from mailbot.config import Settings
from mailbot.core.address import parse_address
from mailbot.core.compose import Sender, Shop
from mailbot.core.tokens import (
    TokenKeys,
    one_click_url,
    opt_out_address,
    return_path_address,
    sign_opt_out,
    sign_return_path,
    sign_undo,
    undo_address,
)


@dataclass(frozen=True, slots=True)
class Letterhead:
    """The shop, its two senders, and the keys that sign what points back to us."""

    shop: Shop
    marketing: Sender
    order_status: Sender
    token_keys: TokenKeys
    public_url: str | None = None  # of the public page, where the shop runs one

    @classmethod
    def of(cls, settings: Settings, token_keys: TokenKeys) -> Letterhead:
        """The letterhead that the settings describe."""
        return cls(
            Shop(
                settings.shop.name,
                parse_address(settings.shop.help_address),
                settings.shop.postal_address,
            ),
            Sender(settings.campaigns.from_name, parse_address(settings.campaigns.from_address)),
            Sender(
                settings.order_status.from_name, parse_address(settings.order_status.from_address)
            ),
            token_keys,
            settings.public.url,
        )

    def opt_out_address(self, person_hash: str) -> str:
        """help+u-TOKEN@…: stands in List-Unsubscribe and nowhere else."""
        return opt_out_address(
            self.shop.help_address.envelope, sign_opt_out(self.token_keys, person_hash)
        )

    def one_click_url(self, person_hash: str) -> str | None:
        """https://…/u/TOKEN: the person's public page (RFC 8058); None where there is none."""
        if self.public_url is None:
            return None
        return one_click_url(self.public_url, sign_opt_out(self.token_keys, person_hash))

    def undo_address(self, person_hash: str) -> str:
        """help+r-TOKEN@…: the way back, in the body of an acknowledgement alone."""
        return undo_address(
            self.shop.help_address.envelope, sign_undo(self.token_keys, person_hash)
        )

    def return_path(self, outbox_id: int) -> str:
        """help+b-TOKEN@…: the envelope sender that tells which message a bounce is about (VERP)."""
        return return_path_address(
            self.shop.help_address.envelope, sign_return_path(self.token_keys, outbox_id)
        )

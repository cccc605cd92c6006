"""The tables of the configuration file, their settings and defaults.

What each one means stands in config/mailbot.toml, which a test holds to these defaults.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from mailbot.config import values
from mailbot.config.api import ApiSettings
from mailbot.config.business_days import check_country, check_subdivision
from mailbot.config.faults import across_tables, in_plain_words
from mailbot.config.public import PublicSettings
from mailbot.config.table import Table
from mailbot.config.values import (
    FREE_MAIL_DOMAINS,
    DaemonName,
    DnsServer,
    ExistingFile,
    ExistingFolder,
    HelpAddress,
    Host,
    Keyword,
    Line,
    MailAddress,
    MailDomain,
    NewFolder,
    Number,
    OwnDomain,
    PolicyVersion,
    QuietHours,
    SecretName,
    Security,
    Selector,
    StoreUrl,
    Text,
    Website,
    Zone,
)
from mailbot.core.address import parse_address
from mailbot.core.errors import ConfigError, InputError

ENVIRONMENT_PREFIX = "MAILBOT_"


class ShopSettings(Table):
    """[shop]: who we are."""

    name: Line = Field(examples=["Hollow & Finch Teas"])
    help_address: HelpAddress = Field(examples=["help@hollowandfinch.example"])
    postal_address: Text = Field(examples=["Hollow & Finch Teas, 12 Quay Street, Bristol BS1 4DA"])
    website: Website = Field(default="", examples=["https://hollowandfinch.example"])
    policy_version: PolicyVersion = "1"
    own_domains: tuple[OwnDomain, ...] = Field(default=(), examples=[["hollowandfinch.example"]])
    own_lists: tuple[Line, ...] = Field(default=(), examples=[["help.hollowandfinch.example"]])
    country: Line | None = Field(default=None, examples=["US"])
    subdivision: Line | None = Field(default=None, examples=["CA"])

    @field_validator("country", mode="after")
    @classmethod
    def _has_holidays(cls, country: str | None) -> str | None:
        if country is not None:
            check_country(country)
        return country

    @field_validator("subdivision", mode="after")
    @classmethod
    def _is_part_of_country(cls, subdivision: str | None, info: ValidationInfo) -> str | None:
        if subdivision is not None and "country" in info.data:  # else that is the fault
            check_subdivision(info.data["country"], subdivision)
        return subdivision


class StoreSettings(Table):
    """[store]: where the list lives. A relative SQLite path starts beside the file."""

    url: StoreUrl = "sqlite:////var/lib/mailbot/mailbot.db"
    journal: NewFolder | None = Field(default=None, examples=["/mnt/other-disk/mailbot-journal"])

    @property
    def journal_folder(self) -> Path:
        """Where the journal is, also where none is written."""
        if self.journal is not None:
            return self.journal
        engine, _, file = self.url.partition(":///")
        if not engine.startswith("sqlite"):
            return Path("/var/lib/mailbot/journal")
        database = Path(file.partition("?")[0])
        return database.with_name(f"{database.stem}-journal")


class TokenKeySettings(Table):
    """One entry of `tokens` under [keys]."""

    id: Number = Field(ge=1, le=255, examples=[1])
    file: SecretName = Field(examples=["token-key-1"])
    revoked: bool = False


_TOKENS = [[{"id": 1, "file": "token-key-1"}]]


class KeysSettings(Table):
    """[keys]: which secrets hold the keys."""

    person_file: SecretName = Field(examples=["person-key"])
    tokens: tuple[TokenKeySettings, ...] = Field(min_length=1, examples=_TOKENS)


class _Server(Table):
    """What a mailbox and the relay share."""

    host: Host
    port: Number | None = Field(default=None, ge=1, le=65535, examples=[993])
    security: Security = "tls"
    ca_file: ExistingFile | None = Field(default=None, examples=["/etc/mailbot/our-ca.pem"])
    timeout_seconds: Number = Field(default=30, ge=1, le=600)

    @field_validator("security", mode="after")
    @classmethod
    def _is_safe(cls, security: Security, info: ValidationInfo) -> Security:
        values.check_security(security, info.data.get("host"), info.data.get("port"))
        return security


class MailboxSettings(_Server):
    """[[mailbox]]: an account to watch."""

    name: Line = Field(examples=["help"])
    host: Host = Field(examples=["imap.hollowandfinch.example"])
    username: Line = Field(examples=["help@hollowandfinch.example"])
    password_file: SecretName = Field(examples=["imap-password"])
    folders: tuple[Line, ...] = Field(default=(), examples=[["INBOX", "Junk"]])
    opt_out_folder: Line | None = Field(default=None, examples=["Opt out"])
    authserv_ids: tuple[Line, ...] = Field(default=(), examples=[["mx.hollowandfinch.example"]])
    filing: Literal["off", "keyword", "move"] = "off"
    filing_keyword: Keyword = "mailbot-opt-out"
    filing_folder: Line = "Unsubscribed"
    poll_seconds: Number = Field(default=60, ge=1, le=3600)
    idle: bool = True

    @field_validator("opt_out_folder", mode="after")
    @classmethod
    def _is_no_ordinary_folder(cls, name: str | None, info: ValidationInfo) -> str | None:
        ordinary = {folder.upper() for folder in (*info.data.get("folders", ()), "INBOX")}
        if name is not None and name.upper() in ordinary:
            raise InputError(
                f"{name!r} is a folder for ordinary mail: everybody who writes there would be "
                "opted out.",
                next_step="Make a folder of its own for it, and name that.",
            )
        return name

    @property
    def effective_port(self) -> int:
        """The port that is meant, also where none is written."""
        return self.port or (993 if self.security == "tls" else 143)


class RecognitionSettings(Table):
    """[recognition]: what mail means, and when a person is asked."""

    mode: Literal["live", "shadow"] = "live"
    vocabulary: ExistingFile | None = Field(default=None, examples=["/etc/mailbot/vocabulary.toml"])
    brake_requests: Number = Field(default=20, ge=1, le=100_000)
    bounce_days: Number = Field(default=5, ge=2, le=100)
    bounce_within_days: Number = Field(default=30, ge=2, le=365)


class RelaySettings(_Server):
    """[relay]: the SMTP server that takes our mail."""

    host: Host = Field(examples=["smtp.hollowandfinch.example"])
    port: Number | None = Field(default=None, ge=1, le=65535, examples=[587])
    security: Security = "starttls"
    username: Line | None = Field(default=None, examples=["mailbot@hollowandfinch.example"])
    oauth_token_file: SecretName | None = Field(default=None, examples=["/run/mailbot-token/relay"])
    password_file: SecretName | None = Field(default=None, examples=["relay-password"])
    connections: Number = Field(default=4, ge=1, le=100)
    timeout_seconds: Number = Field(default=60, ge=1, le=600)
    hello_name: Host | None = Field(default=None, examples=["mailbot.hollowandfinch.example"])

    @field_validator("oauth_token_file", "password_file", mode="after")
    @classmethod
    def _goes_with_username(cls, name: str | None, info: ValidationInfo) -> str | None:
        is_known = "username" in info.data  # else it is wrong in itself, and told
        if name is not None and is_known and info.data["username"] is None:
            raise InputError(
                "is set, though username is not.",
                next_step="Write the username too, or remove this line.",
            )
        return name

    @field_validator("password_file", mode="after")
    @classmethod
    def _is_the_only_way_in(cls, name: str | None, info: ValidationInfo) -> str | None:
        if "oauth_token_file" not in info.data:  # wrong in itself, and told
            return name
        token = info.data["oauth_token_file"]
        if info.data.get("username") and name is None and token is None:
            raise InputError(
                "is missing, though username is set.",
                next_step='Write password_file = "relay-password", or oauth_token_file.',
            )
        if name is not None and token is not None:
            raise InputError(
                "is set, and so is oauth_token_file.",
                next_step="Remove the one by which the account does not log in.",
            )
        return name

    @property
    def effective_port(self) -> int:
        """The port that is meant, also where none is written."""
        return self.port or {"tls": 465, "starttls": 587, "none": 25}[self.security]


class SenderSettings(Table):
    """[sender]: how the outbox is worked off."""

    lease_seconds: Number = Field(default=120, ge=2, le=3600)
    batch_size: Number = Field(default=100, ge=1, le=1000)
    retry_hours: Number = Field(default=72, ge=1, le=240)
    stop_seconds: Number = Field(default=30, ge=1, le=600)
    messages_per_connection: Number = Field(default=100, ge=1, le=100_000)
    domain_connections: Number = Field(default=10, ge=1, le=100)


class CampaignsSettings(Table):
    """[campaigns]: whom marketing mail is from, how fast and when it goes out."""

    from_address: MailAddress = Field(examples=["offers@hollowandfinch.example"])
    from_name: Line = Field(examples=["Hollow & Finch Teas"])
    per_hour: Number | None = Field(default=None, ge=1, le=10_000_000, examples=[5000])
    per_hour_and_domain: Number | None = Field(default=None, ge=1, le=10_000_000, examples=[1000])
    quiet_hours: QuietHours = "none"
    zone: Zone = "UTC"


class AudienceSettings(Table):
    """[[audience]]: a database from which campaigns take their people, read-only."""

    name: Line = Field(examples=["shop"])
    url: Line | None = Field(
        default=None, examples=["postgresql+psycopg://reader@db.hollowandfinch.example/shop"]
    )
    url_file: SecretName | None = Field(default=None, examples=["shop-database-url"])
    timeout_seconds: Number = Field(default=300, ge=1, le=7200)

    @field_validator("url", mode="after")
    @classmethod
    def _holds_no_password(cls, url: str | None) -> str | None:
        if url is not None:
            values.check_no_password(url)
        return url

    @field_validator("url_file", mode="after")
    @classmethod
    def _is_the_only_url(cls, name: str | None, info: ValidationInfo) -> str | None:
        if "url" in info.data and (info.data["url"] is None) is (name is None):
            raise InputError(
                "is missing, and so is url." if name is None else "is set, and so is url.",
                next_step="Write url, or url_file where the URL holds a password; never both.",
            )
        return name


class OrderStatusSettings(Table):
    """[order_status]: whom mail about an order is from, and its wording."""

    from_address: MailAddress = Field(examples=["orders@hollowandfinch.example"])
    from_name: Line = Field(examples=["Hollow & Finch Orders"])
    templates_dir: ExistingFolder | None = Field(
        default=None, examples=["/etc/mailbot/order-status"]
    )


class DnsSettings(Table):
    """[dns]: whom `mailbot check` and `campaign preflight` ask about our domains."""

    servers: tuple[DnsServer, ...] = Field(default=(), examples=[["9.9.9.9"]])
    timeout_seconds: Number = Field(default=3, ge=1, le=30)


class DkimSettings(Table):
    """[[dkim]]: a key that signs our mail."""

    domain: MailDomain = Field(examples=["hollowandfinch.example"])
    selector: Selector = Field(examples=["mailbot1"])
    key_file: SecretName = Field(examples=["dkim-mailbot1"])


class AcknowledgementsSettings(Table):
    """[acknowledgements]: the answer to an opt-out."""

    enabled: bool = True
    every_days: Number = Field(default=30, ge=1, le=3650)


class RetentionSettings(Table):
    """[retention]: how long readable addresses are kept."""

    outbox_addresses_days: Number = Field(default=180, ge=7, le=36_500)


class LogSettings(Table):
    """[log]: how much is told, and in what form."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"


class DaemonSettings(Table):
    """[daemon]: what this process is called."""

    name: DaemonName | None = Field(default=None, examples=["mail-1"])


class SettingsFile(BaseSettings):
    """What a file of settings is: the file, then the environment over it (MAILBOT_RELAY__HOST).

    Raises ConfigError with every fault; `load` gives them file, line and variable.
    """

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        validate_default=True,
        env_prefix=ENVIRONMENT_PREFIX,
        env_prefix_target="all",
        env_nested_delimiter="__",
        env_ignore_empty=True,
    )
    _path: Path = PrivateAttr(default_factory=lambda: values.CONFIG_PATH.get().absolute())

    @property
    def path(self) -> Path:
        """The file these settings came from, absolute."""
        return self._path

    @model_validator(mode="wrap")
    @classmethod
    def _tell_every_fault(
        cls, data: dict[str, Any], handler: ModelWrapValidatorHandler[Self]
    ) -> Self:
        faults = across_tables(data, cls)
        try:
            settings = handler(data)
        except ValidationError as error:
            faults = [*in_plain_words(error, cls), *faults]
        if faults:
            raise ConfigError("settings", faults)
        return settings

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file; there are no other sources."""
        return env_settings, init_settings


class Settings(SettingsFile):
    """The whole configuration."""

    shop: ShopSettings
    store: StoreSettings = StoreSettings()
    keys: KeysSettings
    mailboxes: tuple[MailboxSettings, ...] = Field(alias="mailbox", min_length=1)
    recognition: RecognitionSettings = RecognitionSettings()
    relay: RelaySettings
    sender: SenderSettings = SenderSettings()
    campaigns: CampaignsSettings
    audiences: tuple[AudienceSettings, ...] = Field(default=(), alias="audience")
    order_status: OrderStatusSettings
    acknowledgements: AcknowledgementsSettings = AcknowledgementsSettings()
    dkim: tuple[DkimSettings, ...] = ()
    dns: DnsSettings = DnsSettings()
    retention: RetentionSettings = RetentionSettings()
    public: PublicSettings = PublicSettings()
    api: ApiSettings = ApiSettings()
    log: LogSettings = LogSettings()
    daemon: DaemonSettings = DaemonSettings()

    @property
    def own_addresses(self) -> frozenset[str]:
        """Addresses that are ours, lower-case: the ones a log may show in full."""
        names = [box.username for box in self.mailboxes]
        names += [
            self.shop.help_address,
            self.campaigns.from_address,
            self.order_status.from_address,
            self.relay.username or "",
        ]
        return frozenset(name.lower() for name in names if "@" in name)

    @property
    def team_domains(self) -> frozenset[str]:
        """Where the shop's own people have mailboxes; never a free-mail provider's domain."""
        ours = (
            self.shop.help_address, self.campaigns.from_address, self.order_status.from_address,
        )  # fmt: skip
        domains = {parse_address(address).domain for address in ours}
        return frozenset({*self.shop.own_domains, *domains} - FREE_MAIL_DOMAINS)


class PublicKeysSettings(Table):
    """[keys], as the public page reads it: it never needs the person key."""

    person_file: SecretName | None = None
    tokens: tuple[TokenKeySettings, ...] = Field(min_length=1, examples=_TOKENS)


class PublicPageSettings(SettingsFile):
    """What the public page needs of the file: no mailbox, no relay, no person key."""

    shop: ShopSettings
    store: StoreSettings = StoreSettings()
    keys: PublicKeysSettings
    public: PublicSettings = PublicSettings()
    log: LogSettings = LogSettings()

"""Every table, and the two ways in which values are kept: moments as microseconds in UTC, documents as compact JSON.

The promise stands here as constraints: an open case has exactly one lead or interim body, a lead is a live member of
staff, and an open case waits for something. A change here comes with a migration that names SQLAlchemy's types.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

import orjson
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    Dialect,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TextClause,
    UniqueConstraint,
    false,
    literal_column,
    text,
    true,
)
from sqlalchemy.types import TypeDecorator

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICRO: Final = timedelta(microseconds=1)

#: Whatever JSON can hold.
Plain: TypeAlias = Any


def to_micros(at: datetime) -> int:
    """Count the microseconds since 1970 of an aware datetime."""
    span = at - EPOCH
    return (span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds


def from_micros(micros: int) -> datetime:
    """Make the UTC datetime of a count of microseconds."""
    return EPOCH + timedelta(microseconds=micros)


def to_text(value: Plain) -> str:
    """Write compact JSON. Raises TypeError for what JSON cannot hold, moments too."""
    return orjson.dumps(value, option=orjson.OPT_PASSTHROUGH_DATETIME).decode()


def _moment_in(value: datetime | None) -> int | None:
    return None if value is None else to_micros(value)


def _moment_out(value: int | None) -> datetime | None:
    return None if value is None else EPOCH + timedelta(microseconds=value)


class Moment(TypeDecorator[datetime]):
    """An aware datetime, kept as BIGINT microseconds UTC (SQLite hands back naive datetimes)."""

    impl = BigInteger
    cache_ok = True
    way_in = staticmethod(_moment_in)
    way_out = staticmethod(_moment_out)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return _moment_in(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return _moment_out(value)


def _json_in(value: Plain) -> str | None:
    return None if value is None else to_text(value)


def _json_out(value: str | None) -> Plain:
    return None if value is None else orjson.loads(value)


class Json(TypeDecorator[Plain]):
    """A document, kept as compact text: the same on both databases, and its bytes can be hashed."""

    impl = Text
    cache_ok = True
    way_in = staticmethod(_json_in)
    way_out = staticmethod(_json_out)

    def process_bind_param(self, value: Plain, dialect: Dialect) -> str | None:
        return _json_in(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Plain:
        return _json_out(value)


#: SQLite numbers rows by itself only in a plain INTEGER PRIMARY KEY.
Id: Final = BigInteger().with_variant(Integer(), "sqlite")

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


#: How urgent a wait is that rings before others.
URGENT: Final = ("emergency", "high")


def constant(word: str) -> ColumnElement[str]:
    """A word written into the statement itself: SQLite finds no partial index behind a parameter."""
    return literal_column(f"'{word}'", Text)


def is_true(column: "Column[bool]") -> TextClause:
    """A flag as the bare word that its partial index was made with."""
    return text(f"{column.table.name}.{column.name}")


def _where(name: str, *columns: str | ColumnElement[Any], condition: str, unique: bool = False) -> Index:
    """An index on some of the rows, the same on both databases."""
    only = text(condition)
    return Index(name, *columns, unique=unique, sqlite_where=only, postgresql_where=only)


# The town

municipality = Table(
    "municipality",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("code", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("final_owner", Text, ForeignKey("staff.code"), nullable=False),
    Column("doc", Json, nullable=False),  # the town file as it was loaded
    Column("version", Integer, nullable=False),
    Column("seq", Integer, nullable=False, server_default="0"),  # of the last line of the town's own journal
    Column("head", Text, nullable=False, server_default=""),  # its hash
    CheckConstraint("id = 1", name="only_one"),
)

#: Its one row marks a demonstration: town time then was real time then.
demo_clock = Table(
    "demo_clock",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("town_at", Moment, nullable=False),
    Column("real_at", Moment, nullable=False),
    CheckConstraint("id = 1", name="only_one"),
)

agencies = Table(
    "agencies",
    metadata,
    Column("code", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("active", Boolean, nullable=False),
)

staff = Table(
    "staff",
    metadata,
    Column("code", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("active", Integer, nullable=False),
    Column("agency", Text, ForeignKey("agencies.code"), nullable=False),  # the first one
    Column("doc", Json, nullable=False),
    UniqueConstraint("code", "active"),
    CheckConstraint("active IN (0, 1)", name="active"),
)

absences = Table(
    "absences",
    metadata,
    Column("id", Id, primary_key=True),
    Column("staff", Text, ForeignKey("staff.code"), nullable=False),
    Column("start", Moment, nullable=False),
    Column("end", Moment, nullable=False),
    Column("deputy", Text, ForeignKey("staff.code")),
    Column("made_by", Text, nullable=False),
    Column("made_at", Moment, nullable=False),
    Column("cancelled_at", Moment),
    CheckConstraint('start < "end"', name="order"),
)

links = Table(
    "links",
    metadata,
    Column("platform", Text, primary_key=True),
    Column("account", Text, primary_key=True),
    Column("staff", Text, ForeignKey("staff.code"), nullable=False, index=True),
    Column("linked_at", Moment, nullable=False),
    Column("reachable", Boolean, nullable=False, server_default=true()),  # False: blocked, left; the link stays
    Column(
        "how", Text, nullable=False, server_default="code"
    ),  # code | link (one's own) | file (the town's) | paper (asks to be confirmed)
    Column("confirmed_by", Text),
    Column("confirmed_at", Moment),
)

rooms = Table(  # an agency's shared channels and groups outside
    "rooms",
    metadata,
    Column("platform", Text, primary_key=True),
    Column("conversation", Text, primary_key=True),
    Column("agency", Text, ForeignKey("agencies.code"), nullable=False, index=True),
    Column("linked_at", Moment, nullable=False),
    Column("linked_by", Text, ForeignKey("staff.code"), nullable=False),
    Column("reachable", Boolean, nullable=False, server_default=true()),  # False: thrown out, archived
)

reader_settings = Table(
    "reader_settings",
    metadata,
    Column("staff", Text, ForeignKey("staff.code"), primary_key=True),
    Column("orders", Json, nullable=False),  # platforms, the first choice first
    Column("quiet_from", Integer),  # minutes of the local day; both null: no quiet hours
    Column("quiet_to", Integer),
)

invites = Table(
    "invites",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("staff", Text, ForeignKey("staff.code"), nullable=False),
    Column("kind", Text, nullable=False),  # code | paper | link | room
    Column("expires", Moment, nullable=False),
    Column("used_at", Moment),
    Column("made_by", Text, nullable=False),
    Column("room", Text),  # of kind room: the agency whose shared conversation it links
)

sessions = Table(
    "sessions",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("staff", Text, ForeignKey("staff.code"), nullable=False, index=True),
    Column("made_at", Moment, nullable=False),
    Column("seen_at", Moment, nullable=False),
    Column("expires", Moment, nullable=False),
    Column("ended_at", Moment),
    Column("idle", Integer),  # seconds without use that end it; null: none (of a version before)
    Column(
        "way", Text, nullable=False, server_default=""
    ),  # passkey | letter | app | recovery | oidc | code | paper | demo
    Column("place", Text, nullable=False, server_default=""),  # "Chrome, Windows": never an address
)

# Ways in

passkeys = Table(
    "passkeys",
    metadata,
    Column("id", Text, primary_key=True),  # the credential's own id, base64url
    Column("staff", Text, ForeignKey("staff.code"), nullable=False, index=True),
    Column("public_key", LargeBinary, nullable=False),
    Column("sign_count", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("made_at", Moment, nullable=False),
    Column("used_at", Moment),
    Column("removed_at", Moment),
)

authenticator_apps = Table(
    "authenticator_apps",
    metadata,
    Column("staff", Text, ForeignKey("staff.code"), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),  # the secret, and whose it is
    Column("made_at", Moment, nullable=False),
    Column("confirmed_at", Moment),
    Column("last_step", BigInteger, nullable=False, server_default="0"),  # none at or before it counts again
)

recovery_codes = Table(
    "recovery_codes",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("staff", Text, ForeignKey("staff.code"), nullable=False, index=True),
    Column("made_at", Moment, nullable=False),
    Column("used_at", Moment),
)

#: What was asked at the door and is answered once: a passkey's challenge, six digits, another town's identity provider.
challenges = Table(
    "challenges",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("kind", Text, nullable=False),  # passkey | register | letter | link | oidc
    Column("staff", Text, ForeignKey("staff.code")),  # null: not known, or known only by the answer
    Column("doc", Json, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("made_at", Moment, nullable=False),
    Column("expires", Moment, nullable=False, index=True),
    Column("used_at", Moment),
)

#: Wrong tries: per address (a keyed hash), per account, per known device.
tries = Table(
    "tries",
    metadata,
    Column("lane", Text, primary_key=True),
    Column("count", Integer, nullable=False),
    Column("at", Moment, nullable=False, index=True),
    Column("free_at", Moment, nullable=False),
)

# Households and what is written about them

households = Table(
    "households",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("key", LargeBinary),  # wrapped; null once it has been forgotten
    Column("hash", Text, index=True),  # of a form from before there were persons; still found by
)

texts = Table(
    "texts",
    metadata,
    Column("id", Id, primary_key=True),
    Column("household", BigInteger, ForeignKey("households.id"), index=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("digest", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("by", Text, nullable=False),
)

persons = Table(
    "persons",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("household", BigInteger, ForeignKey("households.id"), nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column(
        "sealed", LargeBinary, nullable=False
    ),  # everything about them, under the household's key and bound to the id
    Column("added_by", Text, nullable=False),
    Column("added_at", Moment, nullable=False),
    Column("removed_at", Moment),
    UniqueConstraint("household", "ordinal"),
)

person_hashes = Table(  # keyed: somebody is found exactly, nobody can be read
    "person_hashes",
    metadata,
    Column("person", BigInteger, ForeignKey("persons.id"), primary_key=True),
    Column("hash", Text, primary_key=True),
    Column("kind", Text, nullable=False),  # name_birth | name_contact | birth | contact
    Index("ix_person_hashes_hash", "hash"),
)

household_merges = Table(  # 統合: `gone` is read with `kept`; nothing is moved
    "household_merges",
    metadata,
    Column("id", Id, primary_key=True),
    Column("kept", BigInteger, ForeignKey("households.id"), nullable=False, index=True),
    Column("gone", BigInteger, ForeignKey("households.id"), nullable=False),
    Column("at", Moment, nullable=False),
    Column("by", Text, nullable=False),
    Column("undone_at", Moment),
    Column("undone_by", Text),
    _where("uq_household_merges_gone", "gone", condition="undone_at IS NULL", unique=True),
)

# Cases

cases = Table(
    "cases",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("number", Text, nullable=False, unique=True),
    Column("household", BigInteger, ForeignKey("households.id"), nullable=False, index=True),
    Column("previous", BigInteger, ForeignKey("cases.id"), index=True),
    Column("stage", Text, nullable=False),
    Column("urgency", Text, nullable=False),
    Column("lead", Text),
    Column("lead_active", Integer),
    Column("interim", Text, ForeignKey("agencies.code")),
    Column("version", Integer, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("head", Text, nullable=False),
    Column("opened_at", Moment, nullable=False),
    Column("opened_by", Text, nullable=False),
    Column("opened_agency", Text, nullable=False),
    Column("district", Text),
    Column("moved_at", Moment),
    Column("stage_at", Moment),
    Column("closed_at", Moment),
    Column("nearest_due", Moment),
    Column("nearest_kind", Text),
    Column("waiting", Integer, nullable=False),
    Column("doc", Json, nullable=False),
    Column("restricted", Boolean, nullable=False, server_default=false()),  # these four stand in `doc` too, for lists
    Column("overseer", Text),
    Column("barred", Text),  # codes of agencies, each between spaces; null: none
    Column("flags", Text),  # codes between spaces; null: none
    ForeignKeyConstraint(["lead", "lead_active"], ["staff.code", "staff.active"]),
    CheckConstraint("stage = 'closed' OR (lead IS NULL) <> (interim IS NULL)", name="one_lead"),
    CheckConstraint("stage = 'closed' OR (lead IS NULL) = (lead_active IS NULL)", name="lead_checked"),
    CheckConstraint("lead_active = 1", name="lead_active"),
    CheckConstraint("stage = 'closed' OR waiting > 0", name="promise_open_wait"),
    _where("ix_cases_open", "stage", "nearest_due", condition="stage <> 'closed'"),
    _where("ix_cases_lead", "lead", condition="stage <> 'closed'"),
    Index("ix_cases_closed", "closed_at"),
)

#: Who was let into a restricted case from beside its team (緊急閲覧, a ladder), and until when.
openings = Table(
    "openings",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("case_id", BigInteger, ForeignKey("cases.id"), nullable=False),
    Column("staff", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("text", BigInteger),  # of `texts`: why, in their own words
    Column("at", Moment, nullable=False),
    Column("until", Moment, nullable=False),
    Index("ix_openings_staff", "staff", "until"),
)

items = Table(  # what is known, each with its basis
    "items",
    metadata,
    Column("id", Id, primary_key=True),
    Column("household", BigInteger, ForeignKey("households.id"), nullable=False, index=True),
    Column("case_id", BigInteger, ForeignKey("cases.id"), index=True),
    Column("person", BigInteger),
    Column("kind", Text, nullable=False),  # story | contact | fact | opinion | hearsay | health | money | safety
    Column("text", BigInteger, ForeignKey("texts.id"), nullable=False, index=True),
    Column("basis", Text, nullable=False),  # consent | art106_6 | law | art69 | life | own
    Column("conference", BigInteger, index=True),  # of basis art106_6: its pledged members alone read it
    Column("agencies", Json),  # null: the case's team
    Column("source", Text, nullable=False),  # who said it: person | family | agency | resident | other
    Column("by", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("was", Json, nullable=False),  # earlier bases: [{basis, by, at}]
)

consents = Table(  # a person's agreement; a row changes by its withdrawal alone
    "consents",
    metadata,
    Column("id", Id, primary_key=True),
    Column("person", BigInteger, ForeignKey("persons.id"), nullable=False),
    Column("case_id", BigInteger, ForeignKey("cases.id"), nullable=False, index=True),
    Column("who_gave", Text, nullable=False),  # person | legal | family
    Column("scope", Json, nullable=False),  # kinds of items
    Column("agencies", Json),  # null: all of the town
    Column("purpose", Text, nullable=False),
    Column("from", Moment, nullable=False),
    Column("until", Moment),
    Column("form", Text, nullable=False),  # written | oral | electronic
    Column("explainer", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("withdrawn_at", Moment),
    Column("withdrawn_by", Text),
    Column("by", Text, nullable=False),
    Column("at", Moment, nullable=False),
)

consents_missing = Table(  # 同意なし: why there is none
    "consents_missing",
    metadata,
    Column("id", Id, primary_key=True),
    Column("person", BigInteger, ForeignKey("persons.id"), nullable=False),
    Column("case_id", BigInteger, ForeignKey("cases.id"), nullable=False, index=True),
    Column("why", Text, nullable=False),  # not_met | declined | cannot_judge | unsafe
    Column("known", Text, nullable=False),  # agency | family | resident | visit | other
    Column("conference", Boolean, nullable=False),  # a 支援会議 was asked for
    Column("by", Text, nullable=False),
    Column("at", Moment, nullable=False),
)

handoffs = Table(
    "handoffs",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("case_id", BigInteger, ForeignKey("cases.id"), nullable=False),
    Column("no", Integer, nullable=False),
    Column("duty", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("from_agency", Text, nullable=False),
    Column("to_agency", Text, nullable=False),
    Column("to_staff", Text),
    Column("holder", Text),
    Column("batch", BigInteger),
    Column("offered_at", Moment, nullable=False),
    Column("ended_at", Moment),
    Column("doc", Json, nullable=False),
    UniqueConstraint("case_id", "no"),
    Index("ix_handoffs_to_agency", "to_agency", "state"),
    Index("ix_handoffs_holder", "holder", "state"),
    Index("ix_handoffs_sender", "sender", "state"),
    _where(
        "uq_handoffs_one_lead",
        "case_id",
        condition="duty = 'lead' AND state IN ('accepted', 'active', 'on_hold')",
        unique=True,
    ),
    _where(
        "uq_handoffs_one_of_batch",
        "batch",
        condition="batch IS NOT NULL AND state IN ('accepted', 'active', 'on_hold')",
        unique=True,
    ),
)

waits = Table(
    "waits",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("case_id", BigInteger, ForeignKey("cases.id")),  # null: about a person, not a case
    Column("kind", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("handoff", BigInteger, ForeignKey("handoffs.id")),
    Column("due_at", Moment, nullable=False),
    Column("opened_at", Moment, nullable=False),
    Column("rung", Integer, nullable=False),
    Column("urgency", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("closed_at", Moment),
    Column("why", Text, nullable=False),
    Column("policy", Text, nullable=False),  # JSON; apart from doc because thousands of waits share a few
    Column("doc", Json, nullable=False),
    _where("ix_waits_case", "case_id", condition="closed_at IS NULL"),
    _where("ix_waits_due", "due_at", condition="closed_at IS NULL"),
    _where("ix_waits_urgent", "urgency", condition="closed_at IS NULL AND urgency IN ('emergency', 'high')"),
)

timers = Table(
    "timers",
    metadata,
    Column("id", Id, primary_key=True),
    Column("wait_id", BigInteger, ForeignKey("waits.id"), nullable=False),
    Column("case_id", BigInteger),
    Column("rung", Integer, nullable=False),
    Column("due_at", Moment, nullable=False),
    Column("fired_at", Moment),
    Column("cancelled_at", Moment),
    Column("tries", Integer, nullable=False, server_default="0"),  # how often it could not be rung
    Column("retry_at", Moment),  # nobody tries before then; null: none has failed
    UniqueConstraint("wait_id", "rung"),
    _where("uq_timers_one_live", "wait_id", condition="fired_at IS NULL AND cancelled_at IS NULL", unique=True),
    _where("ix_timers_due", "due_at", condition="fired_at IS NULL AND cancelled_at IS NULL"),
    _where(
        "ix_timers_retry", "retry_at", condition="retry_at IS NOT NULL AND fired_at IS NULL AND cancelled_at IS NULL"
    ),
)

journal = Table(
    "journal",
    metadata,
    Column("id", Id, primary_key=True),
    Column("case_id", BigInteger, ForeignKey("cases.id")),  # null: about the town
    Column("seq", Integer, nullable=False),
    Column("at", Moment, nullable=False),
    Column("kind", Text, nullable=False),
    Column("actor", Text),
    Column("surface", Text, nullable=False),
    Column("source", Text),
    Column("dest", Text),
    Column("data", Json, nullable=False),
    Column("prev", Text, nullable=False),
    Column("hash", Text, nullable=False),
    UniqueConstraint("case_id", "seq"),
    _where("uq_journal_town", "seq", condition="case_id IS NULL", unique=True),
)

# Words in and words out

letters = Table(
    "letters",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("case_id", BigInteger, ForeignKey("cases.id")),
    Column("handoff", BigInteger),
    Column("wait", BigInteger),
    Column("kind", Text, nullable=False),
    Column("to_staff", Text),
    Column("to_room", Text),
    Column("surface", Text, nullable=False),
    Column("address", Text),
    Column("doc", Json, nullable=False),
    Column("urgent", Boolean, nullable=False),
    Column("must", Boolean, nullable=False),
    Column("token", Text, unique=True),
    Column("case_version", Integer),
    Column("inbox_id", BigInteger),
    Column("answer", Boolean, nullable=False),
    Column("by_staff", Text),
    Column("created_at", Moment, nullable=False),
    Column("not_before", Moment, nullable=False),
    Column("state", Text, nullable=False),
    Column("lease", Text),
    Column("lease_until", Moment),
    Column("tries", Integer, nullable=False),
    Column("ref", Text),
    Column("why", Text, nullable=False),
    Column("sent_at", Moment),
    Column("cause", Text, nullable=False),
    Column("live", Boolean, nullable=False, server_default=false()),  # a copy outside that still shows buttons
    Column("face", Text, nullable=False, server_default=""),  # hash of what that copy shows
    CheckConstraint("state IN ('pending', 'leased', 'sent', 'unknown', 'failed', 'superseded')", name="state"),
    # None on not_before alone: PostgreSQL took it, and went through all that waits for a slow platform.
    _where("ix_letters_due", "surface", "not_before", condition="state = 'pending'"),
    _where("ix_letters_leased", "lease_until", condition="state = 'leased'"),
    _where("ix_letters_stuck", "state", condition="state IN ('unknown', 'failed')"),
    Index("ix_letters_to_staff", "to_staff", "id"),
    Index("ix_letters_to_room", "to_room", "id"),
    Index("ix_letters_case", "case_id"),
    _where("ix_letters_live", "case_id", condition="live"),
    # Of those that left the house: what somebody had lately, and what went to a place, without a look at years of letters.
    _where("ix_letters_pushed", "to_staff", "not_before", condition="address IS NOT NULL"),
    _where("ix_letters_place", "surface", "address", "sent_at", condition="address IS NOT NULL"),
)

# As they leave: however many wait for a slow platform, the next few are read off, not sorted out.
_where(
    "ix_letters_next", letters.c.surface, letters.c.urgent.desc(), letters.c.not_before, letters.c.case_id, letters.c.id,
    condition="state = 'pending'",
)  # fmt: skip

paces = Table(  # from when on a conversation outside takes another message
    "paces",
    metadata,
    Column("surface", Text, primary_key=True),
    Column("conversation", Text, primary_key=True),  # empty: the whole platform
    Column("free_at", Moment, nullable=False),
)

inbox = Table(
    "inbox",
    metadata,
    Column("id", Id, primary_key=True),
    Column("platform", Text, nullable=False),
    Column("event_id", Text, nullable=False),  # the platform's own; the same id twice is the same event
    Column("natural_key", Text),
    Column("conversation", Text, nullable=False),
    Column("speaker", Text),
    Column("kind", Text, nullable=False),  # words | press | post
    Column("doc", Json, nullable=False),
    Column("text", BigInteger, ForeignKey("texts.id")),
    Column("received_at", Moment, nullable=False),
    Column("state", Text, nullable=False),  # done | parked
    Column("tries", Integer, nullable=False),
    Column("next_at", Moment),
    Column("error", Text, nullable=False),
    UniqueConstraint("platform", "event_id"),
    UniqueConstraint("platform", "natural_key"),
    _where("ix_inbox_parked", "next_at", condition="state = 'parked'"),
    _where("ix_inbox_text", "text", condition="text IS NOT NULL"),  # a text goes when nothing points to it
)

room_posts = Table(
    "room_posts",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("room", Text, nullable=False),
    Column("by_staff", Text, ForeignKey("staff.code"), nullable=False),
    Column("text", BigInteger, ForeignKey("texts.id"), nullable=False, index=True),
    Column("at", Moment, nullable=False),
    Index("ix_room_posts_room", "room", "id"),
)

turns = Table(
    "turns",
    metadata,
    Column("staff", Text, ForeignKey("staff.code"), primary_key=True),
    Column("conversation", Text, nullable=False),
    Column("preview", Json),
    Column("choices", Json),
    Column("undo", Json),
    Column("at", Moment, nullable=False),
)

marks = Table(
    "marks",
    metadata,
    Column("reader", Text, primary_key=True),
    Column("case_id", BigInteger, ForeignKey("cases.id"), primary_key=True),
    Column("word", Text, nullable=False),
    Column("released", Boolean, nullable=False),
    _where("uq_marks_word", "reader", "word", condition="NOT released", unique=True),
    Index("ix_marks_case", "case_id"),
)

reads = Table(
    "reads",
    metadata,
    Column("staff", Text, ForeignKey("staff.code"), primary_key=True),
    Column("room", Text, primary_key=True),  # '' is one's own room
    Column("letter_id", BigInteger, nullable=False),
)

capacity_asks = Table(
    "capacity_asks",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("case_id", BigInteger, ForeignKey("cases.id"), index=True),
    Column("duty", Text, nullable=False),
    Column("district", Text),
    Column("urgency", Text, nullable=False),
    Column("to_agency", Text, nullable=False),
    Column("asked_at", Moment, nullable=False),
    Column("asked_by", Text, nullable=False),
    Column("answer", Text),
    Column("answered_at", Moment),
    Column("answered_by", Text),
    Index("ix_capacity_asks_answered", "duty", "to_agency", "answered_at"),
    _where("ix_capacity_asks_open", "to_agency", condition="answer IS NULL"),
)

# Keeping and erasing

#: 保全: while one stands, nothing of the household is erased.
holds = Table(
    "holds",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("household", BigInteger, ForeignKey("households.id"), nullable=False),
    Column("reason", Text, nullable=False),  # a code: workflow/retention.py
    Column("text", BigInteger, ForeignKey("texts.id")),
    Column("by", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("lifted_at", Moment),
    Column("lifted_by", Text),
    _where("uq_holds_one", "household", condition="lifted_at IS NULL", unique=True),
)

#: 消去: found by the calendar, proposed by one person, done by another; the last is its certificate and stays for ever.
erasures = Table(
    "erasures",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("household", BigInteger, ForeignKey("households.id"), nullable=False),
    Column("numbers", Json, nullable=False),  # of its cases
    Column("closed_at", Moment, nullable=False),  # the last of them
    Column("found_at", Moment, nullable=False),
    Column("proposed_at", Moment),
    Column("proposed_by", Text),
    Column("stopped_at", Moment),
    Column("stopped", Text),  # hold | open | taken_back
    Column("done_at", Moment),
    Column("confirmed_by", Text),
    Column("gone", Json),  # how much of what
    Column("digest", Text),  # of what was destroyed
    Column("line", Integer),  # its place in the town's journal
    CheckConstraint("done_at IS NULL OR proposed_by <> confirmed_by", name="two_people"),
    _where("uq_erasures_one", "household", condition="stopped_at IS NULL", unique=True),
)

#: What of a month cannot be counted any more from what an erasure leaves.
monthly_figures = Table(
    "monthly_figures",
    metadata,
    Column("month", Text, primary_key=True),  # 2026-06, in the town's own days
    Column("name", Text, primary_key=True),
    Column("dimensions", Json, primary_key=True),
    Column("count", Integer, nullable=False),
)

#: 開示請求: what a human has decided of each entry.
disclosures = Table(
    "disclosures",
    metadata,
    Column("household", BigInteger, ForeignKey("households.id"), primary_key=True, autoincrement=False),
    Column("entry", Text, primary_key=True),
    Column("shown", Boolean, nullable=False),
    Column("reason", Text, nullable=False),  # of what is not shown: a code; else empty
    Column("by", Text, nullable=False),
    Column("at", Moment, nullable=False),
)

# Conferences and plans

conferences = Table(
    "conferences",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("basis", Text, nullable=False),
    Column("convened_by", Text, ForeignKey("staff.code"), nullable=False),
    Column("state", Text, nullable=False),
    Column("made_at", Moment, nullable=False),
    Column("at", Moment),
    Column("place", Text, nullable=False),
    CheckConstraint("kind IN ('support_106_6', 'coordination')", name="kind"),
    CheckConstraint("state IN ('planned', 'held', 'closed', 'cancelled')", name="state"),
    _where("ix_conferences_planned", "at", condition="state = 'planned'"),
)

conference_members = Table(
    "conference_members",
    metadata,
    Column("conference", BigInteger, ForeignKey("conferences.id"), primary_key=True),
    Column("staff", Text, ForeignKey("staff.code"), primary_key=True),
    Column("asked_at", Moment, nullable=False),
    Column("answer", Text),  # come | cannot
    Column("pledged_at", Moment),
    CheckConstraint("answer IN ('come', 'cannot')", name="answer"),
    Index("ix_conference_members_staff", "staff"),
)

conference_cases = Table(
    "conference_cases",
    metadata,
    Column("conference", BigInteger, ForeignKey("conferences.id"), primary_key=True),
    Column("case_id", BigInteger, ForeignKey("cases.id"), primary_key=True),
    Column("note", BigInteger, ForeignKey("texts.id")),  # the direction in words
    Column("direction", Text, nullable=False, server_default=""),
    Column("next_at", Moment),
    Index("ix_conference_cases_case", "case_id"),
)

conference_decisions = Table(
    "conference_decisions",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("conference", BigInteger, ForeignKey("conferences.id"), nullable=False, index=True),
    Column("case_id", BigInteger, ForeignKey("cases.id"), nullable=False, index=True),
    Column("kind", Text, nullable=False),  # plan | role | move | close | watch | gather
    Column("doc", Json, nullable=False),  # codes only
    Column("text", BigInteger, ForeignKey("texts.id")),
    Column("made_at", Moment, nullable=False),
    Column("by", Text, nullable=False),
)

plans = Table(
    "plans",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("case_id", BigInteger, ForeignKey("cases.id"), nullable=False),
    Column("person", BigInteger),  # null: the household's
    Column("kind", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("doc", Json, nullable=False),  # codes only
    Column("text", BigInteger, ForeignKey("texts.id")),
    Column("conference", BigInteger, ForeignKey("conferences.id")),
    Column("from_at", Moment, nullable=False),
    Column("to_at", Moment),  # since when another version is the current one; null: this one
    Column("by", Text, nullable=False),
    Column("at", Moment, nullable=False),
    UniqueConstraint("case_id", "person", "kind", "version"),
    # Where there is no person, a constraint on it holds nothing apart.
    _where("uq_plans_version", "case_id", "kind", "version", condition="person IS NULL", unique=True),
    _where("uq_plans_current", "case_id", "kind", condition="to_at IS NULL AND person IS NULL", unique=True),
    _where(
        "uq_plans_current_person",
        "case_id",
        "person",
        "kind",
        condition="to_at IS NULL AND person IS NOT NULL",
        unique=True,
    ),
)

# Processes among each other

beats = Table(
    "beats",
    metadata,
    Column("name", Text, primary_key=True),
    Column("instant", Moment, primary_key=True),
    Column("at", Moment, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("until", Moment, nullable=False),
)

findings = Table(  # what the auditor has found: a row an episode of each, the newest
    "findings",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("key", Text, primary_key=True),  # what of that kind: a case's id, a timer's, a platform
    Column("case_id", BigInteger),
    Column("first_seen", Moment, nullable=False),
    Column("last_seen", Moment, nullable=False),
    Column("told_at", Moment),
    Column("repaired_at", Moment),
    Column("gone_at", Moment),
)

#: Its one row says when the last audit ended, and up to which line of the journal it and the one before it had looked.
audits = Table(
    "audits",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("at", Moment, nullable=False),
    Column("line", BigInteger, nullable=False),
    Column("before", BigInteger, nullable=False),
    CheckConstraint("id = 1", name="only_one"),
)

# Who was shown what, and what got out

look_days = Table(  # where each day's chain of looks ends, and how much of it is written down outside the database
    "look_days",
    metadata,
    Column("day", Text, primary_key=True),  # the town's own day, 2026-06-01
    Column("seq", Integer, nullable=False),
    Column("head", Text, nullable=False),
    Column("anchored", Integer, nullable=False, server_default="0"),
    Column("anchored_at", Moment),
)

looks = Table(
    "looks",
    metadata,
    Column("id", Id, primary_key=True),
    Column("day", Text, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("at", Moment, nullable=False),
    Column("staff", Text),  # null: an operator at the command line
    Column("kind", Text, nullable=False),  # view | search | export | send | assign | consent | override
    Column("page", Text, nullable=False),  # a route ("/cases/{number}") or a surface and its word ("slack:show")
    Column("numbers", Json, nullable=False),  # of the cases that something was shown of
    Column("why", Text, nullable=False, server_default=""),  # a code
    Column("prev", Text, nullable=False),
    Column("hash", Text, nullable=False),
    UniqueConstraint("day", "seq"),
    Index("ix_looks_staff", "staff", "day"),
)

breaches = Table(  # 漏えい等の記録
    "breaches",
    metadata,
    Column("id", Id, primary_key=True),
    Column("found_at", Moment, nullable=False),
    Column("by", Text, nullable=False),
    Column("what", BigInteger, ForeignKey("texts.id"), nullable=False),
    Column("numbers", Json, nullable=False),
    Column("persons", Integer, nullable=False),
    Column("sensitive", Boolean, nullable=False),  # 要配慮個人情報 among it
    Column("malicious", Boolean, nullable=False),  # somebody meant it
    Column("reported_first_at", Moment),
    Column("reported_final_at", Moment),
    Column("told_at", Moment),
    Column("closed_at", Moment),
)

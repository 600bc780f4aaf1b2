"""The two conferences with members and decisions, what is learned there, and the versions of plans."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _items()
    _conferences()
    _decisions()
    _plans()


def _items() -> None:
    op.create_table(
        "items",
        sa.Column("id", ID, nullable=False),
        sa.Column("household", sa.BigInteger(), nullable=False),
        sa.Column("case_id", sa.BigInteger(), nullable=True),
        sa.Column("person", sa.BigInteger(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("text", sa.BigInteger(), nullable=False),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.Column("conference", sa.BigInteger(), nullable=True),
        sa.Column("agencies", sa.Text(), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("was", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["household"], ["households.id"], name=op.f("fk_items_household_households")),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("fk_items_case_id_cases")),
        sa.ForeignKeyConstraint(["text"], ["texts.id"], name=op.f("fk_items_text_texts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_items")),
    )
    for column in ("household", "case_id", "text", "conference"):
        op.create_index(op.f(f"ix_items_{column}"), "items", [column])


def _conferences() -> None:
    op.create_table(
        "conferences",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.Column("convened_by", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=True),
        sa.Column("place", sa.Text(), nullable=False),
        sa.CheckConstraint("kind IN ('support_106_6', 'coordination')", name=op.f("ck_conferences_kind")),
        sa.CheckConstraint("state IN ('planned', 'held', 'closed', 'cancelled')", name=op.f("ck_conferences_state")),
        sa.ForeignKeyConstraint(["convened_by"], ["staff.code"], name=op.f("fk_conferences_convened_by_staff")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conferences")),
    )
    planned = sa.text("state = 'planned'")
    op.create_index("ix_conferences_planned", "conferences", ["at"], sqlite_where=planned, postgresql_where=planned)
    op.create_table(
        "conference_members",
        sa.Column("conference", sa.BigInteger(), nullable=False),
        sa.Column("staff", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("pledged_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("answer IN ('come', 'cannot')", name=op.f("ck_conference_members_answer")),
        sa.ForeignKeyConstraint(
            ["conference"], ["conferences.id"], name=op.f("fk_conference_members_conference_conferences")
        ),
        sa.ForeignKeyConstraint(["staff"], ["staff.code"], name=op.f("fk_conference_members_staff_staff")),
        sa.PrimaryKeyConstraint("conference", "staff", name=op.f("pk_conference_members")),
    )
    op.create_index("ix_conference_members_staff", "conference_members", ["staff"])
    op.create_table(
        "conference_cases",
        sa.Column("conference", sa.BigInteger(), nullable=False),
        sa.Column("case_id", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.BigInteger(), nullable=True),
        sa.Column("direction", sa.Text(), nullable=False, server_default=""),
        sa.Column("next_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["conference"], ["conferences.id"], name=op.f("fk_conference_cases_conference_conferences")
        ),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("fk_conference_cases_case_id_cases")),
        sa.ForeignKeyConstraint(["note"], ["texts.id"], name=op.f("fk_conference_cases_note_texts")),
        sa.PrimaryKeyConstraint("conference", "case_id", name=op.f("pk_conference_cases")),
    )
    op.create_index("ix_conference_cases_case", "conference_cases", ["case_id"])


def _decisions() -> None:
    op.create_table(
        "conference_decisions",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("conference", sa.BigInteger(), nullable=False),
        sa.Column("case_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("doc", sa.Text(), nullable=False),
        sa.Column("text", sa.BigInteger(), nullable=True),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["conference"], ["conferences.id"], name=op.f("fk_conference_decisions_conference_conferences")
        ),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("fk_conference_decisions_case_id_cases")),
        sa.ForeignKeyConstraint(["text"], ["texts.id"], name=op.f("fk_conference_decisions_text_texts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conference_decisions")),
    )
    for column in ("conference", "case_id"):
        op.create_index(op.f(f"ix_conference_decisions_{column}"), "conference_decisions", [column])


def _plans() -> None:
    op.create_table(
        "plans",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("case_id", sa.BigInteger(), nullable=False),
        sa.Column("person", sa.BigInteger(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("doc", sa.Text(), nullable=False),
        sa.Column("text", sa.BigInteger(), nullable=True),
        sa.Column("conference", sa.BigInteger(), nullable=True),
        sa.Column("from_at", sa.BigInteger(), nullable=False),
        sa.Column("to_at", sa.BigInteger(), nullable=True),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("fk_plans_case_id_cases")),
        sa.ForeignKeyConstraint(["text"], ["texts.id"], name=op.f("fk_plans_text_texts")),
        sa.ForeignKeyConstraint(["conference"], ["conferences.id"], name=op.f("fk_plans_conference_conferences")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_plans")),
        sa.UniqueConstraint("case_id", "person", "kind", "version", name=op.f("uq_plans_case_id_person_kind_version")),
    )
    for name, columns, condition in (
        ("uq_plans_version", ["case_id", "kind", "version"], "person IS NULL"),
        ("uq_plans_current", ["case_id", "kind"], "to_at IS NULL AND person IS NULL"),
        ("uq_plans_current_person", ["case_id", "person", "kind"], "to_at IS NULL AND person IS NOT NULL"),
    ):
        only = sa.text(condition)
        op.create_index(name, "plans", columns, unique=True, sqlite_where=only, postgresql_where=only)

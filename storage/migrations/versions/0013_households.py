"""Persons of a household, what is known with its basis, consent of each person, households found to be one."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def _id() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _points(table: str, column: str, to: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{to}.id"], name=op.f(f"fk_{table}_{column}_{to}"))


def upgrade() -> None:
    op.create_table(
        "persons",
        sa.Column("id", _id(), autoincrement=False, nullable=False),
        sa.Column("household", sa.BigInteger(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("added_by", sa.Text(), nullable=False),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.Column("removed_at", sa.BigInteger(), nullable=True),
        _points("persons", "household", "households"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_persons")),
        sa.UniqueConstraint("household", "ordinal", name=op.f("uq_persons_household_ordinal")),
    )
    op.create_table(
        "person_hashes",
        sa.Column("person", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        _points("person_hashes", "person", "persons"),
        sa.PrimaryKeyConstraint("person", "hash", name=op.f("pk_person_hashes")),
    )
    op.create_index("ix_person_hashes_hash", "person_hashes", ["hash"])
    op.create_table(
        "household_merges",
        sa.Column("id", _id(), nullable=False),
        sa.Column("kept", sa.BigInteger(), nullable=False),
        sa.Column("gone", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("undone_at", sa.BigInteger(), nullable=True),
        sa.Column("undone_by", sa.Text(), nullable=True),
        _points("household_merges", "kept", "households"),
        _points("household_merges", "gone", "households"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_household_merges")),
    )
    op.create_index(op.f("ix_household_merges_kept"), "household_merges", ["kept"])
    standing = sa.text("undone_at IS NULL")
    op.create_index(
        "uq_household_merges_gone", "household_merges", ["gone"], unique=True, sqlite_where=standing, postgresql_where=standing
    )  # fmt: skip
    op.create_table(
        "consents",
        sa.Column("id", _id(), nullable=False),
        sa.Column("person", sa.BigInteger(), nullable=False),
        sa.Column("case_id", sa.BigInteger(), nullable=False),
        sa.Column("who_gave", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("agencies", sa.Text(), nullable=True),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("from", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.Column("form", sa.Text(), nullable=False),
        sa.Column("explainer", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("withdrawn_at", sa.BigInteger(), nullable=True),
        sa.Column("withdrawn_by", sa.Text(), nullable=True),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        _points("consents", "person", "persons"),
        _points("consents", "case_id", "cases"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consents")),
    )
    op.create_index(op.f("ix_consents_case_id"), "consents", ["case_id"])
    op.create_table(
        "consents_missing",
        sa.Column("id", _id(), nullable=False),
        sa.Column("person", sa.BigInteger(), nullable=False),
        sa.Column("case_id", sa.BigInteger(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("known", sa.Text(), nullable=False),
        sa.Column("conference", sa.Boolean(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        _points("consents_missing", "person", "persons"),
        _points("consents_missing", "case_id", "cases"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consents_missing")),
    )
    op.create_index(op.f("ix_consents_missing_case_id"), "consents_missing", ["case_id"])

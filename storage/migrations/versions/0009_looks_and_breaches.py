"""Looks: who was shown what of which cases, a chain for each of the town's days; and the register of breaches."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

#: Nobody changes or takes away a look, with whatever program they come.
APPEND_ONLY = {
    "sqlite": (
        """CREATE TRIGGER looks_stay_as_they_are BEFORE UPDATE ON looks
           BEGIN SELECT RAISE(ABORT, 'looks are append-only'); END""",
        """CREATE TRIGGER looks_lose_no_row BEFORE DELETE ON looks
           BEGIN SELECT RAISE(ABORT, 'looks are append-only'); END""",
    ),
    "postgresql": (
        """CREATE OR REPLACE FUNCTION looks_are_append_only() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN RAISE EXCEPTION 'looks are append-only'; END $$""",
        """CREATE TRIGGER looks_are_append_only BEFORE UPDATE OR DELETE ON looks
           FOR EACH ROW EXECUTE FUNCTION looks_are_append_only()""",
        """CREATE TRIGGER looks_are_not_emptied BEFORE TRUNCATE ON looks
           FOR EACH STATEMENT EXECUTE FUNCTION looks_are_append_only()""",
    ),
}


def upgrade() -> None:
    op.create_table(
        "look_days",
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("head", sa.Text(), nullable=False),
        sa.Column("anchored", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("anchored_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_look_days")),
    )
    op.create_table(
        "looks",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("staff", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("page", sa.Text(), nullable=False),
        sa.Column("numbers", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False, server_default=""),
        sa.Column("prev", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_looks")),
        sa.UniqueConstraint("day", "seq", name=op.f("uq_looks_day_seq")),
    )
    op.create_index(op.f("ix_looks_staff"), "looks", ["staff", "day"])
    op.create_table(
        "breaches",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("found_at", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("what", sa.BigInteger(), nullable=False),
        sa.Column("numbers", sa.Text(), nullable=False),
        sa.Column("persons", sa.Integer(), nullable=False),
        sa.Column("sensitive", sa.Boolean(), nullable=False),
        sa.Column("malicious", sa.Boolean(), nullable=False),
        sa.Column("reported_first_at", sa.BigInteger(), nullable=True),
        sa.Column("reported_final_at", sa.BigInteger(), nullable=True),
        sa.Column("told_at", sa.BigInteger(), nullable=True),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["what"], ["texts.id"], name=op.f("fk_breaches_what_texts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_breaches")),
    )
    for statement in APPEND_ONLY[op.get_bind().dialect.name]:
        op.execute(statement)

"""Keeping and erasing: what must not be erased, what was, figures that outlive it, and what of a household is shown on request."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "holds",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False, autoincrement=False),
        sa.Column("household", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("text", sa.BigInteger(), nullable=True),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("lifted_at", sa.BigInteger(), nullable=True),
        sa.Column("lifted_by", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["household"], ["households.id"], name=op.f("fk_holds_household_households")),
        sa.ForeignKeyConstraint(["text"], ["texts.id"], name=op.f("fk_holds_text_texts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_holds")),
    )
    only = sa.text("lifted_at IS NULL")
    op.create_index("uq_holds_one", "holds", ["household"], unique=True, sqlite_where=only, postgresql_where=only)
    op.create_table(
        "erasures",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False, autoincrement=False),
        sa.Column("household", sa.BigInteger(), nullable=False),
        sa.Column("numbers", sa.Text(), nullable=False),
        sa.Column("closed_at", sa.BigInteger(), nullable=False),
        sa.Column("found_at", sa.BigInteger(), nullable=False),
        sa.Column("proposed_at", sa.BigInteger(), nullable=True),
        sa.Column("proposed_by", sa.Text(), nullable=True),
        sa.Column("stopped_at", sa.BigInteger(), nullable=True),
        sa.Column("stopped", sa.Text(), nullable=True),
        sa.Column("done_at", sa.BigInteger(), nullable=True),
        sa.Column("confirmed_by", sa.Text(), nullable=True),
        sa.Column("gone", sa.Text(), nullable=True),
        sa.Column("digest", sa.Text(), nullable=True),
        sa.Column("line", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["household"], ["households.id"], name=op.f("fk_erasures_household_households")),
        sa.CheckConstraint("done_at IS NULL OR proposed_by <> confirmed_by", name=op.f("ck_erasures_two_people")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_erasures")),
    )
    live = sa.text("stopped_at IS NULL")
    op.create_index("uq_erasures_one", "erasures", ["household"], unique=True, sqlite_where=live, postgresql_where=live)
    op.create_table(
        "monthly_figures",
        sa.Column("month", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("dimensions", sa.Text(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("month", "name", "dimensions", name=op.f("pk_monthly_figures")),
    )
    op.create_table(
        "disclosures",
        sa.Column("household", sa.BigInteger(), nullable=False),
        sa.Column("entry", sa.Text(), nullable=False),
        sa.Column("shown", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["household"], ["households.id"], name=op.f("fk_disclosures_household_households")),
        sa.PrimaryKeyConstraint("household", "entry", name=op.f("pk_disclosures")),
    )

"""What the auditor found and how far it has looked; timers that could not be rung are tried again by and by."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("timers", sa.Column("tries", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("timers", sa.Column("retry_at", sa.BigInteger(), nullable=True))
    only = sa.text("retry_at IS NOT NULL AND fired_at IS NULL AND cancelled_at IS NULL")
    op.create_index("ix_timers_retry", "timers", ["retry_at"], sqlite_where=only, postgresql_where=only)
    op.create_table(
        "findings",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("case_id", sa.BigInteger(), nullable=True),
        sa.Column("first_seen", sa.BigInteger(), nullable=False),
        sa.Column("last_seen", sa.BigInteger(), nullable=False),
        sa.Column("told_at", sa.BigInteger(), nullable=True),
        sa.Column("repaired_at", sa.BigInteger(), nullable=True),
        sa.Column("gone_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("kind", "key", name=op.f("pk_findings")),
    )
    op.create_table(
        "audits",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("line", sa.BigInteger(), nullable=False),
        sa.Column("before", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_audits_only_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audits")),
    )

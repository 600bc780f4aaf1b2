"""Letters that are due, found platform by platform: the queue of a slow one is not gone through for the others."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_letters_pending", "letters")
    only = sa.text("state = 'pending'")
    op.create_index("ix_letters_due", "letters", ["surface", "not_before"], sqlite_where=only, postgresql_where=only)

"""The municipality remembers the end of its own journal, as a case does."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # With defaults, so that the previous version may go on writing the town meanwhile; it writes no line about it.
    op.add_column("municipality", sa.Column("seq", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("municipality", sa.Column("head", sa.Text(), nullable=False, server_default=""))

"""Years of letters and events: what somebody had lately is found at once, and words go with the event that is swept away."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    out = sa.text("address IS NOT NULL")
    for name, columns in (
        ("ix_letters_pushed", ["to_staff", "not_before"]),
        ("ix_letters_place", ["surface", "address", "sent_at"]),
    ):
        op.create_index(name, "letters", columns, sqlite_where=out, postgresql_where=out)
    only = sa.text("text IS NOT NULL")
    op.create_index("ix_inbox_text", "inbox", ["text"], sqlite_where=only, postgresql_where=only)
    op.create_index(op.f("ix_room_posts_text"), "room_posts", ["text"])

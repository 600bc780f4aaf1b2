"""Platforms outside: links that are confirmed and reachable, shared conversations, copies that change, paces."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("links", sa.Column("reachable", sa.Boolean(), nullable=False, server_default=sa.true()))
    op.add_column("links", sa.Column("how", sa.Text(), nullable=False, server_default="code"))
    op.add_column("links", sa.Column("confirmed_by", sa.Text(), nullable=True))
    op.add_column("links", sa.Column("confirmed_at", sa.BigInteger(), nullable=True))
    op.add_column("letters", sa.Column("live", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("letters", sa.Column("face", sa.Text(), nullable=False, server_default=""))
    only = sa.text("live")
    op.create_index("ix_letters_live", "letters", ["case_id"], sqlite_where=only, postgresql_where=only)
    op.create_table(
        "paces",
        sa.Column("surface", sa.Text(), nullable=False),
        sa.Column("conversation", sa.Text(), nullable=False),
        sa.Column("free_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("surface", "conversation", name=op.f("pk_paces")),
    )
    op.add_column("invites", sa.Column("room", sa.Text(), nullable=True))
    op.create_table(
        "rooms",
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("conversation", sa.Text(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("linked_at", sa.BigInteger(), nullable=False),
        sa.Column("linked_by", sa.Text(), nullable=False),
        sa.Column("reachable", sa.Boolean(), nullable=False, server_default=sa.true()),
        sa.ForeignKeyConstraint(["agency"], ["agencies.code"], name=op.f("fk_rooms_agency_agencies")),
        sa.ForeignKeyConstraint(["linked_by"], ["staff.code"], name=op.f("fk_rooms_linked_by_staff")),
        sa.PrimaryKeyConstraint("platform", "conversation", name=op.f("pk_rooms")),
    )
    op.create_index(op.f("ix_rooms_agency"), "rooms", ["agency"])
    op.create_table(
        "reader_settings",
        sa.Column("staff", sa.Text(), nullable=False),
        sa.Column("orders", sa.Text(), nullable=False),
        sa.Column("quiet_from", sa.Integer(), nullable=True),
        sa.Column("quiet_to", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["staff"], ["staff.code"], name=op.f("fk_reader_settings_staff_staff")),
        sa.PrimaryKeyConstraint("staff", name=op.f("pk_reader_settings")),
    )
    _accounts_of_the_file()


def _accounts_of_the_file() -> None:
    """A town that was loaded before keeps the accounts that its file names."""
    connection = op.get_bind()
    add = sa.text(
        "INSERT INTO links (platform, account, staff, linked_at, how) VALUES (:platform, :account, :staff, 0, 'file')"
        " ON CONFLICT DO NOTHING"
    )
    for doc in connection.execute(sa.text("SELECT doc FROM municipality")).scalars().all():
        for person in json.loads(doc).get("staff", ()):
            for platform, account in (person.get("chat") or {}).items():
                connection.execute(add, {"platform": platform, "account": account, "staff": person["code"]})

"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

#: Nobody changes or takes away a line of the journal, with whatever program they come.
APPEND_ONLY = {
    "sqlite": (
        """CREATE TRIGGER journal_keeps_its_lines BEFORE UPDATE ON journal
           BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END""",
        """CREATE TRIGGER journal_loses_no_line BEFORE DELETE ON journal
           BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END""",
    ),
    "postgresql": (
        """CREATE FUNCTION journal_is_append_only() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN RAISE EXCEPTION 'the journal is append-only'; END $$""",
        """CREATE TRIGGER journal_is_append_only BEFORE UPDATE OR DELETE ON journal
           FOR EACH ROW EXECUTE FUNCTION journal_is_append_only()""",
        """CREATE TRIGGER journal_is_not_emptied BEFORE TRUNCATE ON journal
           FOR EACH STATEMENT EXECUTE FUNCTION journal_is_append_only()""",
    ),
}


def upgrade() -> None:
    op.create_table(
        "agencies",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_agencies")),
    )
    op.create_table(
        "beats",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("instant", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", "instant", name=op.f("pk_beats")),
    )
    op.create_table(
        "demo_clock",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("town_at", sa.BigInteger(), nullable=False),
        sa.Column("real_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_demo_clock_only_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_demo_clock")),
    )
    op.create_table(
        "households",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=True),
        sa.Column("hash", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_households")),
    )
    op.create_index(op.f("ix_households_hash"), "households", ["hash"], unique=False)
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    op.create_table(
        "staff",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("active", sa.Integer(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("doc", sa.Text(), nullable=False),
        sa.CheckConstraint("active IN (0, 1)", name=op.f("ck_staff_active")),
        sa.ForeignKeyConstraint(["agency"], ["agencies.code"], name=op.f("fk_staff_agency_agencies")),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_staff")),
        sa.UniqueConstraint("code", "active", name=op.f("uq_staff_code_active")),
    )
    op.create_table(
        "texts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("household", sa.BigInteger(), nullable=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["household"], ["households.id"], name=op.f("fk_texts_household_households")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_texts")),
    )
    op.create_index(op.f("ix_texts_household"), "texts", ["household"], unique=False)
    op.create_table(
        "absences",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("staff", sa.Text(), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("end", sa.BigInteger(), nullable=False),
        sa.Column("deputy", sa.Text(), nullable=True),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("cancelled_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint('start < "end"', name=op.f("ck_absences_order")),
        sa.ForeignKeyConstraint(["deputy"], ["staff.code"], name=op.f("fk_absences_deputy_staff")),
        sa.ForeignKeyConstraint(["staff"], ["staff.code"], name=op.f("fk_absences_staff_staff")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_absences")),
    )
    op.create_table(
        "cases",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("household", sa.BigInteger(), nullable=False),
        sa.Column("previous", sa.BigInteger(), nullable=True),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("urgency", sa.Text(), nullable=False),
        sa.Column("lead", sa.Text(), nullable=True),
        sa.Column("lead_active", sa.Integer(), nullable=True),
        sa.Column("interim", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("head", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("opened_by", sa.Text(), nullable=False),
        sa.Column("opened_agency", sa.Text(), nullable=False),
        sa.Column("district", sa.Text(), nullable=True),
        sa.Column("moved_at", sa.BigInteger(), nullable=True),
        sa.Column("stage_at", sa.BigInteger(), nullable=True),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.Column("nearest_due", sa.BigInteger(), nullable=True),
        sa.Column("nearest_kind", sa.Text(), nullable=True),
        sa.Column("waiting", sa.Integer(), nullable=False),
        sa.Column("doc", sa.Text(), nullable=False),
        sa.CheckConstraint("stage = 'closed' OR (lead IS NULL) <> (interim IS NULL)", name=op.f("ck_cases_one_lead")),
        sa.CheckConstraint(
            "stage = 'closed' OR (lead IS NULL) = (lead_active IS NULL)", name=op.f("ck_cases_lead_checked")
        ),
        sa.CheckConstraint("stage = 'closed' OR waiting > 0", name=op.f("ck_cases_promise_open_wait")),
        sa.CheckConstraint("lead_active = 1", name=op.f("ck_cases_lead_active")),
        sa.ForeignKeyConstraint(["household"], ["households.id"], name=op.f("fk_cases_household_households")),
        sa.ForeignKeyConstraint(["interim"], ["agencies.code"], name=op.f("fk_cases_interim_agencies")),
        sa.ForeignKeyConstraint(
            ["lead", "lead_active"], ["staff.code", "staff.active"], name=op.f("fk_cases_lead_lead_active_staff")
        ),
        sa.ForeignKeyConstraint(["previous"], ["cases.id"], name=op.f("fk_cases_previous_cases")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cases")),
        sa.UniqueConstraint("number", name=op.f("uq_cases_number")),
    )
    op.create_index("ix_cases_closed", "cases", ["closed_at"], unique=False)
    op.create_index(op.f("ix_cases_household"), "cases", ["household"], unique=False)
    op.create_index(
        "ix_cases_lead",
        "cases",
        ["lead"],
        unique=False,
        sqlite_where=sa.text("stage <> 'closed'"),
        postgresql_where=sa.text("stage <> 'closed'"),
    )
    op.create_index(
        "ix_cases_open",
        "cases",
        ["stage", "nearest_due"],
        unique=False,
        sqlite_where=sa.text("stage <> 'closed'"),
        postgresql_where=sa.text("stage <> 'closed'"),
    )
    op.create_index(op.f("ix_cases_previous"), "cases", ["previous"], unique=False)
    op.create_table(
        "inbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("natural_key", sa.Text(), nullable=True),
        sa.Column("conversation", sa.Text(), nullable=False),
        sa.Column("speaker", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("doc", sa.Text(), nullable=False),
        sa.Column("text", sa.BigInteger(), nullable=True),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["text"], ["texts.id"], name=op.f("fk_inbox_text_texts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbox")),
        sa.UniqueConstraint("platform", "event_id", name=op.f("uq_inbox_platform_event_id")),
        sa.UniqueConstraint("platform", "natural_key", name=op.f("uq_inbox_platform_natural_key")),
    )
    op.create_index(
        "ix_inbox_parked",
        "inbox",
        ["next_at"],
        unique=False,
        sqlite_where=sa.text("state = 'parked'"),
        postgresql_where=sa.text("state = 'parked'"),
    )
    op.create_table(
        "invites",
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("staff", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["staff"], ["staff.code"], name=op.f("fk_invites_staff_staff")),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_invites")),
    )
    op.create_table(
        "links",
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("staff", sa.Text(), nullable=False),
        sa.Column("linked_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["staff"], ["staff.code"], name=op.f("fk_links_staff_staff")),
        sa.PrimaryKeyConstraint("platform", "account", name=op.f("pk_links")),
    )
    op.create_index(op.f("ix_links_staff"), "links", ["staff"], unique=False)
    op.create_table(
        "municipality",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("final_owner", sa.Text(), nullable=False),
        sa.Column("doc", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_municipality_only_one")),
        sa.ForeignKeyConstraint(["final_owner"], ["staff.code"], name=op.f("fk_municipality_final_owner_staff")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_municipality")),
    )
    op.create_table(
        "reads",
        sa.Column("staff", sa.Text(), nullable=False),
        sa.Column("room", sa.Text(), nullable=False),
        sa.Column("letter_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["staff"], ["staff.code"], name=op.f("fk_reads_staff_staff")),
        sa.PrimaryKeyConstraint("staff", "room", name=op.f("pk_reads")),
    )
    op.create_table(
        "room_posts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("room", sa.Text(), nullable=False),
        sa.Column("by_staff", sa.Text(), nullable=False),
        sa.Column("text", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["by_staff"], ["staff.code"], name=op.f("fk_room_posts_by_staff_staff")),
        sa.ForeignKeyConstraint(["text"], ["texts.id"], name=op.f("fk_room_posts_text_texts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_room_posts")),
    )
    op.create_index("ix_room_posts_room", "room_posts", ["room", "id"], unique=False)
    op.create_table(
        "sessions",
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("staff", sa.Text(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["staff"], ["staff.code"], name=op.f("fk_sessions_staff_staff")),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_sessions")),
    )
    op.create_index(op.f("ix_sessions_staff"), "sessions", ["staff"], unique=False)
    op.create_table(
        "turns",
        sa.Column("staff", sa.Text(), nullable=False),
        sa.Column("conversation", sa.Text(), nullable=False),
        sa.Column("preview", sa.Text(), nullable=True),
        sa.Column("choices", sa.Text(), nullable=True),
        sa.Column("undo", sa.Text(), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["staff"], ["staff.code"], name=op.f("fk_turns_staff_staff")),
        sa.PrimaryKeyConstraint("staff", name=op.f("pk_turns")),
    )
    op.create_table(
        "capacity_asks",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("case_id", sa.BigInteger(), nullable=True),
        sa.Column("duty", sa.Text(), nullable=False),
        sa.Column("district", sa.Text(), nullable=True),
        sa.Column("urgency", sa.Text(), nullable=False),
        sa.Column("to_agency", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("answered_at", sa.BigInteger(), nullable=True),
        sa.Column("answered_by", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("fk_capacity_asks_case_id_cases")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_capacity_asks")),
    )
    op.create_index("ix_capacity_asks_answered", "capacity_asks", ["duty", "to_agency", "answered_at"], unique=False)
    op.create_index(op.f("ix_capacity_asks_case_id"), "capacity_asks", ["case_id"], unique=False)
    op.create_index(
        "ix_capacity_asks_open",
        "capacity_asks",
        ["to_agency"],
        unique=False,
        sqlite_where=sa.text("answer IS NULL"),
        postgresql_where=sa.text("answer IS NULL"),
    )
    op.create_table(
        "handoffs",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("case_id", sa.BigInteger(), nullable=False),
        sa.Column("no", sa.Integer(), nullable=False),
        sa.Column("duty", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("from_agency", sa.Text(), nullable=False),
        sa.Column("to_agency", sa.Text(), nullable=False),
        sa.Column("to_staff", sa.Text(), nullable=True),
        sa.Column("holder", sa.Text(), nullable=True),
        sa.Column("batch", sa.BigInteger(), nullable=True),
        sa.Column("offered_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("doc", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("fk_handoffs_case_id_cases")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_handoffs")),
        sa.UniqueConstraint("case_id", "no", name=op.f("uq_handoffs_case_id_no")),
    )
    op.create_index("ix_handoffs_holder", "handoffs", ["holder", "state"], unique=False)
    op.create_index("ix_handoffs_sender", "handoffs", ["sender", "state"], unique=False)
    op.create_index("ix_handoffs_to_agency", "handoffs", ["to_agency", "state"], unique=False)
    op.create_index(
        "uq_handoffs_one_lead",
        "handoffs",
        ["case_id"],
        unique=True,
        sqlite_where=sa.text("duty = 'lead' AND state IN ('accepted', 'active', 'on_hold')"),
        postgresql_where=sa.text("duty = 'lead' AND state IN ('accepted', 'active', 'on_hold')"),
    )
    op.create_index(
        "uq_handoffs_one_of_batch",
        "handoffs",
        ["batch"],
        unique=True,
        sqlite_where=sa.text("batch IS NOT NULL AND state IN ('accepted', 'active', 'on_hold')"),
        postgresql_where=sa.text("batch IS NOT NULL AND state IN ('accepted', 'active', 'on_hold')"),
    )
    op.create_table(
        "journal",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("case_id", sa.BigInteger(), nullable=True),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=True),
        sa.Column("surface", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("dest", sa.Text(), nullable=True),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("prev", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("fk_journal_case_id_cases")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_journal")),
        sa.UniqueConstraint("case_id", "seq", name=op.f("uq_journal_case_id_seq")),
    )
    op.create_index(
        "uq_journal_town",
        "journal",
        ["seq"],
        unique=True,
        sqlite_where=sa.text("case_id IS NULL"),
        postgresql_where=sa.text("case_id IS NULL"),
    )
    op.create_table(
        "letters",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("case_id", sa.BigInteger(), nullable=True),
        sa.Column("handoff", sa.BigInteger(), nullable=True),
        sa.Column("wait", sa.BigInteger(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("to_staff", sa.Text(), nullable=True),
        sa.Column("to_room", sa.Text(), nullable=True),
        sa.Column("surface", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("doc", sa.Text(), nullable=False),
        sa.Column("urgent", sa.Boolean(), nullable=False),
        sa.Column("must", sa.Boolean(), nullable=False),
        sa.Column("token", sa.Text(), nullable=True),
        sa.Column("case_version", sa.Integer(), nullable=True),
        sa.Column("inbox_id", sa.BigInteger(), nullable=True),
        sa.Column("answer", sa.Boolean(), nullable=False),
        sa.Column("by_staff", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("not_before", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("lease", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("ref", sa.Text(), nullable=True),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "state IN ('pending', 'leased', 'sent', 'unknown', 'failed', 'superseded')", name=op.f("ck_letters_state")
        ),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("fk_letters_case_id_cases")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_letters")),
        sa.UniqueConstraint("token", name=op.f("uq_letters_token")),
    )
    op.create_index("ix_letters_case", "letters", ["case_id"], unique=False)
    op.create_index(
        "ix_letters_leased",
        "letters",
        ["lease_until"],
        unique=False,
        sqlite_where=sa.text("state = 'leased'"),
        postgresql_where=sa.text("state = 'leased'"),
    )
    op.create_index(
        "ix_letters_pending",
        "letters",
        ["not_before"],
        unique=False,
        sqlite_where=sa.text("state = 'pending'"),
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index(
        "ix_letters_stuck",
        "letters",
        ["state"],
        unique=False,
        sqlite_where=sa.text("state IN ('unknown', 'failed')"),
        postgresql_where=sa.text("state IN ('unknown', 'failed')"),
    )
    op.create_index("ix_letters_to_room", "letters", ["to_room", "id"], unique=False)
    op.create_index("ix_letters_to_staff", "letters", ["to_staff", "id"], unique=False)
    op.create_table(
        "marks",
        sa.Column("reader", sa.Text(), nullable=False),
        sa.Column("case_id", sa.BigInteger(), nullable=False),
        sa.Column("word", sa.Text(), nullable=False),
        sa.Column("released", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("fk_marks_case_id_cases")),
        sa.PrimaryKeyConstraint("reader", "case_id", name=op.f("pk_marks")),
    )
    op.create_index("ix_marks_case", "marks", ["case_id"], unique=False)
    op.create_index(
        "uq_marks_word",
        "marks",
        ["reader", "word"],
        unique=True,
        sqlite_where=sa.text("NOT released"),
        postgresql_where=sa.text("NOT released"),
    )
    op.create_table(
        "waits",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("case_id", sa.BigInteger(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("handoff", sa.BigInteger(), nullable=True),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("rung", sa.Integer(), nullable=False),
        sa.Column("urgency", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("doc", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("fk_waits_case_id_cases")),
        sa.ForeignKeyConstraint(["handoff"], ["handoffs.id"], name=op.f("fk_waits_handoff_handoffs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_waits")),
    )
    op.create_index(
        "ix_waits_case",
        "waits",
        ["case_id"],
        unique=False,
        sqlite_where=sa.text("closed_at IS NULL"),
        postgresql_where=sa.text("closed_at IS NULL"),
    )
    op.create_index(
        "ix_waits_due",
        "waits",
        ["due_at"],
        unique=False,
        sqlite_where=sa.text("closed_at IS NULL"),
        postgresql_where=sa.text("closed_at IS NULL"),
    )
    op.create_table(
        "timers",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("wait_id", sa.BigInteger(), nullable=False),
        sa.Column("case_id", sa.BigInteger(), nullable=True),
        sa.Column("rung", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("fired_at", sa.BigInteger(), nullable=True),
        sa.Column("cancelled_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["wait_id"], ["waits.id"], name=op.f("fk_timers_wait_id_waits")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_timers")),
        sa.UniqueConstraint("wait_id", "rung", name=op.f("uq_timers_wait_id_rung")),
    )
    op.create_index(
        "ix_timers_due",
        "timers",
        ["due_at"],
        unique=False,
        sqlite_where=sa.text("fired_at IS NULL AND cancelled_at IS NULL"),
        postgresql_where=sa.text("fired_at IS NULL AND cancelled_at IS NULL"),
    )
    op.create_index(
        "uq_timers_one_live",
        "timers",
        ["wait_id"],
        unique=True,
        sqlite_where=sa.text("fired_at IS NULL AND cancelled_at IS NULL"),
        postgresql_where=sa.text("fired_at IS NULL AND cancelled_at IS NULL"),
    )
    for statement in APPEND_ONLY[op.get_bind().dialect.name]:
        op.execute(statement)

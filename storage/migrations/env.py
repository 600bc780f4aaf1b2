"""How Alembic reaches the database: over the connection that `storage.migrate` hands it, in one transaction."""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext

from storage.tables import Json, Moment, metadata


def render_item(kind: str, item: Any, autogen: AutogenContext) -> str | Literal[False]:
    """Write SQLAlchemy's types into a new migration: it has to run when today's classes are gone."""
    if kind != "type":
        return False
    if isinstance(item, Moment):
        return "sa.BigInteger()"
    if isinstance(item, Json):
        return "sa.Text()"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_item=render_item,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()

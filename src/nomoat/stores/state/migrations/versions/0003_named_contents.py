"""An index over the contents that revisions name, so that one that none names is found without a scan.

Revises 0002. The foreign key to `blob` needs it as well, once a content can be forgotten.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index."""
    op.create_index("ix_change_blob", "change", ["blob"])

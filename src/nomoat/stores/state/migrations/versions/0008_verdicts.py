"""What a scan said of contents, and of the paths that they are published under.

Revises 0007.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """What is there was never scanned: that is not clean. The gateway scans it after its next start."""
    op.add_column("blob", sa.Column("verdict", sa.Text(), nullable=False, server_default="unscannable"))
    op.add_column("blob", sa.Column("format", sa.Text(), nullable=False, server_default=""))
    op.add_column("blob", sa.Column("findings", sa.Text(), nullable=False, server_default="[]"))
    op.add_column("change", sa.Column("verdict", sa.Text(), nullable=False, server_default="unscannable"))

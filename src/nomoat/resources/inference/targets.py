"""What decisions about inference are about, as policies see it."""

from nomoat.core.content import Finding
from nomoat.core.inference import Endpoint, Upstream
from nomoat.core.lifecycle import Stage
from nomoat.core.lineage import Label
from nomoat.core.operation import Target


def endpoint_target(endpoint: Endpoint, label: Label) -> Target:
    """An endpoint, as confidential as `label` says."""
    return Target(
        kind="Endpoint",
        id=endpoint.name,
        name=endpoint.name,
        classification=label.classification,
        labels=label.labels,
        owner_group=endpoint.owner_group,
        owner_person=endpoint.owner_person,
    )


def upstream_target(upstream: Upstream, label: Label, stage: Stage | None, *, redacted: bool) -> Target:
    """An upstream, and the label of what would be sent there, as it is or `redacted`; `stage` is that of its weights, if they are from here."""
    return Target(
        kind="Upstream",
        id=upstream.name,
        name=upstream.name,
        classification=label.classification,
        labels=label.labels,
        facts=(
            ("cleared", upstream.clearance.value),
            ("external", upstream.external),
            ("redacted", redacted),
            ("region", upstream.region),
            ("retention", upstream.retention),
            *((("stage", stage.value),) if stage is not None else ()),
        ),
    )


def source_target(finding: Finding) -> Target:
    """A registered source of which a prompt or an answer has something."""
    label = finding.label
    return Target(
        kind="Source",
        id=finding.source,
        name="registered source code",  # whoever may not have it need not know which
        classification=label.classification,
        labels=label.labels,
        owner_group=finding.cleared,
    )

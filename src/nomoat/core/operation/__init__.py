"""Operations: one frozen class for each verb, and what a name resolved to."""

from nomoat.core.operation.administration import (
    ApplyDirectory,
    ApplyPolicy,
    Enroll,
    EraseContent,
    ExportLog,
    ReadLog,
    ReadStatus,
    ReportLog,
    Revoke,
)
from nomoat.core.operation.base import OPERATIONS, Operation, OpT, OpT_co, Resolved, Target
from nomoat.core.operation.craft import (
    ExplainRecord,
    FindUnused,
    ReadDifferences,
    ReadPolicy,
    SimulatePolicy,
    TryPolicy,
)
from nomoat.core.operation.datasets import DiffVersions, ReadManifest
from nomoat.core.operation.evidence import ProveOwnRecord, ProveRecord, ReadEntries
from nomoat.core.operation.history import (
    CreateBranch,
    CreateTag,
    DeleteBranch,
    DeleteRepository,
    DeleteTag,
    ListCommits,
)
from nomoat.core.operation.identity import (
    IssueToken,
    JoinWorkload,
    RegisterDevice,
    RenewCertificate,
    ValidateCard,
    Whoami,
)
from nomoat.core.operation.inference import InvokeModel, ListEndpoints, SealCredential
from nomoat.core.operation.keys import ReadKeys, RotateKeys
from nomoat.core.operation.lineage import LowerLabel, ReadLineage, ReportLoad
from nomoat.core.operation.metrics import ListMetrics, ReadMetric, ReopenBudget
from nomoat.core.operation.reading import DescribeFile, DescribeRepository, ListFiles, ListRepositories, ReadFile
from nomoat.core.operation.sources import ListSources, RegisterSource, RemoveSource
from nomoat.core.operation.versions import ApproveVersion, ListVersions, ShredVersion, WithdrawVersion
from nomoat.core.operation.views import QueryView
from nomoat.core.operation.writing import Change, CreateRepository, GrantUpload, PlanUpload, UploadBlob, WriteFile

__all__ = [
    "OPERATIONS",
    "ApplyDirectory",
    "ApplyPolicy",
    "ApproveVersion",
    "Change",
    "CreateBranch",
    "CreateRepository",
    "CreateTag",
    "DeleteBranch",
    "DeleteRepository",
    "DeleteTag",
    "DescribeFile",
    "DescribeRepository",
    "DiffVersions",
    "Enroll",
    "EraseContent",
    "ExplainRecord",
    "ExportLog",
    "FindUnused",
    "GrantUpload",
    "InvokeModel",
    "IssueToken",
    "JoinWorkload",
    "ListCommits",
    "ListEndpoints",
    "ListFiles",
    "ListMetrics",
    "ListRepositories",
    "ListSources",
    "ListVersions",
    "LowerLabel",
    "OpT",
    "OpT_co",
    "Operation",
    "PlanUpload",
    "ProveOwnRecord",
    "ProveRecord",
    "QueryView",
    "ReadDifferences",
    "ReadEntries",
    "ReadFile",
    "ReadKeys",
    "ReadLineage",
    "ReadLog",
    "ReadManifest",
    "ReadMetric",
    "ReadPolicy",
    "ReadStatus",
    "RegisterDevice",
    "RegisterSource",
    "RemoveSource",
    "RenewCertificate",
    "ReopenBudget",
    "ReportLoad",
    "ReportLog",
    "Resolved",
    "Revoke",
    "RotateKeys",
    "SealCredential",
    "ShredVersion",
    "SimulatePolicy",
    "Target",
    "TryPolicy",
    "UploadBlob",
    "ValidateCard",
    "Whoami",
    "WithdrawVersion",
    "WriteFile",
]

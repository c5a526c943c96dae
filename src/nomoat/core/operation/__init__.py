"""Operations: one frozen class for each verb, and what a name resolved to."""

from nomoat.core.operation.administration import (
    ApplyDirectory,
    ApplyPolicy,
    Enroll,
    EraseContent,
    ExportLog,
    ReadLog,
    ReportLog,
    Revoke,
)
from nomoat.core.operation.base import OPERATIONS, Operation, OpT, OpT_co, Resolved, Target
from nomoat.core.operation.identity import IssueToken, JoinWorkload, RegisterDevice, RenewCertificate, Whoami
from nomoat.core.operation.reading import DescribeFile, DescribeRepository, ListFiles, ReadFile
from nomoat.core.operation.writing import Change, CreateRepository, GrantUpload, PlanUpload, UploadBlob, WriteFile

__all__ = [
    "OPERATIONS",
    "ApplyDirectory",
    "ApplyPolicy",
    "Change",
    "CreateRepository",
    "DescribeFile",
    "DescribeRepository",
    "Enroll",
    "EraseContent",
    "ExportLog",
    "GrantUpload",
    "IssueToken",
    "JoinWorkload",
    "ListFiles",
    "OpT",
    "OpT_co",
    "Operation",
    "PlanUpload",
    "ReadFile",
    "ReadLog",
    "RegisterDevice",
    "RenewCertificate",
    "ReportLog",
    "Resolved",
    "Revoke",
    "Target",
    "UploadBlob",
    "Whoami",
    "WriteFile",
]

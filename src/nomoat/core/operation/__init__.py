"""Operations: one frozen class for each verb, and what a name resolved to."""

from nomoat.core.operation.administration import ApplyDirectory, ApplyPolicy, Enroll, ReadLog, ReadStatus, Revoke
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
    "ReadStatus",
    "RegisterDevice",
    "RenewCertificate",
    "Resolved",
    "Revoke",
    "Target",
    "UploadBlob",
    "Whoami",
    "WriteFile",
]

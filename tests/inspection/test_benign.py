"""What libraries write is clean, and of the format that it is; what is a false alarm is known as one."""

import io

import onnx
import pyarrow.parquet
import pytest
import safetensors.numpy

from nomoat.core.verdict import Verdict
from nomoat.inspection.inspect import inspect
from tests.inspection.benign import BENIGN, FALSE_ALARMS, PICKLED, STRUCTURED, Benign


def test_there_are_enough() -> None:
    assert len(BENIGN) >= 28


@pytest.mark.parametrize("benign", BENIGN.values(), ids=BENIGN.keys())
def test_what_libraries_write_is_clean(benign: Benign) -> None:
    report = inspect(io.BytesIO(benign.data), len(benign.data))
    assert report.findings == ()
    assert (report.verdict, report.format) == (Verdict.CLEAN, benign.format)


@pytest.mark.parametrize("alarm", FALSE_ALARMS.values(), ids=FALSE_ALARMS.keys())
def test_a_false_alarm_is_as_it_is_told(alarm: Benign) -> None:
    report = inspect(io.BytesIO(alarm.data), len(alarm.data))
    assert (report.verdict, report.format) == (alarm.verdict, alarm.format), report


def test_the_formats_own_libraries_read_them() -> None:
    """So that what is clean here is what it says it is."""
    for benign in STRUCTURED.values():
        if benign.format == "safetensors":
            safetensors.numpy.load(benign.data)
        elif benign.format == "onnx":
            onnx.load_model_from_string(benign.data)
        elif benign.format == "parquet":
            pyarrow.parquet.read_table(io.BytesIO(benign.data))
    assert {"torch-zip", "torch-legacy", "joblib", "pickle"} <= {each.format for each in PICKLED.values()}

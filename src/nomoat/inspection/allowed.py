"""The globals that a pickle may name: which, called with what, and which are known to be dangerous.

Rules: what is not on the list of the allowed is never clean; the list of the dangerous only makes it worse, so that
what it lacks does no harm. Old names of Python 2 count as what `pickle` maps them to.
"""

import _compat_pickle
from enum import Enum
from typing import Final

from nomoat.inspection.content import words


class Kind(Enum):
    """What an allowed global is, and so what its call may be given."""

    PLAIN = "a type or function that takes values"
    SIZED = "a type that makes as much as a number says: it takes no number"
    SUBTYPE = "a function that takes an allowed type first"
    ENCODE = "codecs.encode: its second argument is latin1"
    DATA = "a type or constant that is named and never called"
    ARRAY = "joblib's wrapper: raw data follows where its state is set"


_DTYPES: Final = words(
    """
    bool_ bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64 complex128
    longdouble intc intp uintc uintp byte ubyte short ushort longlong ulonglong str_ bytes_ void object_ datetime64
    timedelta64
    """
)
_STORAGES: Final = words(
    """
    Double Float Half BFloat16 Long Int Short Char Byte Bool ComplexDouble ComplexFloat QInt8 QUInt8 QInt32 QUInt4x2
    QUInt2x4 Untyped Typed
    """
)
_TORCH_DTYPES: Final = words(
    """
    float16 float32 float64 bfloat16 half float double int8 int16 int32 int64 short int long uint8 uint16 uint32
    uint64 bool complex32 complex64 complex128 float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz qint8
    quint8 qint32 strided sparse_coo sparse_csr per_tensor_affine per_channel_affine contiguous_format channels_last
    preserve_format
    """
)
_NUMPY_CORES: Final = ("numpy.core", "numpy._core")

ALLOWED: Final[dict[tuple[str, str], Kind]] = {
    ("builtins", "object"): Kind.DATA,
    **{("builtins", name): Kind.SIZED for name in ("set", "frozenset", "bytearray", "bytes", "list", "tuple", "dict")},
    **{("builtins", name): Kind.PLAIN for name in ("complex", "int", "float", "bool", "str", "slice", "range")},
    ("collections", "OrderedDict"): Kind.PLAIN,
    ("collections", "Counter"): Kind.PLAIN,
    ("collections", "deque"): Kind.PLAIN,
    ("collections", "defaultdict"): Kind.SUBTYPE,
    ("copyreg", "_reconstructor"): Kind.SUBTYPE,
    ("_codecs", "encode"): Kind.ENCODE,
    **{("datetime", name): Kind.PLAIN for name in ("date", "datetime", "time", "timedelta", "timezone")},
    ("decimal", "Decimal"): Kind.PLAIN,
    ("fractions", "Fraction"): Kind.PLAIN,
    ("uuid", "UUID"): Kind.PLAIN,
    ("numpy", "dtype"): Kind.PLAIN,
    ("numpy", "ndarray"): Kind.DATA,
    **{("numpy", name): Kind.DATA for name in _DTYPES},
    **{(f"{core}.multiarray", "_reconstruct"): Kind.SUBTYPE for core in _NUMPY_CORES},
    **{(f"{core}.multiarray", "scalar"): Kind.PLAIN for core in _NUMPY_CORES},
    **{(f"{core}.numeric", "_frombuffer"): Kind.PLAIN for core in _NUMPY_CORES},
    ("joblib.numpy_pickle", "NumpyArrayWrapper"): Kind.ARRAY,
    **{("torch", f"{name}Storage"): Kind.DATA for name in _STORAGES},
    **{("torch.storage", f"{name}Storage"): Kind.DATA for name in _STORAGES},
    **{("torch", name): Kind.DATA for name in _TORCH_DTYPES},
    ("torch", "device"): Kind.PLAIN,
    ("torch", "Size"): Kind.PLAIN,
    ("torch", "Tensor"): Kind.DATA,
    ("torch.nn.parameter", "Parameter"): Kind.DATA,
    **{
        ("torch._utils", f"_rebuild_{name}"): Kind.PLAIN
        for name in ("tensor", "tensor_v2", "tensor_v3", "parameter", "parameter_with_state", "qtensor", "sparse_tensor", "sparse_csr_tensor", "meta_tensor_no_storage")
    },
}  # fmt: skip

# Modules of which nothing may be named, with everything below them.
DANGEROUS_MODULES: Final = words(
    """
    os posix nt ntpath posixpath subprocess _posixsubprocess sys importlib _frozen_importlib imp runpy code codeop
    pty tty socket _socket socketserver ssl ctypes _ctypes cffi multiprocessing _multiprocessing threading _thread
    signal webbrowser commands popen2 platform shutil tempfile glob io _io fileinput pickle _pickle cPickle marshal
    shelve dill cloudpickle pip setuptools pkg_resources distutils ensurepip venv pdb bdb cProfile profile trace
    timeit doctest inspect types functools operator _operator asyncio concurrent urllib urllib2 http httplib ftplib
    smtplib poplib imaplib telnetlib xmlrpc requests aiohttp httpx idlelib lib2to3 test unittest pydoc site
    sitecustomize linecache zipimport pkgutil atexit gc weakref builtin cgi compileall py_compile ast dis symtable
    _testcapi readline rlcompleter cmd sqlite3 mmap resource nturl2path logging tracemalloc faulthandler getpass
    tkinter turtle uuid antigravity this crypt numpy.testing numpy.f2py numpy.distutils numpy.lib numpy.ctypeslib
    numpy.load numpy.compat torch.hub torch.jit torch.utils torch.serialization torch.package torch.distributed
    torch.multiprocessing torch.testing torch._dynamo torch._inductor torch.fx torch.ops torch.classes torch.load
    torch.cuda.memory transformers.dynamic_module_utils transformers.utils scipy._lib pandas.io pandas.eval
    pandas.core.computation joblib._memmapping_reducer joblib.load sklearn.externals keras.utils
    tensorflow.python.platform IPython nose pytest paramiko fabric pexpect sh plumbum psutil win32api win32com
    _winreg winreg msvcrt _winapi
    """
)
_DANGEROUS_BUILTINS: Final = words(
    """
    eval exec execfile compile open __import__ getattr setattr delattr hasattr globals locals vars dir input
    raw_input apply map filter reduce reload file breakpoint exit quit type super property classmethod staticmethod
    memoryview help print iter next sorted min max sum any all zip enumerate callable __build_class__ __loader__
    __spec__ copyright
    """
)


def classify(module: str, name: str) -> tuple[str | None, Kind | None, tuple[str, str]]:
    """Say which rule a global breaks, or, if none, what kind of allowed global it is; and its name of today."""
    today = _name_of_today(module, name)
    if today in ALLOWED:
        return None, ALLOWED[today], today
    if _is_dangerous(module, name) or _is_dangerous(*today):
        return "pickle.dangerous-global", None, today
    if "." in name or name.startswith("__"):
        return "pickle.dotted-name", None, today
    return "pickle.unknown-global", None, today


def _name_of_today(module: str, name: str) -> tuple[str, str]:
    """What `pickle` takes a name of Python 2 for (`fix_imports`)."""
    mapped = _compat_pickle.NAME_MAPPING.get((module, name))
    if mapped is not None:
        return mapped
    return _compat_pickle.IMPORT_MAPPING.get(module, module), name


def _is_dangerous(module: str, name: str) -> bool:
    if module in {"builtins", "__builtin__", "__builtins__"}:
        return name.partition(".")[0] in _DANGEROUS_BUILTINS or name.startswith("__")
    parts = module.split(".")
    within = {".".join(parts[:count]) for count in range(1, len(parts) + 1)}
    return not within.isdisjoint(DANGEROUS_MODULES) or f"{module}.{name}" in DANGEROUS_MODULES

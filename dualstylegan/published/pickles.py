"""Interpreter of pickle streams that builds plain data and executes nothing.

Python's own unpickler calls whatever a stream names. This one walks the opcodes, knows the few that
checkpoints need, and where the stream asks for a call, builds a plain value for the names in
`CALLS` and refuses every other. No name is ever looked up, no object of the stream's choosing made.

Runs inside the restricted reader process; imports the standard library alone.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO

MAX_OPCODES = 5_000_000
# Elements of sequences and dictionaries that calls and states copy: a few opcodes can ask for a
# long one again and again.
MAX_COPIED = 2_000_000
MAX_COPIED_BYTES = 256 << 20
MAX_DIMENSIONS = 16
MAX_TEXT = 4096


class Refused(Exception):
    """A file is malformed, or holds what no checkpoint needs."""


@dataclass(frozen=True)
class Name:
    """Global name `module.attribute` in a stream; never resolved."""

    path: str


@dataclass(eq=False)
class Storage:
    """Array of numbers stored outside the pickle."""

    key: str
    dtype: str
    count: int


@dataclass(eq=False)
class Tensor:
    """Strided view of a storage, in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(eq=False)
class Dtype:
    """numpy type such as `f4`; a BUILD sets its byte order."""

    code: str
    order: str = "="


@dataclass(eq=False)
class Array:
    """numpy array; a BUILD sets its type, shape and content."""

    dtype: Dtype | None = None
    shape: tuple[int, ...] = ()
    fortran: bool = False
    data: Any = None


@dataclass(eq=False)
class Namespace:
    """Fields of an argparse.Namespace."""

    fields: dict[str, Any] = field(default_factory=dict)


class Ordered(dict[Any, Any]):
    """Content of a collections.OrderedDict."""


MARK = object()

STORAGES = {
    "torch.FloatStorage": "F32",
    "torch.DoubleStorage": "F64",
    "torch.HalfStorage": "F16",
    "torch.LongStorage": "I64",
    "torch.IntStorage": "I32",
    "torch.ShortStorage": "I16",
    "torch.CharStorage": "I8",
    "torch.ByteStorage": "U8",
    "torch.BoolStorage": "BOOL",
}
# Names that may stand in a stream as values, without being called.
VALUES = frozenset({*STORAGES, "numpy.ndarray", "builtins.object", "__builtin__.object"})


def require(condition: bool, problem: str) -> None:
    """Refuse the file unless `condition` holds."""
    if not condition:
        raise Refused(problem)


def is_count(value: object) -> bool:
    """Return True for a non-negative plain integer."""
    return type(value) is int and value >= 0


def counts(value: object, what: str) -> tuple[int, ...]:
    """Return `value`, the sides of an array, as a tuple of counts."""
    if not isinstance(value, tuple) or len(value) > MAX_DIMENSIONS:
        raise Refused(f"malformed {what}")
    require(all(map(is_count, value)), f"malformed {what}")
    return value


def _tensor(args: tuple[Any, ...]) -> Tensor:
    require(len(args) >= 4, "malformed tensor")
    storage, offset, shape, strides = args[:4]
    require(isinstance(storage, Storage), "a tensor without a storage")
    require(is_count(offset), "malformed tensor offset")
    tensor = Tensor(storage, offset, counts(shape, "shape"), counts(strides, "strides"))
    require(len(tensor.shape) == len(tensor.strides), "malformed tensor shape")
    return tensor


def _parameter(args: tuple[Any, ...]) -> Tensor:
    require(bool(args) and isinstance(args[0], Tensor), "a parameter without a tensor")
    tensor: Tensor = args[0]
    return tensor


def _ordered(args: tuple[Any, ...]) -> Ordered:
    result = Ordered()
    require(len(args) <= 1, "malformed OrderedDict")
    pairs = args[0] if args else ()
    require(isinstance(pairs, list | tuple), "malformed OrderedDict")
    for pair in pairs:
        require(isinstance(pair, list | tuple) and len(pair) == 2, "malformed OrderedDict")
        result[as_key(pair[0])] = pair[1]
    return result


def _dtype(args: tuple[Any, ...]) -> Dtype:
    require(bool(args) and isinstance(args[0], str) and len(args[0]) <= 4, "malformed numpy type")
    return Dtype(args[0])


def _array(args: tuple[Any, ...]) -> Array:
    require(len(args) == 3 and args[0] == Name("numpy.ndarray"), "malformed numpy array")
    return Array()


def _scalar(args: tuple[Any, ...]) -> Array:
    require(len(args) == 2 and isinstance(args[0], Dtype), "malformed numpy scalar")
    return Array(args[0], (), False, args[1])


def _encode(args: tuple[Any, ...]) -> bytes:
    require(len(args) == 2 and isinstance(args[0], str) and args[1] == "latin1", "malformed bytes")
    try:
        text: str = args[0]
        return text.encode("latin1")
    except UnicodeEncodeError as error:
        raise Refused("malformed bytes") from error


def _namespace(args: tuple[Any, ...]) -> Namespace:
    require(not args, "malformed Namespace")
    return Namespace()


def _reconstructor(args: tuple[Any, ...]) -> Namespace:
    require(len(args) == 3 and args[0] == Name("argparse.Namespace"), "an object of another class")
    return Namespace()


def _size(args: tuple[Any, ...]) -> tuple[int, ...]:
    require(len(args) == 1, "malformed size")
    sides = args[0]
    short = isinstance(sides, list) and len(sides) <= MAX_DIMENSIONS
    return counts(tuple(sides) if short else sides, "size")


CALLS: dict[str, Callable[[tuple[Any, ...]], Any]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.Size": _size,
    "collections.OrderedDict": _ordered,
    "argparse.Namespace": _namespace,
    "copy_reg._reconstructor": _reconstructor,
    "copyreg._reconstructor": _reconstructor,
    "numpy.dtype": _dtype,
    "numpy.core.multiarray._reconstruct": _array,
    "numpy._core.multiarray._reconstruct": _array,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy._core.multiarray.scalar": _scalar,
    "_codecs.encode": _encode,
}


def as_key(key: Any) -> str | int:
    """Check a dictionary key: text or an integer of 64 bits, of which few have one hash."""
    require(type(key) in (str, int), "a dictionary key that is neither text nor a number")
    if type(key) is int:
        require(-(2**63) <= key < 2**63, "a dictionary key of more than 64 bits")
    else:
        require(len(key) <= MAX_TEXT, "an overlong dictionary key")
    return key  # type: ignore[no-any-return]


def build(target: Any, state: Any) -> None:
    """Apply the BUILD opcode to one of the few objects that have a state."""
    if isinstance(target, Namespace):
        require(isinstance(state, dict), "malformed Namespace")
        target.fields.update(state)
    elif isinstance(target, Ordered):
        # Module.state_dict() leaves version numbers here, which no weight depends on.
        require(isinstance(state, dict) and len(state) <= 1, "an altered OrderedDict")
        require(set(state) <= {"_metadata"}, "an altered OrderedDict")
    elif isinstance(target, Dtype):
        require(isinstance(state, tuple) and len(state) >= 3, "malformed numpy type")
        require(state[2] is None and state[1] in ("<", "|", "="), "a structured or foreign type")
        target.order = state[1]
    elif isinstance(target, Array):
        require(isinstance(state, tuple) and len(state) == 5, "malformed numpy array")
        _, shape, dtype, fortran, data = state
        require(isinstance(dtype, Dtype) and type(fortran) is bool, "malformed numpy array")
        target.dtype, target.shape = dtype, counts(shape, "shape")
        target.fortran, target.data = fortran, data
    else:
        raise Refused(f"a state for {type(target).__name__}")


class Machine:
    """Interpreter of one pickle.

    Args:
        stream: stream at the start of the pickle; left at its end.
        find_storage: function from a persistent id to a storage; None refuses such ids.
    """

    def __init__(
        self, stream: BinaryIO, find_storage: Callable[[tuple[Any, ...]], Storage] | None = None
    ) -> None:
        self.stream = stream
        self.find_storage = find_storage
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.copied = 0
        self.copied_bytes = 0

    def run(self) -> Any:
        """Return the value that the stream describes.

        Raises:
            Refused: an opcode, name or structure that checkpoints do not need.
        """
        try:
            for number, (opcode, arg, _) in enumerate(pickletools.genops(self.stream)):
                require(number < MAX_OPCODES, "too many pickle opcodes")
                if opcode.name == "STOP":
                    require(len(self.stack) == 1, "a pickle that leaves more than one value")
                    return self.stack[0]
                self.step(opcode.name, arg)
        except (IndexError, KeyError) as error:
            raise Refused("a pickle that takes what it has not put") from error
        except (ValueError, UnicodeError, EOFError) as error:
            raise Refused(f"not a whole pickle: {str(error)[:200]}") from error
        raise Refused("a pickle without an end")

    def step(self, name: str, arg: Any) -> None:
        """Execute one opcode."""
        stack = self.stack
        if name in CONSTANTS:
            stack.append(CONSTANTS[name])
        elif name in LITERALS:
            stack.append(arg)
        elif name in EMPTY:
            stack.append(EMPTY[name]())
        elif name in IGNORED:
            pass
        elif name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self.memo[len(self.memo) if name == "MEMOIZE" else int(arg)] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self.memo[int(arg)])
        elif name == "GLOBAL":
            stack.append(self.name(*arg.split(" ", 1)))
        elif name == "STACK_GLOBAL":
            attribute, module = stack.pop(), stack.pop()
            stack.append(self.name(module, attribute))
        elif name in ("REDUCE", "NEWOBJ"):
            args, called = stack.pop(), stack.pop()
            stack.append(self.call(called, args))
        elif name == "BUILD":
            state = stack.pop()
            self.spend(state)
            build(stack[-1], state)
        elif name == "BINPERSID":
            stack.append(self.storage(stack.pop()))
        else:
            self.collect(name)

    def collect(self, name: str) -> None:
        """Execute an opcode that makes or fills a tuple, list or dictionary."""
        stack = self.stack
        if name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            count = int(name[-1])
            require(len(stack) >= count, "a pickle that takes what it has not put")
            stack[-count:] = [tuple(stack[-count:])]
        elif name == "TUPLE":
            stack.append(tuple(self.to_mark()))
        elif name == "LIST":
            stack.append(self.to_mark())
        elif name in ("APPEND", "APPENDS"):
            items = self.to_mark() if name == "APPENDS" else [stack.pop()]
            require(type(stack[-1]) is list, "appending to what is no list")
            stack[-1].extend(items)
        elif name in ("SETITEM", "SETITEMS", "DICT"):
            items = [stack.pop(-2), stack.pop()] if name == "SETITEM" else self.to_mark()
            if name == "DICT":
                stack.append({})
            require(isinstance(stack[-1], dict) and len(items) % 2 == 0, "malformed dictionary")
            for key, value in zip(items[::2], items[1::2], strict=True):
                stack[-1][as_key(key)] = value
        else:
            raise Refused(f"the pickle opcode {name}")

    def to_mark(self) -> list[Any]:
        """Pop everything above the last mark, and the mark."""
        items = []
        while (item := self.stack.pop()) is not MARK:
            items.append(item)
        return items[::-1]

    def name(self, module: Any, attribute: Any) -> Name:
        """Return a name that is on the allow-list."""
        path = f"{module}.{attribute}"
        if path not in CALLS and path not in VALUES:
            raise Refused(f"the name {path[:200]!r}")
        return Name(path)

    def call(self, called: Any, args: Any) -> Any:
        """Return the result of calling an allowed name, as plain data."""
        require(isinstance(called, Name) and isinstance(args, tuple), "a call of what is no name")
        if called.path not in CALLS:
            raise Refused(f"a call of {called.path!r}")
        for arg in args[:MAX_DIMENSIONS]:
            self.spend(arg)
        return CALLS[called.path](args)

    def spend(self, value: Any) -> None:
        """Count a value that is copied, against what a whole file may copy."""
        if isinstance(value, str | bytes):
            self.copied_bytes += len(value)
        elif isinstance(value, list | tuple | dict):
            self.copied += len(value)
        require(self.copied <= MAX_COPIED, f"more than {MAX_COPIED} values copied")
        require(self.copied_bytes <= MAX_COPIED_BYTES, f"more than {MAX_COPIED_BYTES} bytes copied")

    def storage(self, key: Any) -> Storage:
        """Return the storage of a persistent id."""
        if self.find_storage is None:
            raise Refused("a reference to something outside the pickle")
        require(isinstance(key, tuple) and len(key) in (5, 6), "malformed storage")
        kind, typename, *_ = key
        require(kind == "storage" and isinstance(typename, Name), "malformed storage")
        require(typename.path in STORAGES, f"a storage of type {typename!r}")
        return self.find_storage(key)


CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "MARK": MARK}
LITERALS = frozenset(
    {
        *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
        *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    }
)
EMPTY: dict[str, Callable[[], Any]] = {
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}
IGNORED = frozenset({"PROTO", "FRAME"})

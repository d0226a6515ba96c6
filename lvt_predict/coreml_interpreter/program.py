"""Run a saved Core ML program where there is no Core ML: operator by operator, in numpy.

Core ML itself is a part of Apple's systems. Elsewhere `read_program` takes the program and its weights from
the package as they are written, and `Program` runs it. That tells what the file says, not what a device
makes of it: sums have another order there, and operators may be merged.

An operator computes in float32. What the program calls float16 is rounded to float16 whenever a value is
stored, that is, behind every operator; how exact a device is within one is Apple's own.
"""

from __future__ import annotations

import json
import logging
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lvt_predict.coreml_interpreter.operators import CONSTANTS, OPERATORS
from lvt_predict.errors import UserError

FUNCTION = "main"
ROOT = "@model_path"  # in names of weight files: where the program lies
NUMPY = {
    "BOOL": np.bool_,
    "FLOAT16": np.float16,
    "FLOAT32": np.float32,
    "INT8": np.int8,
    "INT32": np.int32,
    "STRING": np.str_,
    "UINT8": np.uint8,
}
# Before each weight: a mark, its type, its bytes and where they begin.
BLOB = struct.Struct("<IIQQ")
MARK = 0xDEADBEEF
NOISY = ("coremltools", "torch.utils._pytree")


@dataclass(frozen=True)
class Value:
    """What a value is declared as."""

    name: str
    shape: tuple[int, ...]
    dtype: type[np.generic]


@dataclass(frozen=True)
class Operation:
    """One operator of a program.

    Attributes:
        type: Its name in Core ML's language.
        inputs: Names of values, by parameter; several where it takes a list.
        outputs: What it makes.
        unused: Values that nothing behind it reads.
    """

    type: str
    inputs: Mapping[str, Sequence[str]]
    outputs: Sequence[Value]
    unused: Sequence[str] = ()


class Program:
    """A program, ready to run.

    Args:
        file: The package, for messages.
        image: Name of its input.
        outputs: Names of its outputs.
        constants: Weights and numbers, by name.
        operations: In an order in which they can be run.

    Raises:
        UserError: It has an operator that is not known here.
    """

    def __init__(
        self,
        file: Path,
        image: str,
        outputs: Sequence[str],
        constants: Mapping[str, Any],
        operations: Sequence[Operation],
    ) -> None:
        for operation in operations:
            if operation.type not in OPERATORS:
                raise UserError(f"{file}: operator {operation.type!r}: the interpreter has none of that name")
        self.file, self.image, self.outputs, self.constants = file, image, outputs, constants
        self.operations = _with_unused(operations, {*outputs, *constants})

    def __call__(self, images: np.ndarray) -> list[np.ndarray]:
        """Images to the outputs, in the program's order.

        Raises:
            UserError: An operator gives a shape that the program does not say.
        """
        values = {**self.constants, self.image: images}
        for operation in self.operations:
            inputs = {key: _pick(values, key, names) for key, names in operation.inputs.items()}
            with np.errstate(over="ignore"):  # infinities are what a device has, too
                found = OPERATORS[operation.type](**inputs)
            results = found if isinstance(found, list) else [found]
            for value, result in zip(operation.outputs, results, strict=True):
                if result.shape != value.shape:
                    raise UserError(
                        f"{self.file}: {operation.type} {value.name!r} gives {result.shape}, "
                        f"the program says {value.shape}"
                    )
                values[value.name] = _stored(result, value.dtype)
            for name in operation.unused:
                del values[name]
        return [np.ascontiguousarray(values[name]) for name in self.outputs]


def read_program(package: Path) -> Program:
    """The program of an ``.mlpackage``.

    Raises:
        UserError: A file of it cannot be read, or has something that is not known here.
    """
    file, program = read_content(package)
    function = program.functions[FUNCTION]
    block = function.block_specializations[function.opset]
    weights = _Weights(file.parent)
    constants, operations = {}, []
    for operation in block.operations:
        outputs = [_declared(package, output.name, output.type) for output in operation.outputs]
        if operation.type in CONSTANTS:
            attributes = {
                key: weights.value(_declared(file, key, value.type), value)
                for key, value in operation.attributes.items()
                if key != "name"
            }
            constants[outputs[0].name] = _stored(CONSTANTS[operation.type](**attributes), outputs[0].dtype)
        else:
            names = {key: [each.name for each in value.arguments] for key, value in operation.inputs.items()}
            operations.append(Operation(operation.type, names, outputs))
    (image,) = (value.name for value in function.inputs)
    return Program(package, image, list(block.outputs), constants, operations)


def read_content(package: Path) -> tuple[Path, Any]:
    """The file in a package that has its program, and the program, as Core ML's protocol buffer.

    Raises:
        UserError: One of the package's files cannot be read.
    """
    with quiet():
        from coremltools.proto import Model_pb2

    content = package / "Manifest.json"
    try:
        manifest = json.loads(_read(content))
        file = package / "Data" / manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]["path"]
    except UserError:
        raise
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{content}: names no program: it is broken") from error
    model = Model_pb2.Model()
    model.ParseFromString(_read(file))
    if not model.mlProgram.functions:
        raise UserError(f"{file}: has no program")
    return file, model.mlProgram


@contextmanager
def quiet() -> Iterator[None]:
    """coremltools tells at import what else is not installed, or is newer than it: not here."""
    loggers = [logging.getLogger(name) for name in NOISY]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class _Weights:
    """Values of constants: written in the program, or in files beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._contents: dict[str, bytes] = {}

    def value(self, declared: Value, value: Any) -> Any:
        """A constant as an array, text as a string."""
        if value.WhichOneof("value") == "blobFileValue":
            found = self._blob(value.blobFileValue.fileName, value.blobFileValue.offset, declared)
        else:
            tensor = value.immediateValue.tensor
            kind = tensor.WhichOneof("value")
            content = getattr(tensor, kind).values
            if kind == "strings":
                return content[0]
            if kind == "bytes":
                found = np.frombuffer(content, declared.dtype)
            else:
                found = np.array(content, declared.dtype)
        return found.reshape(declared.shape)

    def _blob(self, name: str, offset: int, declared: Value) -> np.ndarray:
        file = self.folder / name.removeprefix(f"{ROOT}/")
        if name not in self._contents:
            self._contents[name] = _read(file)
        content = self._contents[name]
        mark, size, start = 0, 0, 0
        if offset + BLOB.size <= len(content):
            mark, _, size, start = BLOB.unpack_from(content, offset)
        expected = int(np.prod(declared.shape)) * np.dtype(declared.dtype).itemsize
        if mark != MARK or size != expected or start + size > len(content):
            raise UserError(f"{file}: has no weight of {expected} bytes at {offset}: it is broken")
        return np.frombuffer(content, declared.dtype, offset=start, count=int(np.prod(declared.shape)))


def _declared(file: Path, name: str, kind: Any) -> Value:
    from coremltools.proto import MIL_pb2

    dtype = MIL_pb2.DataType.Name(kind.tensorType.dataType)
    if dtype not in NUMPY:
        raise UserError(f"{file}: {name!r} is {dtype}: the interpreter has {', '.join(NUMPY)}")
    shape = tuple(each.constant.size for each in kind.tensorType.dimensions)
    return Value(name, shape, NUMPY[dtype])


def _stored(value: Any, dtype: type[np.generic]) -> Any:
    """A value as its type holds it; float16 as float32 of the same value, which is what is computed in."""
    if isinstance(value, str):
        return value
    with np.errstate(over="ignore"):  # becomes infinite, as on a device
        stored = np.asarray(value).astype(dtype, copy=False)
    return stored.astype(np.float32) if dtype is np.float16 else stored


def _pick(values: Mapping[str, Any], key: str, names: Sequence[str]) -> Any:
    found = [values[name] for name in names]
    return found if key == "values" else found[0]  # `concat` alone takes several


def _with_unused(operations: Sequence[Operation], keep: set[str]) -> list[Operation]:
    """Operations that tell what may be forgotten behind them."""
    seen = set(keep)
    found = []
    for operation in reversed(operations):
        names = {name for several in operation.inputs.values() for name in several}
        names |= {value.name for value in operation.outputs}
        found.append(replace(operation, unused=sorted(names - seen)))
        seen |= names
    return found[::-1]


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror or error}") from error

"""Run a saved Core ML program in numpy, operator by operator, on systems without Core ML.

Core ML is a part of Apple's systems. Elsewhere `read_program` reads the program and its weights from the
package, and `Program` runs it. This checks the file, not the device, which adds in another order and may
merge operators.

An operator computes in float32. A value that the program declares as float16 is rounded to float16 after
each operator; the precision inside of an operator is the device's own choice.
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
ROOT = "@model_path"  # the program's folder, in names of weight files
NUMPY = {
    "BOOL": np.bool_,
    "FLOAT16": np.float16,
    "FLOAT32": np.float32,
    "INT8": np.int8,
    "INT32": np.int32,
    "STRING": np.str_,
    "UINT8": np.uint8,
}
# Before each weight: a mark, its type, its size in bytes and the place of its data.
BLOB = struct.Struct("<IIQQ")
MARK = 0xDEADBEEF
NOISY = ("coremltools", "torch.utils._pytree")


@dataclass(frozen=True)
class Value:
    """The declared name, shape and type of a value."""

    name: str
    shape: tuple[int, ...]
    dtype: type[np.generic]


@dataclass(frozen=True)
class Operation:
    """One operator of a program.

    Attributes:
        type: Name in Core ML's language.
        inputs: Names of values, by parameter; several for a list.
        outputs: Values that the operator makes.
        unused: Values that no later operator reads.
    """

    type: str
    inputs: Mapping[str, Sequence[str]]
    outputs: Sequence[Value]
    unused: Sequence[str] = ()


class Program:
    """A program that can be run.

    Args:
        file: The package, for messages.
        image: Name of the input.
        outputs: Names of the outputs.
        constants: Weights and numbers, by name.
        operations: Operators, in an order in which they can be run.

    Raises:
        UserError: The program has an unknown operator.
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
                raise UserError(f"{file}: operator {operation.type!r}: the interpreter does not support it")
        self.file, self.image, self.outputs, self.constants = file, image, outputs, constants
        self.operations = _with_unused(operations, {*outputs, *constants})

    def __call__(self, images: np.ndarray) -> list[np.ndarray]:
        """Run the program on images and return its outputs in order.

        Raises:
            UserError: The result of an operator does not have the declared shape.
        """
        values = {**self.constants, self.image: images}
        for operation in self.operations:
            inputs = {key: _pick(values, key, names) for key, names in operation.inputs.items()}
            with np.errstate(over="ignore"):  # a device overflows to infinity, too
                result = OPERATORS[operation.type](**inputs)
            results = result if isinstance(result, list) else [result]
            for value, result in zip(operation.outputs, results, strict=True):
                if result.shape != value.shape:
                    raise UserError(
                        f"{self.file}: {operation.type} {value.name!r} gives {result.shape}, "
                        f"the program declares {value.shape}"
                    )
                values[value.name] = _stored(result, value.dtype)
            for name in operation.unused:
                del values[name]
        return [np.ascontiguousarray(values[name]) for name in self.outputs]


def read_program(package: Path) -> Program:
    """Read the program of an ``.mlpackage``.

    Raises:
        UserError: A file of the package cannot be read, or has an unknown operator or type.
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
    """Read a package's program file; return the file and the program as Core ML's protocol buffer.

    Raises:
        UserError: A file of the package cannot be read.
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
        raise UserError(f"{content}: names no program; the package is broken") from error
    model = Model_pb2.Model()
    model.ParseFromString(_read(file))
    if not model.mlProgram.functions:
        raise UserError(f"{file}: has no program")
    return file, model.mlProgram


@contextmanager
def quiet() -> Iterator[None]:
    """Silence coremltools, which at import logs what is not installed or newer than expected."""
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
    """The values of constants, stored in the program or in files beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._contents: dict[str, bytes] = {}

    def value(self, declared: Value, value: Any) -> Any:
        """Return a constant as an array, text as a string."""
        if value.WhichOneof("value") == "blobFileValue":
            array = self._blob(value.blobFileValue.fileName, value.blobFileValue.offset, declared)
        else:
            tensor = value.immediateValue.tensor
            kind = tensor.WhichOneof("value")
            content = getattr(tensor, kind).values
            if kind == "strings":
                return content[0]
            if kind == "bytes":
                array = np.frombuffer(content, declared.dtype)
            else:
                array = np.array(content, declared.dtype)
        return array.reshape(declared.shape)

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
            raise UserError(f"{file}: has no weight of {expected} bytes at {offset}; the file is broken")
        return np.frombuffer(content, declared.dtype, offset=start, count=int(np.prod(declared.shape)))


def _declared(file: Path, name: str, kind: Any) -> Value:
    from coremltools.proto import MIL_pb2

    dtype = MIL_pb2.DataType.Name(kind.tensorType.dataType)
    if dtype not in NUMPY:
        raise UserError(f"{file}: {name!r} is {dtype}: the interpreter supports {', '.join(NUMPY)}")
    shape = tuple(each.constant.size for each in kind.tensorType.dimensions)
    return Value(name, shape, NUMPY[dtype])


def _stored(value: Any, dtype: type[np.generic]) -> Any:
    """Round a value to its declared type; keep float16 values in float32, in which operators compute."""
    if isinstance(value, str):
        return value
    with np.errstate(over="ignore"):  # overflows to infinity, as on a device
        stored = np.asarray(value).astype(dtype, copy=False)
    return stored.astype(np.float32) if dtype is np.float16 else stored


def _pick(values: Mapping[str, Any], key: str, names: Sequence[str]) -> Any:
    picked = [values[name] for name in names]
    return picked if key == "values" else picked[0]  # only `concat` takes a list


def _with_unused(operations: Sequence[Operation], keep: set[str]) -> list[Operation]:
    """Add to each operation the values that no later one reads, so that they can be freed."""
    seen = set(keep)
    marked = []
    for operation in reversed(operations):
        names = {name for several in operation.inputs.values() for name in several}
        names |= {value.name for value in operation.outputs}
        marked.append(replace(operation, unused=sorted(names - seen)))
        seen |= names
    return marked[::-1]


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror or error}") from error

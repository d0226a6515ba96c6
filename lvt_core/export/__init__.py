"""Export to runtimes: one common path, one module per runtime, one gate for all."""

from lvt_core.export.gate.choose import choose_gate
from lvt_core.export.gate.parity import Parity
from lvt_core.export.gate.scores import Scores
from lvt_core.export.job import BFLOAT16, PRECISIONS, Export, Job, Runtime
from lvt_core.export.runtimes.table import RUNTIMES
from lvt_core.export.write import delegates_of, export_model

__all__ = [
    "BFLOAT16",
    "PRECISIONS",
    "RUNTIMES",
    "Export",
    "Job",
    "Parity",
    "Runtime",
    "Scores",
    "choose_gate",
    "delegates_of",
    "export_model",
]

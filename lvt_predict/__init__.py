"""Run exported LVT networks with numpy and one runtime; PyTorch is not needed."""

import os

# ONNX Runtime reads this when it is imported: without it, each use is reported to a server.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from lvt_predict.errors import UserError
from lvt_predict.model import ExportedModel, load

__all__ = ["ExportedModel", "UserError", "load"]
__version__ = "0.2.0.dev0"

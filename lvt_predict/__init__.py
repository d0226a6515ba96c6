"""Run exported LVT networks with numpy and one runtime; PyTorch is not needed."""

from lvt_predict.errors import UserError
from lvt_predict.model import ExportedModel, load

__all__ = ["ExportedModel", "UserError", "load"]
__version__ = "0.1.0"

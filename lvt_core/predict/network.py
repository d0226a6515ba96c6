"""PyTorch modules as functions from arrays to arrays, the form that `lvt_predict`'s predictors take."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from lvt_core.errors import UserError

AUTO = "auto"


class TorchNetwork:
    """A module that takes and gives arrays.

    Args:
        module: Module from a tensor to a tensor, or a list or tuple of them.
        device: Device that it runs on.
        amp: Compute in bfloat16 where that is safe.
    """

    def __init__(self, module: nn.Module, *, device: torch.device, amp: bool) -> None:
        self.module, self.device, self.amp = module.eval().to(device), device, amp

    def __call__(self, images: np.ndarray) -> Sequence[np.ndarray]:
        """Run the module on an array; return its outputs in float32.

        Raises:
            UserError: The module does not support the images, or the device has no memory for them.
        """
        try:
            with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.amp):
                outputs = self.module(torch.from_numpy(images).to(self.device))
        except ValueError as error:
            raise UserError(str(error)) from error
        except torch.OutOfMemoryError as error:
            raise UserError(
                f"--device {self.device}: has no memory for {len(images)} images of {images.shape[2]} x "
                f"{images.shape[3]}; choose a smaller --batch-size or --size"
            ) from error
        several = [outputs] if isinstance(outputs, Tensor) else list(outputs)
        return [value.float().cpu().numpy() for value in several]


def choose_device(name: str = AUTO) -> torch.device:
    """Return a device by its name; ``auto`` takes a GPU if there is one.

    Raises:
        UserError: The name is unknown, or the device does not exist here.
    """
    if name == AUTO:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:  # PyTorch asserts that it was built for a device
        raise UserError(f"--device {name}: is unavailable here; choose cpu or auto") from error
    return device

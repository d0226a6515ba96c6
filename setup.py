"""The package `lvt_core`; `constraints.txt` has the pinned versions, this file what is compatible."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "lvt_core/__init__.py").read_text())[1]

TRAIN = ["pyyaml>=6", "tqdm>=4.60", "matplotlib>=3.8", "pillow>=10", "numpy>=1.26"]
DENSE = [
    "onedl-mmengine>=0.10.12",
    "onedl-mmcv>=2.3.6",
    "onedl-mmsegmentation>=1.4.2",
    "onedl-mmdetection>=3.5.1",
]
ONNX = ["onnx>=1.18", "onnxscript>=0.5", "onnxruntime>=1.20"]
OPENVINO = ONNX + ["openvino>=2025.1", "nncf>=3.2"]
LITERT = ["litert-torch>=0.10", "ai-edge-quantizer>=0.10", "ai-edge-litert>=2.3"]
EXECUTORCH = ["executorch>=1.5", "torchao>=0.18"]
COREML = ["coremltools>=9"]
EXPORT = OPENVINO + LITERT + EXECUTORCH + COREML
DEMO = ["scikit-learn>=1.4"]
LOGGERS = ["tensorboard>=2.16"]
STREAM = ["webdataset>=0.2.100"]
CPP = ["cmake>=3.19", "nlohmann-json>=3.11"]
DEV = ["pytest>=8", "pytest-timeout>=2.3", "pytest-xdist>=3.6", "ruff==0.17.6", "mypy>=1.10", "pylint>=3"]

setup(
    name="lvt-core",
    version=VERSION,
    description="LVT, the Lite Vision Transformer with enhanced self-attention (CVPR 2022)",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE", "NOTICE"],
    python_requires=">=3.10",
    packages=find_packages(include=["lvt_core", "lvt_core.*"]),
    package_data={"lvt_core.export": ["recipes/*.json"]},
    install_requires=["torch>=2.11", "torchvision>=0.26", "timm>=1.0.26", "safetensors>=0.4"],
    extras_require={
        "train": TRAIN,
        "dense": TRAIN + DENSE,
        "demo": TRAIN + DENSE + DEMO,
        "loggers": LOGGERS,
        "stream": TRAIN + STREAM,
        "onnx": ONNX,
        "openvino": OPENVINO,
        "litert": LITERT,
        "executorch": EXECUTORCH,
        "coreml": COREML,
        "export": EXPORT,
        "dev": TRAIN + DENSE + DEMO + LOGGERS + STREAM + EXPORT + CPP + DEV,
    },
    entry_points={"console_scripts": ["lvt=lvt_core.cli:command"]},
)

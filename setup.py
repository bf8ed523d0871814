"""What pyproject.toml cannot say of the wheel: its folders, which are found, and what it needs, read from the file."""

import re
from pathlib import Path

from setuptools import find_packages, setup

APP = ("streamlit", "streamlit-plotly-events", "cachetools")
"""What only the app needs."""

folders = find_packages(include=["core", "core.*"])
lines = Path(__file__).with_name("requirements.txt").read_text(encoding="utf-8").splitlines()
needed = [line.partition("#")[0].strip() for line in lines]
app = [package for package in needed if re.split("[<>=]", package)[0] in APP]
setup(
    packages=["whypixel.weights", *(folder.replace("core", "whypixel", 1) for folder in folders)],
    install_requires=[package for package in needed if package not in app],
    extras_require={
        "app": app,
        "nnunet": ["dynamic-network-architectures>=0.4.2"],
        "onnx": ["onnx>=1.23", "onnx2torch>=1.5.15", "onnxruntime>=1.31"],
        "transformers": ["transformers>=5.23"],
    },
)

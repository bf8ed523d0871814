"""What pyproject.toml cannot say of the wheel: its folders, which are found, and what it needs, read from the file."""

from pathlib import Path

from setuptools import find_packages, setup

folders = find_packages(include=["core", "core.*"])
lines = Path(__file__).with_name("requirements.txt").read_text(encoding="utf-8").splitlines()
needed = [line.partition("#")[0].strip() for line in lines]
app = [package for package in needed if package.startswith("streamlit")]
setup(
    packages=["whypixel.weights", *(folder.replace("core", "whypixel", 1) for folder in folders)],
    install_requires=[package for package in needed if package not in app],
    extras_require={"app": app},
)

"""The package folders of the wheel, found rather than listed; all else stands in pyproject.toml."""

from setuptools import find_packages, setup

folders = find_packages(include=["core", "core.*"])
setup(packages=["whypixel.weights", *(folder.replace("core", "whypixel", 1) for folder in folders)])

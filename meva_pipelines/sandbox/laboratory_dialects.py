"""The dialects in which the made-up laboratory writes its files. Equal trials give equal bytes.

What each looks like is declared where its kin are: `laboratory_delimited`, `laboratory_loggers`, `laboratory_zwick`,
`laboratory_uploads`.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from meva_pipelines.sandbox import laboratory_delimited as delimited
from meva_pipelines.sandbox import laboratory_loggers as loggers
from meva_pipelines.sandbox import laboratory_uploads as uploads
from meva_pipelines.sandbox import laboratory_zwick as zwick
from meva_pipelines.sandbox.laboratory_forms import Form


class Dialect(StrEnum):
    """A way of writing tests down."""

    PMD = "PMD key-value table"
    LOGGER = "Instron/HBM logger"
    PARENTHESES = "CSV with units in parentheses"
    BRACKETS = "CSV with units in brackets"
    KOREAN = "CSV in Korean"
    ZWICK_TEXT = "testXpert text, German"
    TRA_FRENCH = "testXpert .TRA, French"
    TRA_ENGLISH = "testXpert .TRA, English"
    WORKBOOK_ENGLISH = "testXpert workbook, English"
    WORKBOOK_FRENCH = "testXpert workbook, French"
    BLUEHILL = "Bluehill, thousands in quotes"
    BLUEHILL_UTF16 = "Bluehill, UTF-16 and decimal comma"
    SHIMADZU = "Trapezium, side by side"
    MTS_793 = "MTS 793"
    MTS_TESTSUITE = "MTS TestSuite"
    WALTER_BAI = "Walter+Bai"
    CATMAN = "catman"
    UPLOAD_JSON = "upload in JSON"
    UPLOAD_CSV = "upload in CSV"


FORMS: Final[Mapping[Dialect, Form]] = MappingProxyType(
    {
        Dialect.PMD: delimited.PMD,
        Dialect.LOGGER: loggers.LOGGER,
        Dialect.PARENTHESES: delimited.PARENTHESES,
        Dialect.BRACKETS: delimited.BRACKETS,
        Dialect.KOREAN: delimited.KOREAN,
        Dialect.ZWICK_TEXT: zwick.GERMAN_TEXT,
        Dialect.TRA_FRENCH: zwick.TRA_FRENCH,
        Dialect.TRA_ENGLISH: zwick.TRA_ENGLISH,
        Dialect.WORKBOOK_ENGLISH: zwick.WORKBOOK_ENGLISH,
        Dialect.WORKBOOK_FRENCH: zwick.WORKBOOK_FRENCH,
        Dialect.BLUEHILL: delimited.BLUEHILL,
        Dialect.BLUEHILL_UTF16: delimited.BLUEHILL_UTF16,
        Dialect.SHIMADZU: uploads.SIDE_BY_SIDE,
        Dialect.MTS_793: loggers.MTS_793,
        Dialect.MTS_TESTSUITE: loggers.MTS_TESTSUITE,
        Dialect.WALTER_BAI: loggers.WALTER_BAI,
        Dialect.CATMAN: loggers.CATMAN,
        Dialect.UPLOAD_JSON: uploads.JSON_UPLOAD,
        Dialect.UPLOAD_CSV: uploads.CSV_UPLOAD,
    }
)
"""How each dialect is written."""

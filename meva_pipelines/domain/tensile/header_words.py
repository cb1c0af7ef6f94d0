"""The words of headers: a dictionary of keys, of shapes and of what names a specimen, in five languages.

Values, units and what follows from them belong to `headers`.
"""

import re
from collections.abc import Mapping

from meva_pipelines.domain.tensile import quantities
from meva_pipelines.domain.tensile.recording import Shape

KEYS: Mapping[str, str] = {
    "material": """material, materials, material designation, werkstoff, matériau, matière, material name,
        재질, 재료, 소재, 材料, 材质""",
    "condition": """condition, heat treatment, heat treatment batch, wärmebehandlung, zustand, état, 열처리,
        状态, 热处理""",
    "shape": """shape, specimen type, specimen shape, geometry, probenform, probentyp, probengeometrie, forme,
        forme éprouvette, type d'éprouvette, 시편형상, 시편 형상, 형상, 试样形状""",
    "diameter_mm": """diameter, diameter mm, d0, gauge diameter, gage diameter, specimen diameter, durchmesser,
        probendurchmesser, diamètre, diamètre éprouvette, 직경, 시편 직경, 시험편 직경, 지름, 直径""",
    "thickness_mm": """thickness, a0, specimen thickness, dicke, probendicke, probendicke a0, wall thickness,
        wandstärke, épaisseur, épaisseur éprouvette, 두께, 시편 두께, 시험편 두께, 厚度""",
    "width_mm": """width, b0, specimen width, breite, probenbreite, probenbreite b0, largeur,
        largeur éprouvette, 폭, 시편 폭, 시험편 폭, 너비, 宽度""",
    "area_mm2": """area, s0, cross section, cross sectional area, crosssection, original cross section,
        original cross sectional area, specimen area, querschnitt, probenquerschnitt, querschnittsfläche,
        anfangsquerschnitt, section, section initiale, section éprouvette, 단면적, 面积, 截面积, 横截面积,
        原始横截面积""",
    "gauge_length_mm": """gauge length, gage length, l0, lo, original gauge length, initial gauge length,
        gage length standard travel, gauge length standard travel, l0 sw, l0 standard travel,
        l0 course standard, l0 standardweg, messlänge, anfangsmesslänge, messlänge standardweg, messlänge l0,
        longueur initiale, longueur de référence, longueur de jauge, extensometer gauge length, 표점거리,
        표점 거리, 标距, 原始标距""",
    "parallel_length_mm": """parallel length, lc, versuchslänge, parallele länge, longueur calibrée,
        reduced section length, 평행부 길이, 평행부길이, 平行长度""",
    "final_gauge_length_mm": """final gauge length, lu, gauge length after fracture, final gage length,
        messlänge nach bruch, longueur ultime, 断后标距""",
    "final_area_mm2": """su, cross section after fracture, area after fracture, final area,
        final cross section, minimum cross section after fracture, bruchquerschnitt, querschnitt nach bruch,
        section ultime, 断后截面积""",
    "machine": """machine, machine type, machine name, machine data, testing machine, test machine, frame,
        prüfmaschine, maschine, maschinendaten, machine d'essai, 시험기, 试验机""",
    "extensometer": """extensometer, extensometer type, capteur de course, wegaufnehmer, dehnungsaufnehmer,
        extensomètre, 신율계, 引伸计""",
    "operator": """operator, operator name, tester, tested by, user, prüfer, bediener, opérateur, 시험자,
        작업자, 操作员, 试验员""",
    "temperature_c": """temperature, test temperature, testing temperature, temperatur, prüftemperatur,
        température, température d'essai, 온도, 시험온도, 시험 온도, 温度, 试验温度""",
    "started_at": """date, test date, date time, date clock time, date heure, datum, datum uhrzeit, prüfdatum,
        start time, start date, started, started at, test start, date of test, test run date, date d'essai,
        시험일, 시험일자, 시험일시, 날짜, 일자, 日期, 试验日期""",
    "revised_at": """revised at, revised""",
    "remarks": """remarks, remark, comment, comments, note, notes, bemerkung, bemerkungen, remarque,
        commentaire, 비고, 备注""",
}
"""Keys by the field of `Specimen` they give, comma separated, in English, German, French, Korean and Chinese."""

SHAPES: Mapping[Shape, tuple[str, ...]] = {
    Shape.TUBE: ("tube", "pipe", "rohr", "관", "管"),
    Shape.ROUND: ("round", "rund", "circular", "cylind", "zylind", "rond", "환봉", "원형", "봉", "圆"),
    Shape.RECTANGULAR: ("rectang", "flat", "flach", "plat", "sheet", "strip", "판", "사각", "矩形", "板"),
}
"""Parts of words that tell the shape; a tube may also be round, and is asked for first."""

_SYMBOLS = frozenset({"a0", "b0", "d0", "l0", "lc", "lu", "s0", "su"})
"""Symbols of ISO 6892-1, which decide wherever they stand: `Probendurchmesser d0`."""
_LONGEST = 200
_SPECIMEN = re.compile(
    r"\b(?:specimen|sample|probe|eprouvette)\b.*\b(?:name|label|id|no|number|nr)\b"
    r"|\bprobe(?:n bezeichnung|nbezeichnung|nname|n nr)?$|시편|시험편|试样"
)


def field_of(name: str) -> str | None:
    """Return the field of `Specimen` that a key or the heading of a column names, by its words or its symbol."""
    words = " ".join(quantities.plain(name[:_LONGEST]).replace("_", " ").replace("-", " ").replace("/", " ").split())
    parts = "".join(" " if mark in ",.:;°" else mark for mark in words).split()
    symbol = next((part for part in parts if part in _SYMBOLS), "")
    return _FIELDS.get(" ".join(parts)) or _FIELDS.get(symbol)


def _dictionary() -> dict[str, str]:
    found: dict[str, str] = {}
    for name, keys in KEYS.items():
        found |= {" ".join(quantities.plain(key).split()): name for key in keys.split(",")}
    return found


_FIELDS = _dictionary()


def names_specimen(key: str) -> bool:
    """Tell whether a key of a header names the specimen."""
    return _SPECIMEN.search(quantities.plain(key[:_LONGEST])) is not None

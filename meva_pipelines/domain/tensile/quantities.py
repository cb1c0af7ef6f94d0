"""What the name of a column says: a dictionary in English, German, French, Korean and Chinese.

Names only; units, values and the choice between two columns of one kind belong to `columns`. A channel that was
commanded or calculated (a set value, a rate, a true strain) is told apart from one that was measured.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from meva_pipelines.domain.tensile import units
from meva_pipelines.domain.tensile.units import Dimension


class Kind(StrEnum):
    """What a name stands for. Displacements are told apart as far as a name can."""

    TIME = "time"
    FORCE = "force"
    STRAIN = "strain"
    STRESS = "stress"
    GAUGE = "displacement of an extensometer"
    TRAVEL = "standard travel"  # testXpert: of the extensometer where one is set, of the crosshead otherwise
    DISPLACEMENT = "displacement"  # says not whose
    CROSSHEAD = "travel of the crosshead"
    POSITION = "position of the crosshead"  # not from zero
    NOT_MEASURED = "not measured"  # commanded, calculated or across the specimen


DIMENSIONS: Mapping[Kind, frozenset[Dimension]] = {
    Kind.TIME: frozenset({Dimension.TIME}),
    Kind.FORCE: frozenset({Dimension.FORCE}),
    Kind.STRAIN: frozenset({Dimension.RATIO, Dimension.LENGTH}),
    Kind.STRESS: frozenset({Dimension.STRESS}),
    Kind.GAUGE: frozenset({Dimension.LENGTH, Dimension.RATIO}),
    Kind.TRAVEL: frozenset({Dimension.LENGTH}),
    Kind.DISPLACEMENT: frozenset({Dimension.LENGTH, Dimension.RATIO}),
    Kind.CROSSHEAD: frozenset({Dimension.LENGTH}),
    Kind.POSITION: frozenset({Dimension.LENGTH}),
}
"""What a column of a kind can be measured in. A strain in mm is an elongation, an elongation in % is a strain."""

_NAMES: Mapping[Kind, str] = {
    Kind.TIME: """time, test time, elapsed time, run time, running time, elapsed, zeit, prüfzeit, laufzeit,
        versuchszeit, temps, temps d'essai, temps essai, tiempo, tempo, 시간, 경과시간, 시험시간, 时间, 時間,
        试验时间""",
    Kind.FORCE: """force, load, standard force, force standard, axial force, tensile force, axial load,
        tensile load, load cell, kraft, istkraft, standardkraft, prüfkraft, zugkraft, last, charge, effort,
        fuerza, forza, 하중, 시험하중, 인장하중, 힘, 시험력, 荷重, 试验力, 力, 标准力, 负荷, 载荷, 力值""",
    Kind.STRAIN: """strain, engineering strain, eng strain, tensile strain, axial strain, nominal strain,
        dehnung, technische dehnung, nominelle dehnung, stauchung, epsilon, 변형률, 변형율, 연신율, 应变, 應變""",
    Kind.STRESS: """stress, engineering stress, eng stress, tensile stress, standard stress, nominal stress,
        spannung, zugspannung, technische spannung, contrainte, sigma, 응력, 인장응력, 应力, 應力""",
    Kind.GAUGE: """extensometer, clip gauge, clip gage, clip on, clip, gauge extension, gauge displacement,
        extensometer displacement, extensometer extension, video extensometer, extensomètre, dehnungsaufnehmer,
        feindehnung, feindehnungsaufnehmer, längenänderung, messlängenänderung, verlängerung, elongation,
        allongement, deform, deformation, 신율계, 신장계, 연신계, 신장량, 연신량, 변형량, 变形, 變形, 引伸计,
        伸长, 伸长量, 延伸""",
    Kind.TRAVEL: """standard travel, standardweg, course standard, standard path, standard displacement,
        标准位移""",
    Kind.DISPLACEMENT: """displacement, disp, extension, travel, weg, verschiebung, verformung, déplacement,
        course, change in length, desplazamiento, spostamento, 변위, 位移""",
    Kind.CROSSHEAD: """crosshead, cross head, crosshead travel, crosshead displacement, crosshead extension,
        traverse, traversenweg, traversenverschiebung, maschine, maschinenweg, machine, machine displacement,
        machine extension, stroke, hub, kolbenweg, kolbenhub, kolben, actuator, actuator displacement, ram,
        ram displacement, course traverse, déplacement traverse, lvdt, 크로스헤드, 크로스헤드변위, 스트로크,
        행정, 이동거리, 横梁, 横梁位移, 行程, 活塞""",
    Kind.POSITION: """position, crosshead position, crosshead absolute, absolute crosshead, traverse absolue,
        traverse abs, traversenweg absolut, traverse absolut, grip to grip separation, grip separation,
        tool separation, écartement entre outils, écartement outils, écartement mors, werkzeugabstand,
        einspannlänge aktuell, spannzeugabstand, 그립간격, 夹具间距""",
    Kind.NOT_MEASURED: """sollwert, soll, command, commanded, setpoint, set point, set value, target, demand,
        sollkraft, sollweg, kraftsollwert, wegsollwert, consigne, commande, führungsgröße, rate, speed,
        velocity, geschwindigkeit, prüfgeschwindigkeit, vitesse, true, true strain, true stress, wahre, vraie,
        width, change in width, width change, breite, breitenänderung, thickness, transverse strain,
        transverse, querdehnung, quer, lateral, transversal, poisson, cycle, cycles, cycle count,
        total cycle count, zyklus, count, index, energy, work, arbeit, travail, temperature, temperatur,
        température, date, datum, date time, system date, time stamp, timestamp, clock time, uhrzeit, peak,
        max, maximum, min, minimum, mean, mittel, average, moment, drehmoment, torque, angle, rotation, error,
        plastic strain, tenacity, 목표, 설정, 명령, 목표하중, 온도, 속도, 指令, 设定, 速度, 温度""",
}

_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z][a-z])")
_WORD = re.compile(r"[a-z�?]+|[0-9]+|[\u0400-\uffef]+")
_WIDE = re.compile(r"[\u1100-\u11ff\u3040-\u9fff\uac00-\ud7af]")
_BRACKETS = re.compile(r"[(\[{<]\s*([^()\[\]{}<>]*?)\s*[)\]}>]")
_AFTER = re.compile(r"^(?P<name>.*?\w)\s*(?:\s[/,]\s*|[/,_]\s*|\s+in\s+|\s+)(?P<unit>[^\s_/,]+(?:/\S+)?)$")
_ONLY_IN_BRACKETS = frozenset({"p", "g", "h", "1", "-", "–", "—", "strain", "ratio", "ε"})
_DAMAGED = "�?"
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a name was taken for, and the words that said so."""

    kind: Kind
    words: str


def split(text: str) -> tuple[str, str | None]:
    """Split a heading into the name and the unit written in or behind it; None where there is none.

    Understood are `Load (kN)`, `Kraft [N]`, `C_1_Force[kN]`, `Force_N`, `Load / kN`, `Force, N` and `Load kN`.
    """
    text = text.strip()
    if len(text) > _LONGEST_NAME:
        return text, None
    for found in _BRACKETS.finditer(text):
        if units.unit(found[1]) is not None:
            return (text[: found.start()] + text[found.end() :]).strip(" _"), found[1]
    found_after = _AFTER.fullmatch(text)
    if found_after is not None and _is_unit_behind(found_after["unit"]):
        return found_after["name"].strip(" _"), found_after["unit"]
    return text, None


def _is_unit_behind(word: str) -> bool:
    return word.casefold() not in _ONLY_IN_BRACKETS and units.unit(word) is not None


def meaning(name: str) -> Meaning | None:
    """Return what a name (without its unit) stands for, None when it says nothing.

    The longest entry of the dictionary that the name holds decides; an entry of what is not measured wins over
    all others, so that `Kraft Sollwert` is no force.
    """
    words = tuple(_words(name)) if len(name) <= _LONGEST_NAME else ()
    found: dict[Kind, tuple[int, str]] = {}
    for kind, entry in _entries(words):
        if kind not in found or len(entry) > found[kind][0]:
            found[kind] = (len(entry), " ".join(entry))
    if not found:
        return None
    if Kind.NOT_MEASURED in found and found[Kind.NOT_MEASURED][0] >= _exact(found, words):
        return Meaning(Kind.NOT_MEASURED, found[Kind.NOT_MEASURED][1])
    kind = max(found, key=lambda each: (each is not Kind.NOT_MEASURED, found[each][0]))
    return Meaning(kind, found[kind][1])


def _exact(found: Mapping[Kind, tuple[int, str]], words: tuple[str, ...]) -> int:
    """Length of an entry that is the whole name (`Standard travel` holds no veto in its own words), else 0."""
    whole = [length for kind, (length, _) in found.items() if kind is not Kind.NOT_MEASURED and length == len(words)]
    return max(whole, default=0)


def _entries(words: tuple[str, ...]) -> Iterator[tuple[Kind, tuple[str, ...]]]:
    """Yield the entries of the dictionary that occur in the words of a name."""
    for start in range(len(words)):
        for end in range(start + 1, min(len(words), start + _LONGEST) + 1):
            part = words[start:end]
            for kind in _KINDS.get(part, ()) or _damaged(part):
                yield kind, part
    for word in words:
        if _WIDE.search(word) and (word,) not in _KINDS:
            for entry, kinds in _WIDE_ENTRIES.items():
                if entry in word:
                    for kind in kinds:
                        yield kind, (entry,) if len(entry) > 1 else ()


def _damaged(part: tuple[str, ...]) -> frozenset[Kind]:
    """Kinds of the entries that a part with lost letters (`pr�fzeit`) can have been."""
    joined = " ".join(part)
    if not any(mark in joined for mark in _DAMAGED) or not joined.strip(_DAMAGED + " "):
        return frozenset()
    pattern = re.compile("".join(".{1,2}" if letter in _DAMAGED else re.escape(letter) for letter in joined))
    hits = [kinds for entry, kinds in _KINDS.items() if pattern.fullmatch(" ".join(entry))]
    return hits[0] if len(set(hits)) == 1 else frozenset()


def _words(name: str) -> Iterator[str]:
    """Yield the words of a name: lower case, without accents, letters apart from digits."""
    yield from _WORD.findall(plain(_CAMEL.sub(" ", name)))


def plain(text: str) -> str:
    """Return a text in lower case and without accents; UTF-8 that was read as latin-1 is put right first."""
    if "Ã" in text or "Â" in text:
        try:
            text = text.encode("cp1252").decode("utf-8")
        except (UnicodeEncodeError, UnicodeDecodeError):
            text = text.replace("Â", "")
    parts = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize("NFC", "".join(part for part in parts if not unicodedata.combining(part)))


def _dictionary() -> dict[tuple[str, ...], frozenset[Kind]]:
    entries: dict[tuple[str, ...], set[Kind]] = {}
    for kind, names in _NAMES.items():
        for name in names.split(","):
            entries.setdefault(tuple(_words(name)), set()).add(kind)
    return {entry: frozenset(kinds) for entry, kinds in entries.items()}


_KINDS = _dictionary()
_LONGEST = max(map(len, _KINDS))
_WIDE_ENTRIES = {entry[0]: kinds for entry, kinds in _KINDS.items() if len(entry) == 1 and _WIDE.search(entry[0])}

"""Where the sandbox's devices stand: sido, a few real gugun of each, rough boxes, post codes, area codes.

Here belong the names before and after the reform of 2026-07-01 and nothing about devices. Names are valid
sigungu of the derived table of 2026-07-01 (admdongkor, Statistics Korea SGIS, CC BY 4.0); the boxes are
rough and lie inside the Korea box, on land or not.
"""

from dataclasses import dataclass
from datetime import date

REFORM_DAY = date(2026, 7, 1)
"""광주광역시 and 전라남도 became 전남광주통합특별시; three gu of 인천 became four."""

MERGED_SIDO = "전남광주통합특별시"
MERGED_SHORT = "전남광주"


@dataclass(frozen=True, slots=True)
class Sido:
    """One sido of 2025: its names, its rough box in degrees, its post code range and its share of devices."""

    code: int
    name: str
    short: str
    weight: int
    box: tuple[float, float, float, float]
    zipcodes: tuple[int, int]
    area_code: str

    @property
    def is_merged(self) -> bool:
        """Whether the reform of 2026-07-01 gave this sido another name."""
        return self.code in {29, 46}


@dataclass(frozen=True, slots=True)
class District:
    """One gugun with the names it bears before and after the reform; Sejong has a blank gugun."""

    sido: Sido
    gugun_before: str
    gugun_after: str

    def sido_name(self, *, is_reformed: bool) -> str:
        """Return the long sido name, for example 전라남도 or 전남광주통합특별시."""
        return MERGED_SIDO if is_reformed and self.sido.is_merged else self.sido.name

    def sido_short(self, *, is_reformed: bool) -> str:
        """Return the short sido name, for example 전남 or 전남광주."""
        return MERGED_SHORT if is_reformed and self.sido.is_merged else self.sido.short

    def gugun(self, *, is_reformed: bool) -> str:
        """Return the gugun name, blank for Sejong."""
        return self.gugun_after if is_reformed else self.gugun_before

    @property
    def is_renamed(self) -> bool:
        """Whether the reform changes any name of this district."""
        return self.sido.is_merged or self.gugun_before != self.gugun_after


# code, name, short, rows of 2025-11-17, (south, north, west, east), first and last zipcode1, area code
SIDO = (
    Sido(41, "경기도", "경기", 15_240, (37.00, 37.80, 126.75, 127.50), (100, 186), "031"),
    Sido(11, "서울특별시", "서울", 14_052, (37.45, 37.68, 126.82, 127.15), (10, 88), "02"),
    Sido(46, "전라남도", "전남", 5_669, (34.50, 35.20, 126.40, 127.50), (570, 599), "061"),
    Sido(47, "경상북도", "경북", 5_222, (35.80, 36.80, 128.20, 129.30), (360, 402), "054"),
    Sido(28, "인천광역시", "인천", 4_933, (37.40, 37.58, 126.45, 126.75), (210, 231), "032"),
    Sido(48, "경상남도", "경남", 4_748, (34.90, 35.60, 127.90, 128.80), (500, 533), "055"),
    Sido(26, "부산광역시", "부산", 4_498, (35.05, 35.30, 128.90, 129.25), (460, 495), "051"),
    Sido(44, "충청남도", "충남", 4_308, (36.10, 36.85, 126.50, 127.20), (310, 335), "041"),
    Sido(27, "대구광역시", "대구", 3_334, (35.78, 35.98, 128.45, 128.72), (410, 430), "053"),
    Sido(43, "충청북도", "충북", 3_277, (36.40, 37.10, 127.40, 128.10), (270, 291), "043"),
    Sido(51, "강원특별자치도", "강원", 3_072, (37.25, 38.20, 127.60, 128.80), (240, 266), "033"),
    Sido(52, "전북특별자치도", "전북", 2_993, (35.45, 35.98, 126.70, 127.50), (540, 564), "063"),
    Sido(50, "제주특별자치도", "제주", 2_785, (33.25, 33.50, 126.25, 126.85), (630, 636), "064"),
    Sido(29, "광주광역시", "광주", 2_325, (35.08, 35.23, 126.75, 126.97), (610, 624), "062"),
    Sido(30, "대전광역시", "대전", 2_168, (36.25, 36.45, 127.30, 127.48), (340, 354), "042"),
    Sido(31, "울산광역시", "울산", 1_969, (35.48, 35.65, 129.10, 129.40), (440, 450), "052"),
    Sido(36, "세종특별자치시", "세종", 836, (36.45, 36.65, 127.20, 127.33), (300, 301), "044"),
)

_GUGUN: dict[str, str] = {
    "경기": "수원시 장안구,수원시 영통구,성남시 분당구,의정부시,안양시 동안구,부천시 원미구,"
    "부천시 오정구,평택시,안산시 단원구,고양시 일산동구,남양주시,시흥시,용인시 기흥구,파주시,"
    "이천시,김포시,광주시,연천군,가평군,양평군",
    "서울": "종로구,중구,용산구,성동구,광진구,동대문구,성북구,노원구,은평구,마포구,양천구,강서구,"
    "구로구,영등포구,관악구,서초구,강남구,송파구,강동구",
    "전남": "목포시,여수시,순천시,나주시,광양시,담양군,고흥군,화순군,해남군,무안군,영광군,완도군,진도군,신안군",
    "경북": "포항시 남구,포항시 북구,경주시,김천시,안동시,구미시,영주시,상주시,경산시,의성군,칠곡군,예천군,울릉군",
    "인천": "중구>제물포구,동구>제물포구,중구>영종구,서구>서해구,서구>검단구,미추홀구,연수구,남동구,"
    "부평구,계양구,강화군,옹진군",
    "경남": "창원시 의창구,창원시 마산합포구,창원시 진해구,진주시,통영시,사천시,김해시,거제시,양산시,고성군,거창군",
    "부산": "중구,서구,동구,영도구,부산진구,동래구,남구,북구,해운대구,사하구,강서구,수영구,기장군",
    "충남": "천안시 동남구,천안시 서북구,공주시,보령시,아산시,서산시,논산시,당진시,부여군,홍성군,태안군",
    "대구": "중구,동구,서구,남구,북구,수성구,달서구,달성군,군위군",
    "충북": "청주시 상당구,청주시 흥덕구,충주시,제천시,보은군,옥천군,진천군,음성군,단양군",
    "강원": "춘천시,원주시,강릉시,동해시,속초시,홍천군,평창군,철원군,고성군,양양군",
    "전북": "전주시 완산구,전주시 덕진구,군산시,익산시,정읍시,남원시,완주군,무주군,고창군",
    "제주": "제주시,서귀포시",
    "광주": "동구,서구,남구,북구,광산구",
    "대전": "동구,중구,서구,유성구,대덕구",
    "울산": "중구,남구,동구,북구,울주군",
    "세종": "",
}


def _district(sido: Sido, entry: str) -> District:
    before, _, after = entry.partition(">")
    return District(sido, before, after or before)


DISTRICTS: tuple[tuple[District, ...], ...] = tuple(
    tuple(_district(sido, entry) for entry in _GUGUN[sido.short].split(",")) for sido in SIDO
)
"""The districts of each sido, in the order of `SIDO`."""


def boundaries(size: int) -> tuple[int, ...]:
    """Return for each sido the slot after its last one, so that `size` slots follow the observed shares.

    Shares are rounded by largest remainder, so the last boundary is exactly `size`.
    """
    total = sum(sido.weight for sido in SIDO)
    counts = [size * sido.weight // total for sido in SIDO]
    remainders = sorted(range(len(SIDO)), key=lambda i: (-(size * SIDO[i].weight % total), i))
    for index in remainders[: size - sum(counts)]:
        counts[index] += 1
    ends: list[int] = []
    for count in counts:
        ends.append((ends[-1] if ends else 0) + count)
    return tuple(ends)

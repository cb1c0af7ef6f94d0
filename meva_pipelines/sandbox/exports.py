"""What the portal would export of the sandbox registry: one file per sido and day, in each form that people drop.

Only the spelling of rows and files is here; which devices exist is decided in `registry`. Equal arguments give
equal bytes. Files of the old binary form are not written here: no maintained library does.
"""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

from meva_pipelines.sandbox import wire_egen, workbook
from meva_pipelines.sandbox.districts import REFORM_DAY, SIDO
from meva_pipelines.sandbox.registry import Registry
from meva_pipelines.sandbox.wire_data_go_kr import escape
from meva_pipelines.sandbox.workbook import Sheet

Row = Sequence[str]

HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "장비연번": "equipment_serial",
        "관리번호": "management_number",
        "모델명": "model_name",
        "제조사": "manufacturer",
        "제조국": "manufacturing_country",
        "제조일자": "manufacturing_date",
        "제조번호": "serial_number",
        "설치일자": "installation_date",
        "최초설치일": "first_installation_date",
        "설치기관명": "installation_institution",
        "설치기관_주소": "installation_address",
        "설치위치": "installation_position",
        "설치방법": "installation_method",
        "관할보건소": "jurisdiction_health_center",
        "관리책임자": "manager",
        "기관_연락처": "institution_contact",
        "설립자": "establisher",
        "구입기관": "purchase_institution",
        "시_도": "sido",
        "구_군": "gugun",
        "경도": "longitude",
        "위도": "latitude",
        "운영현황": "operation_status",
        "표출허용여부": "display_allowed",
        "외부표출여부": "external_display",
        "외부미표출사유": "external_non_display_reason",
        "정부지원여부": "government_support",
        "배터리_유효기간": "battery_expiry_date",
        "패치_유_무": "patch_available",
        "패치_유효기간": "patch_expiry_date",
        "최근점검일": "last_inspection_date",
        "최근사용일": "last_use_date",
        "교체_폐기일자": "replacement_date",
        "분류1": "category_1",
        "분류2": "category_2",
        "분류3": "category_3",
        "등록일자": "registration_date",
        "비고": "remarks",
        "신고일자": "report_date",
        "설치장소_주소": "installation_location_address",
        "사음_삭제여부": "saeum_deletion_status",
    }
)
"""Headers of the portal in its order, with the field of the sandbox that each shows."""


class Form(StrEnum):
    """A form of file that people drop, under the extension that it is given."""

    HTML_XLS = "html.xls"
    CSV_CP949 = "cp949.csv"
    CSV_UTF8 = "utf8.csv"
    CSV_BOM = "bom.csv"
    XLSX = "xlsx"


def write(registry: Registry, day: date, folder: Path, forms: Mapping[str, Form]) -> list[Path]:
    """Write one file per short sido name (as before the reform) into a folder, and return their paths."""
    tables = rows(registry, day)
    paths = []
    for number, (sido, form) in enumerate(forms.items(), start=1):
        path = folder / f"AED등록현황 ({number}).{form.value.split('.')[-1]}"
        path.write_bytes(render(tables[sido], form))
        paths.append(path)
    return paths


def rows(registry: Registry, day: date) -> dict[str, list[Row]]:
    """Return the rows of a day per sido, without a header, in the order of `HEADERS`."""
    found: dict[str, list[Row]] = {sido.short: [] for sido in SIDO}
    for device in registry.devices(day):
        item = wire_egen.item(device, is_reformed=day >= REFORM_DAY)
        texts = ["" if item[name] is None else str(item[name]) for name in HEADERS.values()]
        found[device.site.district.sido.short].append(texts)
    return found


def render(table: Sequence[Row], form: Form, *, headers: Sequence[str] = tuple(HEADERS)) -> bytes:
    """Return the file that holds a table."""
    return _RENDER[form]([headers, *table])


def _html(table: Sequence[Row]) -> bytes:
    head, *body = table
    titles = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = "\r\n".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in body)
    return (
        '<html><head><meta http-equiv="Content-Type" content="text/html; charset=utf-8"></head><body>\r\n'
        f'<table border="1"><thead><tr>{titles}</tr></thead><tbody>\r\n{lines}\r\n</tbody></table></body></html>\r\n'
    ).encode()


def _csv(table: Sequence[Row], encoding: str) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(table)
    return text.getvalue().encode(encoding, errors="strict")


def _xlsx(table: Sequence[Row]) -> bytes:
    return workbook.written([Sheet("AED", table)])


_RENDER: Mapping[Form, Callable[[Sequence[Row]], bytes]] = {
    Form.HTML_XLS: _html,
    Form.CSV_CP949: lambda table: _csv(table, "cp949"),
    Form.CSV_UTF8: lambda table: _csv(table, "utf-8"),
    Form.CSV_BOM: lambda table: _csv(table, "utf-8-sig"),
    Form.XLSX: _xlsx,
}

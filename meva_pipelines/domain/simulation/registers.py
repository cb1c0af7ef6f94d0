"""Registers: the people, catalogues, devices and work orders that results refer to, as rows of their tables."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from meva_pipelines.domain.failures import Unusable
from meva_pipelines.domain.simulation.fields import DECIMAL_10_4, Fields

MOST_ROWS = 100_000
"""Most rows of one table in one register."""

_ORDER_NUMBER: Final = re.compile(r"WO-[0-9]{8}-[0-9]{6}(-[0-9]{2})?")


@dataclass(frozen=True, slots=True)
class Register:
    """What results refer to: people, catalogues, devices and work orders, each a list of rows as they are stored."""

    users: tuple[Mapping[str, object], ...] = field(repr=False)
    igniter_types: tuple[Mapping[str, object], ...]
    nc_types: tuple[Mapping[str, object], ...]
    gp_types: tuple[Mapping[str, object], ...]
    test_devices: tuple[Mapping[str, object], ...]
    work_orders: tuple[Mapping[str, object], ...]


def register(fields: Fields) -> Register:
    """Return the register of a document; rules as in `Fields`."""
    return Register(
        users=_rows(fields, "users", _user),
        igniter_types=_rows(fields, "igniter_types", _type),
        nc_types=_rows(fields, "nc_types", _propellant),
        gp_types=_rows(fields, "gp_types", _propellant),
        test_devices=_rows(fields, "test_devices", _device),
        work_orders=_rows(fields, "work_orders", _order),
    )


def _rows(fields: Fields, name: str, row: Callable[[Fields], Mapping[str, object]]) -> tuple[Mapping[str, object], ...]:
    found = []
    for item in fields.objects(name, at_most=MOST_ROWS):
        found.append(row(item))
        item.demand_no_others()
    return tuple(found)


def _user(fields: Fields) -> Mapping[str, object]:
    return {
        "username": fields.text("username", at_most=50),
        "email": fields.text("email", at_most=100),
        "full_name": fields.maybe_text("full_name", at_most=100),
        "role": fields.one_of("role", ("admin", "user", "engineer"), default="user"),
        "department": fields.maybe_text("department", at_most=50),
        "is_active": fields.flag("is_active", default=True),
    }


def _type(fields: Fields) -> Mapping[str, object]:
    return {
        "type_code": fields.text("type_code", at_most=20),
        "description": fields.maybe_text("description"),
        "is_active": fields.flag("is_active", default=True),
    }


def _propellant(fields: Fields) -> Mapping[str, object]:
    return {
        **_type(fields),
        "density": fields.number("density_g_cm3", least=1e-4, most=DECIMAL_10_4),
        "specific_heat": fields.number("specific_heat_j_gk", least=1e-4, most=DECIMAL_10_4),
    }


def _device(fields: Fields) -> Mapping[str, object]:
    return {
        "device_code": fields.text("device_code", at_most=20),
        "device_name": fields.maybe_text("device_name", at_most=100),
        "location": fields.maybe_text("location", at_most=100),
        "calibration_date": fields.maybe_day("calibration_date"),
        "is_active": fields.flag("is_active", default=True),
    }


def _order(fields: Fields) -> Mapping[str, object]:
    number, created_at = fields.text("work_order_number", at_most=50), fields.moment("created_at")
    completed_at = fields.maybe_moment("completed_at")
    if not _ORDER_NUMBER.fullmatch(number):
        raise Unusable(
            "a work order is numbered WO-YYYYMMDD-HHMMSS, with -NN behind it for orders of one second",
            rule="field_is_valid",
            field=f"{fields.path}.work_order_number",
        )
    if completed_at is not None and completed_at < created_at:
        raise Unusable(
            "a work order is completed after it was placed", rule="field_is_valid", field=f"{fields.path}.completed_at"
        )
    return {
        "work_order_number": number,
        "created_by": fields.text("created_by", at_most=50),
        "status": fields.one_of("status", ("pending", "in_progress", "completed", "cancelled"), default="pending"),
        "priority": fields.one_of("priority", ("low", "normal", "high", "urgent"), default="normal"),
        "description": fields.maybe_text("description"),
        "created_at": created_at,
        "completed_at": completed_at,
    }

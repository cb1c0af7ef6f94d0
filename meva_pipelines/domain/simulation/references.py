"""What a result refers to and must exist: people, work orders, catalogue entries, devices. A rule each, in order."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from meva_pipelines.domain.failures import Unusable
from meva_pipelines.domain.simulation.documents import Document, Firing, Forward, Model, Reverse
from meva_pipelines.domain.simulation.registers import Register

AHEAD = timedelta(hours=1)
"""How far a stated time may lie in the future: clocks differ."""


@dataclass(frozen=True, slots=True)
class Known:
    """Names and codes that exist, those of a register of the same batch included."""

    users: frozenset[str] = frozenset()
    work_orders: frozenset[str] = frozenset()
    igniter_types: frozenset[str] = frozenset()
    nc_types: frozenset[str] = frozenset()
    gp_types: frozenset[str] = frozenset()
    devices: frozenset[str] = frozenset()
    models: frozenset[str] = frozenset()

    def with_register(self, register: Register) -> "Known":
        """Return what is known once a register is published."""
        return replace(
            self,
            users=self.users | _keys(register.users, "username"),
            work_orders=self.work_orders | _keys(register.work_orders, "work_order_number"),
            igniter_types=self.igniter_types | _keys(register.igniter_types, "type_code"),
            nc_types=self.nc_types | _keys(register.nc_types, "type_code"),
            gp_types=self.gp_types | _keys(register.gp_types, "type_code"),
            devices=self.devices | _keys(register.test_devices, "device_code"),
        )


def extended(known: Known, document: Document | None) -> Known:
    """Return what is known once a document is published."""
    match document:
        case Register():
            return known.with_register(document)
        case Model(name=name):
            return replace(known, models=known.models | {name})
        case _:
            return known


def demand(document: Document, known: Known, *, now: datetime) -> None:
    """Refuse a document that refers to what does not exist, or that comes from the future.

    Raises:
        Unusable: `<what>_is_known` with the field, or `time_is_past`. The value is not quoted: it may be a name.
    """
    match document:
        case Forward(run=run) | Reverse(run=run):
            _demand("user", run.user, known.users, "user")
            _demand("work_order", run.work_order, known.work_orders, "work_order")
            _demand("igniter_type", run.inputs.igniter_type, known.igniter_types, "inputs.igniter_type")
            _demand("nc_type", run.inputs.nc_type, known.nc_types, "inputs.nc_type")
            _demand("gp_type", run.inputs.gp_type, known.gp_types, "inputs.gp_type")
            if isinstance(document, Reverse):
                _demand("device", document.device, known.devices, "device")
                _demand("nc_type", document.nc_type, known.nc_types, "result.nc_type")
                _demand("gp_type", document.gp_type, known.gp_types, "result.gp_type")
            _demand_past(run.created_at, now, "created_at")
        case Firing():
            _demand("user", document.user, known.users, "user")
            _demand("work_order", document.work_order, known.work_orders, "work_order")
            _demand("device", document.device, known.devices, "device")
            _demand_past(document.recorded_at, now, "recorded_at")
            if document.test_date > (now + timedelta(days=1)).date():
                raise Unusable("the firing lies in the future", rule="time_is_past", field="test_date")
        case Register():
            _demand_people(document, known)
        case Model():
            return


def _demand_people(register: Register, known: Known) -> None:
    users = known.users | _keys(register.users, "username")
    for number, order in enumerate(register.work_orders):
        _demand("user", str(order["created_by"]), users, f"work_orders[{number}].created_by")


def _demand(what: str, value: str | None, known: frozenset[str], field: str) -> None:
    if value is not None and value not in known:
        raise Unusable(
            f"{field} names what no register has brought: hand the register in and replay the quarantine",
            rule=f"{what}_is_known",
            field=field,
        )


def _demand_past(moment: datetime, now: datetime, field: str) -> None:
    if moment > now + AHEAD:
        raise Unusable(
            f"{field} lies more than an hour in the future: the clock of the source is wrong, and later results would"
            " look older",
            rule="time_is_past",
            field=field,
        )


def _keys(rows: Iterable[Mapping[str, object]], name: str) -> frozenset[str]:
    return frozenset(str(row[name]) for row in rows)

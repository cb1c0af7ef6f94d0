"""What a result refers to and must exist: people, work orders, catalogue entries, devices. A rule each, in order."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from meva_pipelines.domain.failures import Unusable
from meva_pipelines.domain.simulation.documents import Document, Firing, Forward, Model, Reverse
from meva_pipelines.domain.simulation.registers import Register

AHEAD = timedelta(hours=1)
"""How far a stated time may lie in the future: clocks differ."""


@dataclass(frozen=True, slots=True)
class Known:
    """Names and codes that exist, those of a register of the same batch included.

    `emails` tells whose an address is or was, `models` the type of each model version.
    """

    users: frozenset[str] = field(default=frozenset(), repr=False)
    emails: Mapping[str, str] = field(default_factory=dict, repr=False)
    work_orders: frozenset[str] = frozenset()
    igniter_types: frozenset[str] = frozenset()
    nc_types: frozenset[str] = frozenset()
    gp_types: frozenset[str] = frozenset()
    devices: frozenset[str] = frozenset()
    models: Mapping[str, str] = field(default_factory=dict)

    def including(self, brought: Register | Model) -> "Known":
        """Return what is known once a register or a model is published."""
        if isinstance(brought, Model):
            return replace(self, models={**self.models, brought.name: brought.model_type})
        return replace(
            self,
            users=self.users | _keys(brought.users, "username"),
            emails={**self.emails, **{str(user["email"]): str(user["username"]) for user in brought.users}},
            work_orders=self.work_orders | _keys(brought.work_orders, "work_order_number"),
            igniter_types=self.igniter_types | _keys(brought.igniter_types, "type_code"),
            nc_types=self.nc_types | _keys(brought.nc_types, "type_code"),
            gp_types=self.gp_types | _keys(brought.gp_types, "type_code"),
            devices=self.devices | _keys(brought.test_devices, "device_code"),
        )


def extended(known: Known, brought: Sequence[Register | Model], *, now: datetime) -> Known:
    """Return what is known once the registers and models of a batch are published, whatever their order.

    One may refer to another; what none of them and nothing that is known completes is refused, and brings nothing.
    """
    waiting = list(brought)
    while waiting:
        refused = []
        for document in waiting:
            try:
                demand(document, known, now=now)
            except Unusable:
                refused.append(document)
            else:
                known = known.including(document)
        if len(refused) == len(waiting):
            break
        waiting = refused
    return known


def demand(document: Document, known: Known, *, now: datetime) -> None:
    """Refuse a document that refers to what does not exist, contradicts what does, or comes from the future.

    Raises:
        Unusable: `<what>_is_known` with the field, `email_is_free`, `model_type_is_kept`, or `time_is_past`. The value
            is not quoted: it may be a name.
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
        case Model(name=name, model_type=model_type):
            if known.models.get(name, model_type) != model_type:
                raise Unusable(
                    "the version is on record as a model of the other type",
                    rule="model_type_is_kept",
                    field="model_type",
                )


def _demand_people(register: Register, known: Known) -> None:
    owners = dict(known.emails)
    for number, user in enumerate(register.users):
        if owners.setdefault(str(user["email"]), str(user["username"])) != user["username"]:
            raise Unusable(
                "the e-mail address is or was that of another user: everybody has one of their own",
                rule="email_is_free",
                field=f"users[{number}].email",
            )
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

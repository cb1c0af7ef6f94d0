"""The files of a season: documents as JSON, curves as workbooks, CSV and Parquet, as the simulation system writes them.

What the curves are is decided in `firings`. Equal seasons give equal bytes, save for Parquet, which names its library.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import parquet

from meva_pipelines.sandbox import workbook
from meva_pipelines.sandbox.firings import (
    DEVICES,
    ENGINEERS,
    GOOD_MODEL,
    IGNITERS,
    NITROCELLULOSE,
    POINTS,
    PROPELLANTS,
    REVERSE_MODEL,
    WORSE_MODEL,
    Firing,
    Order,
    Season,
    Simulation,
)
from meva_pipelines.sandbox.workbook import Cell, Sheet

Files = Mapping[str, bytes]


def simulation_files(
    season: Season, *, models: Sequence[str] = (GOOD_MODEL, WORSE_MODEL)
) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of every file for the folder of simulations: register, models, results."""
    orders = list(season.work_orders())
    yield "register.json", register(season, orders)
    for model in models:
        yield f"model-{model}.json", model_document(model, "forward", orders[0].day)
    yield f"model-{REVERSE_MODEL}.json", model_document(REVERSE_MODEL, "reverse", orders[0].day)
    for index, order in enumerate(orders):
        for simulation in season.simulations(order):
            if simulation.model in models:
                yield from simulation_document(simulation, form=("csv", "parquet", "inline")[index % 3]).items()
        yield f"{order.number}-reverse.json", reverse_document(order)


def firing_files(season: Season) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of every file for the folder of firings: a record and its workbooks each."""
    for order in season.work_orders():
        for firing in season.firings(order):
            yield from firing_document(firing, sensors=2 if firing.number == 1 else 1).items()


def write(files: Iterator[tuple[str, bytes]], folder: Path) -> int:
    """Write files into a folder and return how many."""
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for name, content in files:
        folder.joinpath(name).write_bytes(content)
        count += 1
    return count


def register(season: Season, orders: Sequence[Order]) -> bytes:
    """Return the register of people, catalogues, devices and orders."""
    return _json(
        {
            "kind": "register",
            "users": [
                {"username": name, "email": f"{name}@example.org", "full_name": name.title(), "role": "engineer"}
                for name in ENGINEERS
            ],
            "igniter_types": [{"type_code": code, "description": f"Igniter {code}"} for code in IGNITERS],
            "nc_types": [{"type_code": c, "density_g_cm3": 1.6, "specific_heat_j_gk": 1.4} for c in NITROCELLULOSE],
            "gp_types": [{"type_code": c, "density_g_cm3": 1.7, "specific_heat_j_gk": 1.1} for c in PROPELLANTS],
            "test_devices": [
                {"device_code": code, "device_name": f"Closed bomb {code}", "calibration_date": f"{season.first_day}"}
                for code in DEVICES
            ],
            "work_orders": [
                {
                    "work_order_number": order.number,
                    "created_by": order.engineer,
                    "status": "in_progress",
                    "priority": "normal",
                    "created_at": order.ordered_at.isoformat(),
                }
                for order in orders
            ],
        }
    )


def model_document(name: str, model_type: str, trained: date) -> bytes:
    """Return the document of a model version."""
    return _json(
        {
            "kind": "model_version",
            "name": name,
            "model_type": model_type,
            "file_path": f"models/{name}.bin",
            "num_models": 120,
            "training_date": f"{trained}",
            "r_squared": 0.99,
        }
    )


def simulation_document(simulation: Simulation, *, form: str) -> Files:
    """Return a forward simulation with its series `inline`, or beside it as `csv` or `parquet`."""
    order, stem = simulation.order, f"{simulation.order.number}-{simulation.model}"
    time_ms, pressure_mpa = simulation.time_ms(), simulation.pressure_mpa()
    series: dict[str, object] = {"time_ms": time_ms.tolist(), "pressure_mpa": pressure_mpa.tolist()}
    files = {}
    if form != "inline":
        series = {"file": f"{stem}.{form}"}
        files[f"{stem}.{form}"] = _csv(time_ms, pressure_mpa) if form == "csv" else _parquet(time_ms, pressure_mpa)
    document = {
        "kind": "forward_simulation",
        "name": simulation.name,
        "work_order": order.number,
        "user": order.engineer,
        "created_at": datetime.combine(order.day, time(3, 30), tzinfo=UTC).isoformat(),
        "inputs": _inputs(order),
        "model": {"version": simulation.model, "num_models": simulation.points, "r_squared": 0.99},
        "status": "completed",
        "execution_time_s": 1.25,
        "series": series,
    }
    return {f"{stem}.json": _json(document), **files}


def reverse_document(order: Order) -> bytes:
    """Return a reverse simulation that finds what went into an order."""
    return _json(
        {
            "kind": "reverse_simulation",
            "name": f"{order.number}/reverse",
            "work_order": order.number,
            "user": order.engineer,
            "created_at": datetime.combine(order.day, time(4), tzinfo=UTC).isoformat(),
            "inputs": {"shell_height_mm": 21.5, "igniter_type": order.igniter},
            "device": DEVICES[0],
            "model": {"version": REVERSE_MODEL},
            "execution_time_s": 0.8,
            "result": {
                "nc_type": order.nitrocellulose,
                "nc_amount_mg": order.nitrocellulose_mg,
                "gp_type": order.propellant,
                "gp_amount_mg": order.propellant_mg,
                "confidence_pct": 93.5,
            },
        }
    )


def firing_document(firing: Firing, *, sensors: int = 1, points: int = POINTS, notes: str | None = None) -> Files:
    """Return the record of a firing and one workbook for each sensor; sensors differ by 0.01 MPa."""
    stem = firing.name.replace("/", "-")
    sheets = {
        f"{stem}-{sensor}.xlsx": sheet(firing, points=points, offset_mpa=0.01 * sensor) for sensor in range(sensors)
    }
    document = {
        "kind": "firing",
        "name": firing.name,
        "work_order": firing.order.number,
        "user": firing.order.engineer,
        "tester_id": f"E{1000 + firing.number}",
        "device": firing.device,
        "test_date": f"{firing.order.day}",
        "notes": notes,
        "recorded_at": datetime.combine(firing.order.day, time(6, firing.number), tzinfo=UTC).isoformat(),
        "files": [{"file": name, "note": firing.name} for name in sheets],
    }
    return {f"{stem}.json": _json(document), **sheets}


def sheet(firing: Firing, *, points: int = POINTS, offset_mpa: float = 0.0) -> bytes:
    """Return the workbook of a sensor: three rows of header for steps of 0.01 ms, four for steps of 1 ms."""
    header: list[Sequence[Cell]] = [("时间 Time", "压力 Pressure"), ("[ms]", "MPa"), ("注释", firing.name)]
    if firing.order.step_ms >= 1.0:
        header.insert(0, ("点火试验曲线", "PT"))
    times, pressures = firing.time_ms(points).tolist(), (firing.readings_mpa(points) + offset_mpa).tolist()
    return workbook.written([Sheet("Sheet1", [*header, *zip(times, pressures, strict=True)])])


def _inputs(order: Order) -> dict[str, object]:
    return {
        "shell_height_mm": 21.5,
        "current_a": 1.2,
        "igniter_type": order.igniter,
        "nc_type": order.nitrocellulose,
        "nc_amount_mg": order.nitrocellulose_mg,
        "gp_type": order.propellant,
        "gp_amount_mg": order.propellant_mg,
    }


def _json(document: Mapping[str, object]) -> bytes:
    return json.dumps(document, ensure_ascii=False, indent=1).encode()


def _csv(time_ms: npt.NDArray[np.float64], pressure_mpa: npt.NDArray[np.float64]) -> bytes:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(["time_ms", "pressure_mpa"])
    writer.writerows(zip(time_ms.tolist(), pressure_mpa.tolist(), strict=True))
    return buffer.getvalue().encode()


def _parquet(time_ms: npt.NDArray[np.float64], pressure_mpa: npt.NDArray[np.float64]) -> bytes:
    buffer = io.BytesIO()
    parquet.write_table(pa.table({"time_ms": time_ms, "pressure_mpa": pressure_mpa}), buffer)
    return buffer.getvalue()

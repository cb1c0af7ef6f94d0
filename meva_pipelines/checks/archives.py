"""Checks on the archive: what is cold has its file and its proof, what left stands in the deletion ledger."""

import dagster as dg

from meva_pipelines.assets import archive_custody
from meva_pipelines.domain.archive.declared import TABLES
from meva_pipelines.domain.archive.verifying import EVERY
from meva_pipelines.resources import archive_batches, archive_hot_rows, archive_planning, ledger
from meva_pipelines.resources.cold_files import ColdFiles
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import Role


@dg.asset_check(asset=archive_custody.VERIFICATION)
def every_part_has_its_file_and_its_manifest(postgres: Postgres, store: ObjectStore) -> dg.AssetCheckResult:
    """Every committed part lies in its place with its manifest, as large as it was written."""
    with postgres.connect(Role.ARCHIVER, work="list parts") as connection:
        parts = archive_batches.all_parts(connection)
    there = {listed.key: listed.size for listed in ColdFiles(store).listed()}
    wrong = [
        batch.name
        for batch in parts
        if there.get(batch.file_key) != batch.file_size or batch.part.manifest_key not in there
    ]
    return dg.AssetCheckResult(
        passed=not wrong,
        metadata={"parts": len(parts), "wrong": len(wrong), "names": ", ".join(wrong[:10]) or "none"},
    )


@dg.asset_check(asset=archive_custody.VERIFICATION)
def every_part_was_read_within_a_month(postgres: Postgres) -> dg.AssetCheckResult:
    """No committed part is older proof than a month, and none was found damaged."""
    with postgres.connect(Role.ARCHIVER, work="look at proofs") as connection:
        now = ledger.now(connection)
        parts = archive_batches.all_parts(connection)
    stale = [batch.name for batch in parts if batch.read_at is None or now - batch.read_at > EVERY * 1.1]
    return dg.AssetCheckResult(
        passed=not stale,
        metadata={"parts": len(parts), "stale": len(stale), "names": ", ".join(stale[:10]) or "none"},
    )


@dg.asset_check(asset=archive_custody.VERIFICATION)
def every_deletion_has_its_proof(postgres: Postgres) -> dg.AssetCheckResult:
    """Every committed part stands in the deletion ledger with a passed verdict on its digest, and nothing else does."""
    with postgres.connect(Role.ARCHIVER, work="compare ledgers") as connection:
        row = connection.execute(
            "SELECT (SELECT count(*) FROM ops.deletion_ledger WHERE kind = 'archive'),"
            " (SELECT count(*) FROM mgg.archive_batches AS b WHERE b.status = 'committed' AND NOT EXISTS ("
            "  SELECT FROM ops.deletion_ledger AS l JOIN ops.audit_verdicts AS v"
            "  ON v.token = l.token AND v.is_passed AND v.digest = b.digest"
            "  WHERE l.kind = 'archive' AND l.proof ->> 'batch' = b.batch_name AND l.executed_rows = b.row_count)),"
            " (SELECT count(*) FROM ops.deletion_ledger AS l WHERE l.kind = 'archive' AND NOT EXISTS ("
            "  SELECT FROM mgg.archive_batches AS b"
            "  WHERE b.batch_name = l.proof ->> 'batch' AND b.status = 'committed'))"
        ).fetchone()
    deletions, unproved, unknown = row or (0, 1, 1)
    return dg.AssetCheckResult(
        passed=not unproved and not unknown,
        metadata={"deletions": deletions, "parts_without_proof": unproved, "deletions_without_part": unknown},
    )


@dg.asset_check(asset=archive_custody.REPORT)
def what_is_hot_is_young_held_or_waits_for_tonight(postgres: Postgres) -> dg.AssetCheckResult:
    """No hot row is older than its policy allows, except of periods that people hold or that the next night moves."""
    with postgres.connect(Role.ARCHIVER, work="look for old rows") as connection:
        due = archive_planning.due(connection)
        hot = archive_hot_rows.periods(connection)
    return dg.AssetCheckResult(
        passed=not due,
        severity=dg.AssetCheckSeverity.WARN,
        description=", ".join(f"{table.name} {period.name}" for table, period in due[:10]),
        metadata={"tables": len(TABLES), "hot_periods": len(hot), "due_periods": len(due)},
    )

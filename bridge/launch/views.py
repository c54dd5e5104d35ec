"""How points and what an import changes look on the wire. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from bridge import policy
from bridge.ids import InviteId
from bridge.launch.book import EventPoint, Imported
from bridge.launch.points import PointFields, Sheet


def point_view(
    point: EventPoint, connected: Collection[InviteId], check: dict[str, Any] | None
) -> dict[str, Any]:
    return {
        "id": point.id,
        **_fields(point.fields),
        "invite": point.invite.id,
        "participant": policy.participant_id(point.invite.id, 0),
        "expiresAt": point.invite.expires_at_ms,
        "revoked": point.invite.revoked,
        "connected": point.invite.id in connected,
        "check": check,
    }


def _fields(fields: PointFields) -> dict[str, str]:
    return {
        "province": fields.province,
        "organisation": fields.organisation,
        "name": fields.name,
        "contact": fields.contact,
    }


def import_view(done: Imported, sheet: Sheet, removes: bool) -> dict[str, Any]:
    return {
        "added": len(done.plan.added),
        "changed": len(done.plan.changed),
        "unchanged": len(done.plan.unchanged),
        "removed": len(done.gone) if removes else 0,
        "problems": [{"line": one.line, "code": one.code, "text": one.text} for one in sheet.problems],
    }


def preview_view(done: Imported, removes: bool) -> dict[str, Any]:
    """For a preview."""
    plan = done.plan
    rows = [(line, "added", fields) for line, fields in plan.added]
    rows += [(line, "changed", fields) for line, _, fields in plan.changed]
    rows += [(line, "unchanged", fields) for line, fields in plan.unchanged]
    rows.sort(key=lambda row: row[0])
    gone = [{"id": point.id, **_fields(point.fields)} for point in done.gone] if removes else []
    return {
        "rows": [{"line": line, "change": change, **_fields(fields)} for line, change, fields in rows],
        "gone": gone,
    }

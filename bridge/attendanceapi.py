"""Who was in an event, over HTTP (`docs/protocol.md`, "Attendance"): JSON, CSV, XLSX. Every look is in the audit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from bridge.audit import Event
from bridge.errors import ProtocolError
from bridge.exchange import bearer, encode, encoded_answer, file_answer
from bridge.ids import SessionId
from bridge.launch.access import Admitted, EventAccess
from bridge.launch.attendance import Attendance
from bridge.launch.looking_back import LookingBack
from bridge.launch.report import Report
from bridge.launch.reportsheets import people_table, report_tables
from bridge.launch.sheets import CSV_TYPE, XLSX_TYPE, Language, csv_of, language_named, xlsx_of

_ATTENDANCE = "/api/events/{session:[a-z0-9]{1,32}}/attendance"
FURTHEST_MIN = 14 * 60


class AttendanceApi:
    """The handlers; `add_routes` is the table."""

    def __init__(self, access: EventAccess, attendance: Attendance, looking_back: LookingBack) -> None:
        self._access = access
        self._attendance = attendance
        self._looking_back = looking_back

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get(_ATTENDANCE, self.get)
        app.router.add_get(f"{_ATTENDANCE}.csv", self.get_csv)
        app.router.add_get(f"{_ATTENDANCE}.xlsx", self.get_xlsx)

    async def get(self, request: web.Request) -> web.Response:
        by = await self._admitted(request)
        report = await self._report(by)
        await self._access.look(by, "attendance")
        return encoded_answer(await asyncio.to_thread(encode, report))

    async def get_csv(self, request: web.Request) -> web.Response:
        def made(report: Report, language: Language, offset_min: int) -> bytes:
            return csv_of(people_table(report, language, offset_min), language)

        return await self._file(request, made, CSV_TYPE, "attendance.csv")

    async def get_xlsx(self, request: web.Request) -> web.Response:
        def made(report: Report, language: Language, offset_min: int) -> bytes:
            return xlsx_of(report_tables(report, language, offset_min))

        return await self._file(request, made, XLSX_TYPE, "attendance.xlsx")

    async def _file(
        self, request: web.Request, made: Callable[[Report, Language, int], bytes], type: str, name: str
    ) -> web.Response:
        language, offset_min = language_named(request.query.get("language", "en")), _offset_min(request)
        by = await self._admitted(request)
        report = await self._report(by)
        await self._access.note(Event.OBJECT_EXPORTED, by, rows=len(report.rows))
        body = await asyncio.to_thread(made, report, language, offset_min)
        return file_answer(body, type, name)

    async def _admitted(self, request: web.Request) -> Admitted:
        return await self._access.reads(bearer(request), SessionId(request.match_info["session"]))

    async def _report(self, by: Admitted) -> Report:
        self._attendance.look()
        await self._attendance.write()
        return await self._looking_back.report(by.session.id)


def _offset_min(request: web.Request) -> int:
    said = request.query.get("offset", "0")
    try:
        offset_min = int(said if len(said) <= 5 else "")
    except ValueError:
        raise ProtocolError("The offset must be a whole number of minutes.") from None
    if abs(offset_min) > FURTHEST_MIN:
        raise ProtocolError(f"The offset is at most {FURTHEST_MIN} minutes.")
    return offset_min

"""Who did what to which object, and when: append-only, hash-chained and sealed; no clinical content, no names."""

from bridge.audit.anchor import Anchor, parse_anchor
from bridge.audit.events import CODINGS, Entry, Event, Outcome
from bridge.audit.lines import Line
from bridge.audit.log import Audit, AuditError, load_key
from bridge.audit.verifying import AuditFinding, Fault, Verdict, read_lines, verify

AUDIT_FOLDER = "audit"
"""Under the data folder."""

__all__ = [
    "AUDIT_FOLDER",
    "CODINGS",
    "Anchor",
    "Audit",
    "AuditError",
    "AuditFinding",
    "Entry",
    "Event",
    "Fault",
    "Line",
    "Outcome",
    "Verdict",
    "load_key",
    "parse_anchor",
    "read_lines",
    "verify",
]

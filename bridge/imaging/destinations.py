"""Where studies can be sent on to, by the names that the settings give: devices by DICOM, archives by DICOMweb."""

from __future__ import annotations

from bridge.config import DicomPeer, Settings, WebPeer
from bridge.errors import NotFound

Peer = DicomPeer | WebPeer


class Destinations:
    """Of one installation."""

    def __init__(self, settings: Settings) -> None:
        reachable = [peer for peer in settings.dicom_peers if peer.port is not None and peer.host != "*"]
        self._known: dict[str, Peer] = {peer.title: peer for peer in reachable}
        self._known |= {peer.name: peer for peer in settings.dicom_web_peers}

    def names(self) -> list[str]:
        return sorted(self._known)

    def find(self, name: str) -> Peer:
        """Raises NotFound."""
        try:
            return self._known[name]
        except KeyError:
            raise NotFound("There is no destination of this name.") from None

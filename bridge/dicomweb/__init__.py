"""DICOMweb over HTTP (`docs/protocol.md`, "DICOMweb"): store, search and retrieve, after DICOM PS3.18."""

from bridge.dicomweb.desk import SendingDesk
from bridge.dicomweb.imaging import Imaging, open_imaging
from bridge.dicomweb.service import DicomWeb

__all__ = ["DicomWeb", "Imaging", "SendingDesk", "open_imaging"]

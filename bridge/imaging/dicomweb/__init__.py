"""DICOMweb (PS3.18) without HTTP: what is asked for in headers and queries, what is found, and how it is told."""

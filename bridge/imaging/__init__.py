"""Studies: DICOM objects read, kept encrypted and given back as they came."""

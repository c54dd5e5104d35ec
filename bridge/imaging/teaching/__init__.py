"""De-identified copies of studies for teaching, by the Basic Application Level Confidentiality Profile (PS3.15 E)."""

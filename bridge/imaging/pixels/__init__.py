"""Pixels of DICOM images: decoded, encoded again, and rendered, as pure functions of bytes and numbers.

It knows no file, archive, socket or clock. All of it is meant for worker processes with limits on memory and time;
still every size is checked against what the object says of itself before anything is allocated for it, and whatever
is wrong raises `PixelError`, never anything else. Follows PS3.5 section 8 (encoding), PS3.3 C.7.6.3 and C.11
(meaning), PS3.18 8.3.5 (rendering).
"""

"""DICOM over the network (PS3.7, PS3.8), spoken in a process of its own that has no keys and no data folder.

What comes in is handed to the server over Unix sockets (`talk.py`), what goes out is fetched from there. If this
process dies, associations are lost and nothing else; the server (`bridge/imaging/gate.py`) starts it again on the same
port.
"""

"""From a tap's packets to parts that can be kept and played: the pure half of the recorder, without storage.

One `track.TrackRecorder` a track. `push` each batch of the tap, `tick` a few times a second with CLOCK_MONOTONIC in
microseconds, `flush` where recording pauses or the track ends; each returns the `parts.Part`s that became complete.
All tracks of a session take the same `origin_us`, so that their parts lie on one clock. A track that is published again
goes on in the same recorder only if it keeps its tap; else it gets a new one, with the same origin.

A player appends `part.init.data` whenever `part.init` differs from the one before, then `part.data`, to a source buffer
of type `part.init.media_type`; `init` and parts in one file are a valid MP4 or WebM. To begin anywhere, it goes back to
the last part with `keyframe`.
"""

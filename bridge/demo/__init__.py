"""The demo satellite: a clinic with a real ultrasound loop, a room camera and a voice, by the public protocol."""

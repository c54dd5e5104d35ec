"""Bridge: live bridge sessions between a hub hospital and its satellite points."""

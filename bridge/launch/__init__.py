"""Launch events before and after they are live: points, run of show, line checks, attendance."""

"""The tables' history: each step in `versions` takes the database from one shape to the next; run at every start."""

"""Persistence of a loop: snapshot files, the thread that writes them, periodic chores."""

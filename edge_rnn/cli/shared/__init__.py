"""Code shared by several commands: console output, options, wording."""

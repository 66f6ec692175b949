"""Parts that several commands share: console output, options, wording."""

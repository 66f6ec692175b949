"""Building blocks of reports: HTML page, SVG plots, confusion matrix."""

"""Parts of the reports that commands write: HTML page, SVG drawings, confusion matrix."""

"""Configuration of Sphinx: ``sphinx-build -W docs docs/_build``."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import edge_rnn

project = "edge_rnn"
author = "edge_rnn contributors"
copyright = author  # noqa: A001
release = version = edge_rnn.__version__

extensions = [
    "sphinx.ext.autodoc",
    "numpydoc",
    "myst_nb",
    "sphinx_copybutton",
    "sphinx_design",
    "generated_pages",
]
exclude_patterns = ["_build", "images"]
myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_merge_streams = True
autodoc_typehints = "none"  # docstrings describe each argument's type, shape and unit
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
smartquotes = False  # "--option" is no dash
pygments_dark_style = "github-dark"
copybutton_exclude = ".linenos, .gp, .go"

html_theme = "furo"
html_title = f"edge_rnn {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]

"""The README as an index page can show it; everything else about the package is in pyproject.toml.

An index page has no files beside it: links into the repository become names of files in the source distribution, and
pictures become their captions.
"""

import re
from pathlib import Path

from setuptools import setup

PICTURE = re.compile(r"!\[([^]]+)\]\((?!https?:)([^)\s]+)\)")
LINK = re.compile(r"\[([^]]+)\]\((?!https?:)[^)\s]+\)")

readme = (Path(__file__).parent / "README.md").read_text(encoding="utf-8")
readme = PICTURE.sub(r"*\1 (`\2` in the source distribution)*", readme)
setup(long_description=LINK.sub(r"\1", readme), long_description_content_type="text/markdown")

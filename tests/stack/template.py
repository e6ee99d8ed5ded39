"""The templates of schema/ldap and integrations: words in double braces stand for plain text."""

import os
import re


def render(template, path, words, mode=0o644):
    """Writes `template` with its words replaced. KeyError: one that `words` does not have."""
    with open(template, encoding="utf-8") as file:
        text = re.sub(r"\{\{(\w+)\}\}", lambda match: words[match.group(1)], file.read())
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:
        file.write(text)

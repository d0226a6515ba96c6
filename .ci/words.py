"""Check the English of docstrings, comments, help texts, messages and pages: python .ci/words.py [PATH ...]

The rules and their reasons are in CONTRIBUTING.md, "Words".
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

BANNED = {
    r"told": "says, reports, names",
    r"strangers?": "user, unknown file, third party",
    r"(?:is|are|was|were) of": "belongs to, has",
    r"(?:has|have|had) not\b(?! been)": "does not have, lacks",
    r"(?<!there )(?<!There )(?:is|are) no(?! longer)": "is not a",
    r"alone": "only",
    r"theirs": "name the owner",
    r"refus(?:e|es|ed|al|ing)": "rejects",
    r"(?:is|are) (?:there )?already there|(?:is|are) there already": "already exists",
    r"one's own": "own, custom",
    r"thereof|therein|whereof|wherefrom|thereby": "of it, in it",
    r"asked of|(?:is|are) asked for": "requested from, requested",
    r"wherever (?:it|they) (?:is|are)": "anywhere",
    r"whatever (?:it|they) (?:is|are)": "any",
    r"as one would": "as you would",
    r"nothing but": "only",
}
OPENERS = "Of|What|By|Those|Theirs|Whose|The same|Who|Which"
PRONOUNS = "It|They|One|Them|Its|Their"
SECTIONS = ("Args:", "Attributes:", "Returns:", "Raises:", "Yields:")
PATTERNS = [(re.compile(rf"\b(?:{words})\b", re.IGNORECASE), better) for words, better in BANNED.items()]
OPENER = re.compile(rf"(?:{OPENERS})\b", re.IGNORECASE)
ENTRY_OPENER = re.compile(rf"(?:{OPENERS}|{PRONOUNS})\b", re.IGNORECASE)
ENTRY = re.compile(r"\s+[\w.*, |`]+(?: \([^)]*\))?: (.+)")

Finding = tuple[Path, int, str]


def check_python(path: Path) -> Iterator[Finding]:
    """Docstrings, comments, and every text of several words in a Python file."""
    source = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from _check_docstring(path, node)
        if isinstance(node, ast.keyword) and node.arg == "help" and isinstance(node.value, ast.Constant):
            yield from _check_help(path, node.value)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield from _check_words(path, node.lineno, node.value)
    previous = -1  # only the first line of a block of comments opens a sentence
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            text = token.string.lstrip("#! ")
            if token.start[0] != previous + 1 and OPENER.match(text):
                yield path, token.start[0], f"comment opens with {text.split()[0]!r}"
            previous = token.start[0]
            yield from _check_words(path, token.start[0], text)


def _check_docstring(
    path: Path, node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
) -> Iterator[Finding]:
    text = ast.get_docstring(node)
    if not text:
        return
    start = node.body[0].lineno
    if OPENER.match(text):
        yield path, start, f"docstring opens with {text.split()[0]!r}"
    inside = False
    for number, line in enumerate(text.splitlines()):
        if line.strip() in SECTIONS:
            inside = True
        elif line and not line.startswith(" "):
            inside = False
        elif inside and (entry := ENTRY.match(line)) and ENTRY_OPENER.match(entry[1]):
            yield path, start + number, f"entry opens with {entry[1].split()[0]!r}: {line.strip()[:60]}"


def _check_help(path: Path, node: ast.Constant) -> Iterator[Finding]:
    if OPENER.match(str(node.value)):
        yield path, node.lineno, f"help text opens with {str(node.value).split()[0]!r}"


def check_text(path: Path) -> Iterator[Finding]:
    """Banned words in a page or a script."""
    inside_code = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("```"):
            inside_code = not inside_code
        elif not inside_code and not line.startswith("    "):
            yield from _check_words(path, number, line)


def _check_words(path: Path, line: int, text: str) -> Iterator[Finding]:
    for pattern, better in PATTERNS:
        if match := pattern.search(text):
            number = line + text[: match.start()].count("\n")
            yield path, number, f"{match[0]!r}: write {better}"


def main() -> int:
    """Check the given files and folders, or all tracked ones; print findings; return how many."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", *sys.argv[1:]], capture_output=True, text=True, check=True
    )
    count = 0
    for name in listed.stdout.split("\0"):
        path = Path(name)
        if not name or path.is_symlink() or path.name in ("words.py", "LICENSE", "constraints.txt"):
            continue
        check = {".py": check_python, ".md": check_text, ".sh": check_text}.get(path.suffix)
        for file, line, text in check(path) if check and path.is_file() else ():
            print(f"{file}:{line}: {text}")
            count += 1
    print(f"{count} findings")
    return count


if __name__ == "__main__":
    sys.exit(1 if main() else 0)

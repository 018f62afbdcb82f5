"""Sentences on a console: broken between words, never in a command."""

import io

import pytest
from rich.cells import cell_len

from dsasim.report.console import wrapped
from dsasim.report.say import say
from dsasim.report.style import new_console

COMMAND = "`dsasim trace fit-predictor smollm2-l512 --out x.safetensors`"
SENTENCE = f"layer 13 of the trace has no weights for 0.5; {COMMAND} makes them; 雪 and others need none"


def test_lines_are_broken_between_words() -> None:
    assert wrapped("then run `ls -l a` now", 12) == "then run\n`ls -l a`\nnow"
    assert wrapped("  short", 12) == "  short"
    assert wrapped("a /long/path/of/a/file.json b", 12) == "a\n/long/path/of/a/file.json\nb"


@pytest.mark.parametrize("columns", [1, 20, 45, 60, 80, 100, 200])
def test_a_command_is_whole_at_any_width(columns: int) -> None:
    out = io.StringIO()
    console = new_console(out)
    console.width = columns
    console.print(SENTENCE, style="yellow")
    lines = out.getvalue().splitlines()
    assert any(COMMAND in line for line in lines)
    assert " ".join(lines) == SENTENCE
    assert all(cell_len(line) <= columns or " " not in line.replace(COMMAND, "") for line in lines)


@pytest.mark.parametrize("length", [1, 53, 60, 70, 200])
def test_a_said_line_is_one_line(length: int, capsys: pytest.CaptureFixture[str]) -> None:
    text = f"/{'x' * length}/cpu.json lacks 3 of 4 rows still: run the command again to go on"
    say(text, err=True)
    assert capsys.readouterr().err == f"{text}\n"

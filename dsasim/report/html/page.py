"""The page: style, sections, figures and plotly.js in one file that asks nothing of the network.

The same sections give the same bytes, with the same version of plotly: no dates, no paths, no random names.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from dsasim.errors import ConfigError
from dsasim.report.html.figure import templates
from dsasim.report.html.parts import PageSection
from dsasim.report.markup import inert

POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
"""What the browser lets the page load: nothing (https://www.w3.org/TR/CSP3). Pictures are those it exports."""


@dataclass(frozen=True)
class Page:
    """A title and its sections."""

    title: str
    sections: Sequence[PageSection]

    def html(self) -> str:
        """The whole file; ConfigError without the extra `report`."""
        here = files("dsasim.report.html")
        style, script = ((here / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
        title = inert(self.title)
        return "\n".join(
            [
                '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
                f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
                '<meta name="viewport" content="width=device-width, initial-scale=1">',
                f"<title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>",
                f'<header><h1>{title}</h1><button id="theme" title="light or dark">theme</button></header>\n<main>',
                *(section.html() for section in self.sections),
                f'</main>\n<script type="application/json" id="templates">{json.dumps(templates())}</script>',
                f"<script>{_plotly_js()}</script>\n<script>\n{script}</script>\n</body>\n</html>\n",
            ]
        )


def check_plotly() -> None:
    """Raise ConfigError if the extra `report` is missing; called before anything is run."""
    try:
        import plotly.offline  # noqa: F401
    except ImportError:
        raise ConfigError('a report needs the extra report: pip install "dsasim[report]"') from None


def _plotly_js() -> str:
    """plotly.js as plotly ships it; `</script` in it would end the element that holds it."""
    check_plotly()
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs()).replace("</script", "<\\/script")

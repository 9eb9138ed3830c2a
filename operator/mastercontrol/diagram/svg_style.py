"""The look of a picture: every colour, for light and for dark, in one place. `svg` writes it into the file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class _Palette:
    page: str
    ink: str
    muted: str
    box: str
    border: str
    block: str
    line: str
    passed: str
    passed_box: str
    current: str
    current_box: str
    failed: str
    failed_box: str


_LIGHT: Final = _Palette(
    page="#ffffff",
    ink="#1f2328",
    muted="#59636e",
    box="#f6f8fa",
    border="#818b98",
    block="#ffffff",
    line="#818b98",
    passed="#0969da",
    passed_box="#ddf4ff",
    current="#9a6700",
    current_box="#fff1a8",
    failed="#cf222e",
    failed_box="#ffebe9",
)
_DARK: Final = _Palette(
    page="#0d1117",
    ink="#f0f6fc",
    muted="#9198a1",
    box="#21262d",
    border="#768390",
    block="#0d1117",
    line="#768390",
    passed="#58a6ff",
    passed_box="#0c2d5c",
    current="#e3b341",
    current_box="#5a3e02",
    failed="#ff7b72",
    failed_box="#5d1215",
)

_SHAPE: Final = """
text{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;text-anchor:middle}
.title{font-size:15px;font-weight:600}
.name{font-size:13px;font-weight:600}
.detail,.label{font-size:11px}
.box{stroke-width:1.3}
.block{stroke-width:1;stroke-dasharray:3 3}
.line{fill:none;stroke-width:1.3}
.catch .line,.retry .line,.fail .line,.cancel .line,.manual .line{stroke-dasharray:5 3}
.taken .line{stroke-width:2.6}
.is-passed .box{stroke-width:2.2}
.is-current .box,.is-failed .box{stroke-width:3}
text.taken{font-weight:600}
.beside{text-anchor:start}
"""


def _colours(p: _Palette) -> str:
    return f"""
.page{{fill:{p.page}}}
text{{fill:{p.ink}}}
.detail,.label{{fill:{p.muted}}}
.box{{fill:{p.box};stroke:{p.border}}}
.block{{fill:{p.block};stroke:{p.border}}}
.under{{fill:{p.page};fill-opacity:.85}}
.line{{stroke:{p.line}}}
.arrow{{fill:{p.line}}}
.dot.begin .box{{fill:{p.line}}}
.taken .line{{stroke:{p.passed}}}
.taken .arrow,text.taken{{fill:{p.passed}}}
.is-passed .box{{stroke:{p.passed};fill:{p.passed_box}}}
.is-current .box{{stroke:{p.current};fill:{p.current_box}}}
.is-passed .detail,.is-current .detail,.is-failed .detail{{fill:{p.ink}}}
.is-failed .box{{stroke:{p.failed};fill:{p.failed_box}}}
.holder .box{{fill:{p.box}}}
.dot.begin.is-passed .box{{fill:{p.passed}}}
"""


STYLE: Final = f"{_SHAPE}{_colours(_LIGHT)}@media (prefers-color-scheme:dark){{{_colours(_DARK)}}}\n".lstrip()

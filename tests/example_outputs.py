"""What comes of the Jobs of `examples/`, by the name of their Workflow, for the tests that run them on a cluster."""

from __future__ import annotations

from typing import Any, Final

PATTERNS: Final[dict[str, Any]] = {
    "approval": {"state": "reimbursed", "transfer": "120 to ben", "by": "ana"},
    "basket": {"shipped": 2, "outOfStock": ["desk"], "failed": []},
    "fan-out": {"accepted": True, "checks": ["identity", "credit", "address"]},
    "map-failures": {
        "converted": ["one.html", "two.html", "four.html", "five.html"],
        "failed": ["three.bin is no text"],
    },
    "order": {"state": "shipped", "receipt": "order-1-38", "parcel": "order-1-lamp"},
    "polling": {"url": "https://exports.example/export-polling-1", "asked": 3},
    "travel": {"flight": "12A", "hotel": "214", "car": "MCP 7"},
    "trip": {"flight": "12A", "hotel": "214", "car": "MCP 7"},
}

ALL: Final[dict[str, Any]] = {
    **PATTERNS,
    "relay": {"pauseForSeconds": 0.5, "path": ["first", "second"]},
    "thumbnails": {"images": 4, "thumbnails": 12},  # beside checksums and paths
}

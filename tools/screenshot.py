"""Make a picture of a page with headless Chromium: python tools/screenshot.py report.html report.png [--dark]

Chromium is found on the path (Debian: apt-get install chromium fonts-inter). Phone widths below 500 pixels are shown
in a frame, because a window cannot be that narrow.
"""

from __future__ import annotations

import argparse
import html
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

# fmt: off
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)
# fmt: on
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
NARROWEST_WINDOW = 500


def take_screenshot(page: Path, picture: Path, width: int, height: int, *, dark: bool) -> None:
    """Raises `SystemExit` where no browser is installed or the picture fails."""
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        sys.exit(f"no browser: install one of {', '.join(BROWSERS)}")
    with tempfile.TemporaryDirectory() as folder:
        url = page.resolve().as_uri()
        if width < NARROWEST_WINDOW:
            frame = Path(folder) / "frame.html"
            frame.write_text(
                f'<body style="margin:0"><iframe src="{html.escape(url)}" '
                f'style="border:0;width:{width}px;height:{height}px"></iframe>'
            )
            url = frame.as_uri()
        command = [
            browser,
            *FLAGS,
            f"--user-data-dir={folder}/profile",
            f"--blink-settings=preferredColorScheme={0 if dark else 1}",
            f"--window-size={max(width, NARROWEST_WINDOW)},{height}",
            f"--screenshot={picture.resolve()}",
            url,
        ]
        result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if result.returncode or not picture.is_file():
        sys.exit(f"{browser} made no picture: {result.stderr.strip()[-400:]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("page", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=1500)
    parser.add_argument("--dark", action="store_true")
    options = parser.parse_args()
    take_screenshot(options.page, options.picture, options.width, options.height, dark=options.dark)


if __name__ == "__main__":
    main()

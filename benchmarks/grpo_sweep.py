"""How the gain of shared prompts grows with the prompt (P) and the group (G): `grpo_step.py` at several of both.

    python benchmarks/grpo_sweep.py [--out sweep.json] [--figure docs/grpo-speed.svg] [--processor-time]

One user, candidates of 64 tokens, loss and generation only. P from 128 to 2,048 at G 8, then G from 4 to 32 at P 384;
each point is a process of its own, and one that is in the file already is not measured again. The figure shows the
ratios, stock TRL over ours, and the bound in tokens, G (P + R) / (P + G R), that the loss cannot pass by sharing alone.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

PROMPTS, GROUPS = (128, 256, 512, 1024, 2048), (4, 8, 16, 32)
GROUP, PROMPT, N_NEW = 8, 384, 64
POINTS = [*((p, GROUP) for p in PROMPTS), *((PROMPT, g) for g in GROUPS)]
LINES = (
    ("bound in tokens", "token_ratio", "#888"),
    ("loss", "loss_ratio", "#2a6fb0"),
    ("generation", "generate_ratio", "#c2571a"),
)
WIDTH, HEIGHT, LEFT, TOP = 360, 250, 40, 34


def measure(prompt: int, group: int, options: list[str]) -> dict[str, Any]:
    """One point, as `grpo_step.py --json` prints it."""
    command = [sys.executable, str(Path(__file__).with_name("grpo_step.py")), "--json", "--without-steps"]
    command += ["--users", "1", "--prompt-tokens", str(prompt), "--group-size", str(group), *options]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(result.stdout.strip().splitlines()[-1])


def draw(points: list[dict[str, Any]]) -> str:
    """Both panels as SVG, legible on light and dark pages."""
    panels = (("P", "tokens of the prompt (P), G = 8", PROMPTS, lambda its: its["G"] == GROUP and its["P"] in PROMPTS),
              ("G", f"candidates a user (G), P = {PROMPT}", GROUPS, lambda its: its["P"] == PROMPT))  # fmt: skip
    top = max(max(point[key] for _, key, _ in LINES) for point in points) * 1.05
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH} {HEIGHT + 50}" '
        'font-family="sans-serif" font-size="12" fill="#777">',
        "<title>Stock TRL over ours, by length of the prompt and size of the group</title>",
    ]
    for panel, (key, label, ticks, belongs) in enumerate(panels):
        left = panel * WIDTH + LEFT
        inner = WIDTH - LEFT - 20
        mine = sorted((point for point in points if belongs(point["setting"])), key=lambda point: point["setting"][key])

        def place(tick: int, ticks: tuple[int, ...] = ticks, left: int = left, inner: int = inner) -> float:
            return left + inner * ticks.index(tick) / (len(ticks) - 1)

        def height(ratio: float) -> float:
            return TOP + (HEIGHT - TOP) * (1 - ratio / top)

        for ratio in range(int(top) + 1):
            parts.append(f'<path d="M{left} {height(ratio):.1f}h{inner}" stroke="#8883"/>')
            parts.append(f'<text x="{left - 8}" y="{height(ratio) + 4:.1f}" text-anchor="end">{ratio}</text>')
        for tick in ticks:
            parts.append(f'<text x="{place(tick):.1f}" y="{HEIGHT + 18}" text-anchor="middle">{tick}</text>')
        parts.append(f'<text x="{left + inner / 2:.1f}" y="{HEIGHT + 38}" text-anchor="middle">{label}</text>')
        for _, name, colour in LINES:
            where = [(place(point["setting"][key]), height(point[name])) for point in mine]
            line = "L".join(f"{x:.1f} {y:.1f}" for x, y in where)
            parts.append(f'<path d="M{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in where]
    for row, (name, _, colour) in enumerate(LINES):
        x = LEFT + 150 * row
        parts.append(
            f'<path d="M{x} 16h18" stroke="{colour}" stroke-width="2"/><text x="{x + 24}" y="20">{name}</text>'
        )
    return "\n".join([*parts, "</svg>\n"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("grpo-sweep.json"))
    parser.add_argument("--figure", type=Path, help="also draw the ratios here, as SVG")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--stock-rows", type=int, default=4, help="micro-batch of stock TRL")
    parser.add_argument("--processor-time", action="store_true", help="count processor time, on a busy machine")
    wanted = parser.parse_args()
    points = json.loads(wanted.out.read_text(encoding="utf-8")) if wanted.out.exists() else []
    done = {(point["setting"]["P"], point["setting"]["G"]) for point in points}
    options = ["--repeats", str(wanted.repeats), "--stock-rows", str(wanted.stock_rows)]
    options += ["--processor-time"] if wanted.processor_time else []
    for prompt, group in POINTS:
        if (prompt, group) not in done:
            points.append(measure(prompt, group, [*options, "--our-rows", str(group)]))
            wanted.out.write_text(json.dumps(points, indent=1), encoding="utf-8")
            ratios = ", ".join(f"{name} {points[-1][key]}" for name, key, _ in LINES)
            print(f"P {prompt}, G {group}: {ratios}", flush=True)
    if wanted.figure:
        wanted.figure.write_text(draw(points), encoding="utf-8")


if __name__ == "__main__":
    main()

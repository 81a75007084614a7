"""A service to browse: a store that can fail or be slow, hostile titles in it, and a watch over what a page does."""

import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
from playwright.sync_api import Browser, BrowserContext, Page, expect

from bluerec.config import EmbedderConfig
from bluerec.data.histories import split_examples
from bluerec.data.tables import build_dataset
from bluerec.data.toy import build_oracle_profiles, build_world
from bluerec.profiling.embedders import HashingEmbedder
from bluerec.store.building import build_store
from bluerec.store.store import Store
from serving.hostile import build_payloads

WAIT_MS = 60_000
N_PER_USER = 60
# Told to the console by the page itself; whoever listens there hears of it.
WATCH = """addEventListener("securitypolicyviolation", (e) => console.error("VIOLATION " + e.violatedDirective));"""


@dataclass
class FaultyStore:
    """A store that fails or is slow when it is told to."""

    store: Store
    broken: Exception | None = None
    gate: threading.Event = field(default_factory=threading.Event)  # open while it is set

    def __post_init__(self) -> None:
        self.gate.set()

    def profile(self, user_id: str) -> Any:
        self.gate.wait(30)
        if self.broken:
            raise self.broken
        return self.store.profile(user_id)

    def save_edit(self, user_id: str, text: str) -> Any:
        if self.broken:
            raise self.broken
        return self.store.save_edit(user_id, text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


@dataclass
class Site:
    """The running service: its address, tokens, and the store behind it."""

    address: str
    admin: str
    reader: str
    store: FaultyStore

    def user(self, user_id: str) -> str:
        return f"{self.address}/studio/users/{user_id}"


@dataclass
class Visit:
    """A page with what it did that a page must not do."""

    page: Page
    context: BrowserContext
    faults: list[str] = field(default_factory=list)


def fill_store(folder: Path) -> None:
    """The synthetic world with its true tastes as profiles, and hostile titles in the histories of others."""
    world = build_world(n_users=20, n_items=150, seed=1)
    payloads = build_payloads()
    events = world.interactions
    items = pl.DataFrame([asdict(world.dataset.item(row)) for row in range(world.dataset.n_items)])
    bad = pl.DataFrame({"item_id": [f"x{n:04d}" for n in range(len(payloads))], "title": payloads}).with_columns(
        brand=pl.col("title"), categories=pl.concat_list("title")
    )
    wrong = pl.DataFrame(
        {
            "user_id": [f"hostile-{n // N_PER_USER}" for n in range(len(payloads))],
            "item_id": bad["item_id"],
            "timestamp": [1_700_000_000 + n for n in range(len(payloads))],
            "review_title": payloads[::-1],
        }
    )
    dataset = build_dataset(
        pl.concat([events, wrong], how="diagonal_relaxed"), pl.concat([items, bad], how="diagonal_relaxed")
    )
    profiles = build_oracle_profiles(world, split_examples(build_dataset(events, items)))
    embedder = HashingEmbedder(256)
    config = EmbedderConfig(model="hashing")
    build_store(folder, dataset, embedder, config, profiles=profiles.with_columns(writer=pl.lit("small")))
    with Store.open(folder, embedder=embedder) as store:
        for number in range(-(-len(payloads) // N_PER_USER)):
            part = payloads[number * N_PER_USER :][:40]
            store.save_written(f"hostile-{number}", "\n".join(part), part[0])
        for user_id in store.user_ids("u", 3):
            store.save_written(user_id, store.profile(user_id).text + " Also likes chess.", "small+tuned")
        store.add_interactions("bare", [{"item_id": "i0001", "timestamp": 1_700_000_000}])  # nothing is written yet


def open_page(site: Site, browser: Browser, token: str | None = None, **options: Any) -> Visit:
    """A browser of its own, signed in, that writes down violations, dialogs, errors and foreign requests."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce", **options})
    context.set_default_timeout(WAIT_MS)
    context.add_init_script(WATCH)
    made = Visit(context.new_page(), context)
    page = made.page
    page.on("console", lambda m: made.faults.append(m.text) if "VIOLATION" in m.text or "Security" in m.text else None)
    page.on("pageerror", lambda error: made.faults.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (made.faults.append(f"dialog {dialog.type}"), dialog.accept()))
    page.on(
        "request", lambda r: None if r.url.startswith((site.address, "data:", "blob:")) else made.faults.append(r.url)
    )
    page.goto(f"{site.address}/studio/sign-in?token={token or site.admin}")
    expect(page).to_have_url(f"{site.address}/studio")
    return made


def type_text(page: Page, text: str) -> None:
    page.fill("#text", text)
    expect(page.locator("#draft-tag")).to_be_visible()


def titles(page: Page) -> list[str]:
    return page.locator("#list .title").all_inner_texts()


def focused(page: Page) -> dict[str, str]:
    return page.evaluate(
        """() => { const e = document.activeElement, style = getComputedStyle(e), t = e.cloneNode(true);
        t.querySelectorAll(".hidden").forEach((h) => h.remove());
        return { id: e.id, text: t.textContent.trim(), outline: style.outlineStyle }; }"""
    )


def walk_to(page: Page, name: str, key: str = "Tab") -> list[dict[str, str]]:
    """Press a key until the element of this id or text has the focus; where one came by."""
    seen = []
    for _ in range(80):
        page.keyboard.press(key)
        seen.append(focused(page))
        if name in (seen[-1]["id"], seen[-1]["text"]):
            return seen
    raise AssertionError(f"{name} cannot be reached: {seen}")


def pages_of(site: Site, user: str) -> list[str]:
    return [
        f"{site.address}/studio",
        f"{site.address}/studio/try",
        site.user(user),
        site.user(user) + "/versions/1/2",
        site.user(user) + "/delete",
        site.user("bare"),
        site.user("nobody"),
    ]

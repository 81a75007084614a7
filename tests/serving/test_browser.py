"""The page in a real Chromium: what people do there, with what goes wrong, by keyboard and on a phone."""

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="playwright is not installed; run: pip install 'bluerec[dev]'")

import uvicorn
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Route, expect, sync_playwright

from bluerec.errors import StoreError
from bluerec.profiling.embedders import HashingEmbedder
from bluerec.serving.api import build_app
from bluerec.serving.keys import KeyRing, Scope
from bluerec.serving.limits import Limits
from bluerec.store.recommender import Recommender
from bluerec.store.store import Store
from serving.browsing import (
    WAIT_MS,
    FaultyStore,
    Site,
    Visit,
    fill_store,
    focused,
    open_page,
    pages_of,
    titles,
    type_text,
    walk_to,
)
from serving.hostile import RAN, build_payloads

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
]  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("browser") / "store"
    fill_store(folder)
    with Store.open(folder, embedder=HashingEmbedder(256)) as store:
        faulty, keys = FaultyStore(store), KeyRing()
        limits = Limits(requests_per_second=1e4, burst=10_000)
        app = build_app(faulty, Recommender(store), keys, hosts=("127.0.0.1",), limits=limits)
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        tokens = [keys.create(scope)[1] for scope in (Scope.ADMIN, Scope.READER)]
        yield Site(f"http://127.0.0.1:{port}", *tokens, faulty)
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip(f"no Chromium at {CHROMIUM}; install it: apt-get install chromium")
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture
def visit(site: Site, browser: Browser) -> Iterator[Visit]:
    made = open_page(site, browser)
    yield made
    made.context.close()
    site.store.broken = None
    site.store.gate.set()
    assert not made.faults


def test_choose_edit_see_it_move_save_undo(visit: Visit, site: Site) -> None:
    page = visit.page
    page.fill("#q", "u0005")
    page.click("text=Find")
    page.click(".users a")
    expect(page).to_have_url(site.user("u0005"))
    before = titles(page)
    assert page.locator("#sentences > li").count() == len(site.store.profile("u0005").sentences)
    assert page.locator("#list .because").count() == len(before) == 10
    assert page.locator(".line circle").count() == len(site.store.history("u0005"))

    type_text(page, "Farming games with animals. Quiet puzzle games.")
    expect(page.locator("#status")).to_contain_text("Not saved")
    assert titles(page) != before
    moved = page.locator("#list .move:not([hidden])").all_inner_texts()
    assert moved
    assert all(re.fullmatch(r"new|(up|down) \d+, from \d+", text) for text in moved)
    assert page.locator("#gone li").count() == len(set(before) - set(titles(page)))
    assert page.locator("#sentences .fresh:not([hidden])").count() == 2
    assert page.locator("#map-marks .sentence").count() == 2
    assert site.store.profile("u0005").version == 1  # nothing is saved before it is saved

    shown = titles(page)
    page.click("#editor .primary")
    expect(page.locator(".notice.good")).to_contain_text("Saved")
    assert titles(page) == shown
    assert site.store.profile("u0005").locked == ("Farming games with animals.", "Quiet puzzle games.")
    expect(page.locator(".kept:not([hidden])")).to_have_count(2)
    page.click("#undo-now")
    expect(page.locator(".notice.good")).to_contain_text("Gone back")
    assert titles(page) == before
    assert [version.edited for version in site.store.versions("u0005")] == [False, True, False]


def test_more_and_not_this_are_edits_that_one_sees(visit: Visit, site: Site) -> None:
    page = visit.page
    page.goto(site.user("u0006"))
    unwanted, wanted = titles(page)[:2]
    page.locator("#list > li").nth(0).locator("button[name=less]").click()
    expect(page.locator("#text")).to_have_value(re.compile("Nothing like " + re.escape(unwanted[:20])))
    expect(page.locator("#draft-tag")).to_be_visible()
    page.locator("#list > li", has_text=wanted).first.locator("button[name=more]").click()
    expect(page.locator("#text")).to_have_value(re.compile("Nothing like .* More like " + re.escape(wanted[:20])))
    n_sentences = page.locator("#sentences > li").count()
    page.locator("#sentences .drop").first.click()
    expect(page.locator("#sentences > li")).to_have_count(n_sentences - 1)
    assert site.store.profile("u0006").version == 1
    page.click("#discard")
    expect(page.locator("#text")).to_have_value(site.store.profile("u0006").text)


def test_what_is_kept_away_looks_the_same_with_a_script_and_without(site: Site, browser: Browser) -> None:
    title = next(event.item.title for event in site.store.history("u0004") if event.item.title.isascii())
    draft = f"{title}. Nothing like {title}. No longer interested in horror. Origami."
    drawn = []
    for has_script in (True, False):
        made = open_page(site, browser, java_script_enabled=has_script)
        page = made.page
        page.goto(site.user("u0004"))
        expect(page.locator("#sentences .away:not([hidden])")).to_have_count(0)
        page.fill("#text", draft)
        if not has_script:
            page.click("#preview")
        expect(page.locator("#sentences > li")).to_have_count(4)
        drawn.append([" ".join(text.split()) for text in page.locator("#sentences > li").all_inner_texts()])
        made.context.close()
        assert set(made.faults) <= {"dialog beforeunload"}
    assert drawn[0] == drawn[1]
    away = [("kept away" in text, "Items like this are moved down." in text) for text in drawn[0]]
    assert away == [(False, False), (True, True), (True, True), (False, False)]
    behind = [("from the history" in text, "Nothing in the history" in text) for text in drawn[0]]
    assert behind == [(True, False), (False, False), (False, False), (False, True)]


def test_versions_are_compared_training_too(visit: Visit, site: Site) -> None:
    page = visit.page
    user = site.store.user_ids("u", 1)[0]
    page.goto(site.user(user))
    page.click("#training")
    expect(page.locator("h1")).to_have_text("Before and after training")
    assert page.locator(".list").count() == 2
    expect(page.locator("ins")).to_contain_text("Also likes chess.")
    page.click("text=Go back to this")
    expect(page.locator(".notice.good")).to_contain_text("Gone back")
    assert "chess" not in site.store.profile(user).text


def test_words_without_a_history_bring_a_list_and_can_be_kept(visit: Visit, site: Site) -> None:
    page = visit.page
    page.click("text=Begin with a few words")
    page.fill("#text", "Racing games with fast cars.")
    expect(page.locator("#list > li")).to_have_count(10)
    page.fill("#user_id", "u0006")
    page.click("#keep button")
    expect(page.locator(".notice.bad")).to_contain_text("already")
    page.fill("#user_id", "new person/1")
    page.click("#keep button")
    expect(page.locator("#text")).to_have_value("Racing games with fast cars.")
    assert site.store.profile("new person/1").locked == ("Racing games with fast cars.",)


def test_words_typed_before_the_script_was_there_bring_a_list_too(visit: Visit, site: Site) -> None:
    page, held = visit.page, []
    page.route("**/studio.js", lambda route: held.append(route))
    with page.expect_request("**/studio.js"):
        page.goto(f"{site.address}/studio/try", wait_until="commit")
    page.fill("#text", "Racing games with fast cars.")
    expect(page.locator("#list > li")).to_have_count(0)
    held[0].continue_()
    expect(page.locator("#list > li")).to_have_count(10)


def test_export_and_delete_with_a_receipt(visit: Visit, site: Site) -> None:
    page = visit.page
    page.goto(site.user("u0007"))
    with page.expect_download() as download:
        page.click("#export")
    assert "u0007" in download.value.path().read_text()
    page.click("#delete")
    page.fill("#confirm", "u0008")
    page.click("text=Delete for good")
    expect(page.locator("[role=alert]")).to_contain_text("nothing was deleted")
    page.fill("#confirm", "u0007")
    page.click("text=Delete for good")
    expect(page.locator(".receipt")).to_contain_text("texts found")
    assert site.store.profile("u0007") is None
    page.goto(site.user("u0007"))
    expect(page.locator("[role=alert]")).to_contain_text("no such user")


def test_a_key_that_reads_only_changes_nothing(site: Site, browser: Browser) -> None:
    made = open_page(site, browser, site.reader)
    made.page.goto(site.user("u0008"))
    assert len(titles(made.page)) == 10
    for selector in ("#text", "#delete", "#undo", ".steer", ".drop"):
        assert made.page.locator(selector).count() == 0
    assert made.page.goto(site.user("u0008") + "/delete").status == 403
    made.context.close()
    assert not made.faults


def test_a_slow_server_is_told_and_costs_no_text(visit: Visit, site: Site) -> None:
    page = visit.page
    page.goto(site.user("u0009"))
    site.store.gate.clear()
    page.fill("#text", "Chess and other quiet games.")
    expect(page.locator("#status")).to_contain_text("Still waiting")
    expect(page.locator("#list")).to_have_attribute("aria-busy", "true")
    site.store.gate.set()
    expect(page.locator("#draft-tag")).to_be_visible()
    page.clock.install()
    page.route("**/preview", lambda route: None)
    page.fill("#text", "Chess, and nothing else.")
    page.clock.run_for(1_000)
    page.clock.run_for(9_000)
    expect(page.locator("#status")).to_have_text("No preview: the server is too slow. Your text is still here.")
    expect(page.locator("#text")).to_have_value("Chess, and nothing else.")
    page.unroute_all(behavior="ignoreErrors")


def test_a_server_that_has_just_started_is_asked_again(visit: Visit, site: Site) -> None:
    page = visit.page
    page.goto(site.user("u0009"))
    refusals = [{"error": {"code": "warming", "message": "the embedder is being loaded"}}] * 2

    def answer(route: Route) -> None:
        if refusals:
            route.fulfill(status=503, json=refusals.pop())
        else:
            route.continue_()

    page.route("**/preview", answer)
    page.fill("#text", "Chess and other quiet games.")
    expect(page.locator("#status")).to_have_text("The server has just started and is loading its model…")
    expect(page.locator("#draft-tag")).to_be_visible()
    expect(page.locator("#status")).to_contain_text("Not saved")
    assert not refusals
    refusals += [{"error": {"code": "warming", "message": "the embedder is being loaded"}}] * 50
    page.fill("#text", "Golf.")
    expect(page.locator("#status")).to_have_text("The server has just started and is loading its model…")
    page.fill("#text", "Golf and tennis.")  # what is typed meanwhile takes the place of what waits
    refusals.clear()
    expect(page.locator("#sentences .words")).to_have_text(["Golf and tennis."])
    page.unroute_all(behavior="ignoreErrors")


def test_a_failing_server_is_told_and_costs_no_text(visit: Visit, site: Site) -> None:
    page = visit.page
    page.goto(site.user("u0010"))
    site.store.broken = StoreError("CANARY of a disk")
    page.fill("#text", "Golf.")
    expect(page.locator("#status")).to_contain_text("No preview: the store could not do this")
    page.click("#editor .primary")
    expect(page.locator("#status")).to_contain_text("Not saved")
    visit.context.set_offline(True)
    page.fill("#text", "Golf and tennis.")
    expect(page.locator("#status")).to_have_text("No preview: the server does not answer. Your text is still here.")
    visit.context.set_offline(False)
    site.store.broken = None
    assert "CANARY" not in page.content()
    page.click("#preview")
    expect(page.locator("#draft-tag")).to_be_visible()
    page.click("#editor .primary")
    expect(page.locator(".notice.good")).to_contain_text("Saved")
    site.store.broken = StoreError("CANARY of a disk")
    page.goto(site.user("u0010"))
    expect(page.locator("h1")).to_have_text("That did not work")


def test_leaving_with_an_unsaved_text_is_asked_about(visit: Visit, site: Site) -> None:
    page = visit.page
    page.goto(site.user("u0011"))
    type_text(page, "Unsaved words.")
    page.click("text=Users")
    expect(page).to_have_url(f"{site.address}/studio")
    assert visit.faults == ["dialog beforeunload"]
    visit.faults.clear()


def test_without_a_script_everything_works(site: Site, browser: Browser) -> None:
    made = open_page(site, browser, java_script_enabled=False)
    page = made.page
    page.goto(site.user("u0012"))
    page.fill("#text", "Space games. Horror games.")
    page.click("#preview")
    expect(page.locator("#status")).to_contain_text("Not saved")
    page.locator("button[name=less]").first.click()
    expect(page.locator("#text")).to_have_value(re.compile("Horror games. Nothing like"))
    page.click("#editor .primary")
    expect(page.locator(".notice.good")).to_contain_text("Saved")
    assert site.store.profile("u0012").version == 2
    page.goto(f"{site.address}/studio/try")
    page.fill("#text", "Space games.")
    page.click("#preview")
    expect(page.locator("#list > li")).to_have_count(10)
    made.context.close()


def test_by_keyboard_alone(visit: Visit, site: Site) -> None:
    page = visit.page
    page.goto(site.user("u0013"))
    page.keyboard.press("Tab")
    assert focused(page)["text"] == "Skip to the content"
    page.keyboard.press("Enter")
    seen = walk_to(page, "text")
    assert all(step["outline"] != "none" for step in seen), seen
    page.keyboard.press("Control+A")
    page.keyboard.type("Card games for two.")
    expect(page.locator("#draft-tag")).to_be_visible()
    walk_to(page, "Not this")
    page.keyboard.press("Enter")
    expect(page.locator("#text")).to_have_value(re.compile("Nothing like"))
    expect(page.locator("#list")).not_to_have_attribute("aria-busy", "true")
    assert focused(page)["text"] in ("What it brings", "Not this")  # not lost when the list is drawn anew
    walk_to(page, "text", key="Shift+Tab")
    walk_to(page, "Save")
    page.keyboard.press("Enter")
    expect(page.locator(".notice.good")).to_contain_text("Saved")
    assert "Card games for two." in site.store.profile("u0013").locked


def test_on_a_phone_nothing_sticks_out(site: Site, browser: Browser) -> None:
    made = open_page(site, browser, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = made.page
    for user, addresses in (("u0001", pages_of(site, "u0001")), ("hostile-0", [site.user("hostile-0")])):
        for address in addresses:
            page.goto(address)
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, (user, address)
    page.goto(site.user("u0014"))
    small = page.evaluate(
        """() => [...document.querySelectorAll("button, .button, summary")].filter((e) => e.checkVisibility())
        .map((e) => [e.textContent, e.getBoundingClientRect()]).filter(([, b]) => b.height < 24 || b.width < 24)"""
    )
    assert small == []
    type_text(page, "Card games for two.")
    page.locator("#savebar button").tap()
    expect(page.locator(".notice.good")).to_contain_text("Saved")
    edit, found, where = (page.locator(s).bounding_box()["y"] for s in ("#editor", "#list", "#map"))
    assert edit < found < where
    made.context.close()
    assert not made.faults


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(site: Site, browser: Browser, scheme: str) -> None:
    made = open_page(site, browser, color_scheme=scheme)
    page, axe = made.page, Axe()
    # In the dark only the colours are others.
    rules = {"resultTypes": ["violations"]} | ({"runOnly": ["color-contrast"]} if scheme == "dark" else {})
    user = site.store.user_ids("u", 2)[1]
    for address in pages_of(site, user):
        page.goto(address)
        if address == site.user(user):
            type_text(page, "Racing games. Also likes chess.")
            page.locator("button[name=less]").first.click()
            expect(page.locator("#text")).to_have_value(re.compile("Nothing like"))
        found = axe.run(page, options=rules).response["violations"]
        assert not found, (address, [(v["id"], v["nodes"][0]["html"]) for v in found])
    assert set(made.faults) <= {"dialog beforeunload"}  # axe is put in from outside and breaks no rule either
    made.context.close()
    stranger = browser.new_context(color_scheme=scheme)
    page = stranger.new_page()
    page.goto(f"{site.address}/studio")
    assert not axe.run(page).response["violations"]
    stranger.close()


def test_hostile_texts_are_shown_and_never_run(visit: Visit, site: Site) -> None:
    page = visit.page
    payloads = build_payloads()
    assert len(payloads) >= 500
    hostile = site.store.user_ids("hostile-", 100)
    n_shown = 0
    for user in hostile:
        page.goto(site.user(user))
        n_shown += page.locator(".timeline .title").count()
        assert page.locator("#sentences > li").count() > 10
        assert page.evaluate(f"window.{RAN}") is None
        assert page.locator("main script, main iframe, main img, main object, main embed, main video").count() == 0
    assert n_shown == len(payloads)
    type_text(page, "\n".join(payloads[-40:]))
    page.locator("button[name=more]").first.click()
    expect(page.locator("#text")).to_have_value(re.compile("More like"))
    page.click("#editor .primary")
    expect(page.locator(".notice.good")).to_contain_text("Saved")
    page.goto(site.user(hostile[-1]) + "/versions/1/2")
    page.goto(f"{site.address}/studio/try")
    page.fill("#text", "\n".join(payloads[:40]))
    expect(page.locator("#list > li")).to_have_count(10)
    page.goto(f"{site.address}/studio?q=" + "%22%3E%3Cscript%3E1%3C/script%3E")
    assert page.evaluate(f"window.{RAN}") is None


def test_the_watch_would_see_what_runs(visit: Visit, site: Site) -> None:
    """The same payloads in a page that does not escape them: they run, are asked for elsewhere, and are seen."""
    page = visit.page
    body = "".join(text for text in build_payloads() if text.startswith("<script>") or "example.invalid" in text)
    page.route("**/unsafe", lambda route: route.fulfill(body=body, content_type="text/html"))
    page.goto(f"{site.address}/unsafe")
    assert page.evaluate(f"window.{RAN}") == 1
    assert any("example.invalid" in fault for fault in visit.faults)
    visit.faults.clear()
    page.route(
        "**/guarded",
        lambda route: route.fulfill(
            body=body, content_type="text/html", headers={"content-security-policy": "default-src 'none'"}
        ),
    )
    page.goto(f"{site.address}/guarded")
    assert page.evaluate(f"window.{RAN}") is None
    assert any("VIOLATION" in fault or "Security" in fault for fault in visit.faults)
    visit.faults.clear()

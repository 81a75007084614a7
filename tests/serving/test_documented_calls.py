"""Every call that docs/serving.md shows works as it stands there, over a real socket."""

import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from store.stores import EMBEDDER, make_store

from bluerec.serving.api import build_app
from bluerec.serving.keys import KeyRing, Scope
from bluerec.serving.routes import router
from bluerec.store.recommender import Recommender
from bluerec.store.store import Store

BLOCK = re.compile(r"```sh\n(URL=.*?)```", re.DOTALL)
CALL = re.compile(r"^ask (.*?) +# (\d{3})", re.MULTILINE | re.DOTALL)


@pytest.fixture
def address(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Where a service listens, and a token."""
    with Store.open(make_store(tmp_path / "store"), embedder=EMBEDDER) as store:
        keys = KeyRing()
        token = keys.create(Scope.ADMIN)[1]
        config = uvicorn.Config(build_app(store, Recommender(store), keys), port=0, log_config=None, access_log=False)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", token
        server.should_exit = True
        thread.join()


def test_the_calls_of_the_documentation_work(address: tuple[str, str], project: Path) -> None:
    if not shutil.which("curl") or not shutil.which("bash"):
        pytest.skip("no curl or bash here")
    (block,) = BLOCK.findall((project / "docs/serving.md").read_text())
    wanted = [int(status) for _, status in CALL.findall(block)]
    assert len(wanted) == len(re.findall(r"^ask ", block, re.MULTILINE)) > len(router.routes)
    url, token = address
    script = re.sub(r"^URL=.*$", f"URL={url}", re.sub(r"^TOKEN=.*$", f"TOKEN={token}", block, flags=re.M), flags=re.M)
    result = subprocess.run(["bash", "-e", "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    found = [int(status) for status in re.findall(r" (\d{3})$", result.stdout, re.MULTILINE) if int(status) >= 200]
    assert found == wanted, result.stdout


def find_method(call: str) -> str:
    """The method that curl sends."""
    named = re.search(r"-X (\w+)", call)
    return named[1] if named else "POST" if " -d " in call else "GET"


def test_every_endpoint_is_called_in_the_documentation(project: Path) -> None:
    (block,) = BLOCK.findall((project / "docs/serving.md").read_text())
    calls = [call for call, _ in CALL.findall(block)]
    for route in router.routes:
        place = re.escape(route.path).replace(r"\{user_id\}", '[^/"]+')
        sent = {find_method(call) for call in calls if re.search(rf'\$URL{place}["?]', call)}
        assert route.methods <= sent, route.path

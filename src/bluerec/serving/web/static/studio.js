// Shows, while one types, the list that the text would bring. Everything is set as text, never as markup.
(() => {
  "use strict";
  const form = document.getElementById("editor");
  if (!form) return;
  const text = document.getElementById("text");
  const list = document.getElementById("list");
  const gone = document.getElementById("gone");
  const status = document.getElementById("status");
  const tag = document.getElementById("draft-tag");
  const place = document.getElementById("place");
  const PAUSE = 250;
  const PATIENCE = 8000;
  let timer = 0;
  let latest = null;

  const element = (name, className, content) => {
    const made = document.createElement(name);
    made.className = className;
    made.textContent = content;
    return made;
  };

  const draw = (row) => {
    const item = place.content.cloneNode(true).firstElementChild;
    item.querySelector(".rank").textContent = row.rank;
    const title = item.querySelector(".title");
    title.textContent = row.title + " ";
    if (row.direction !== "same") title.append(element("span", "move " + row.direction, row.move));
    const what = item.querySelector(".what");
    if (row.sentence) {
      const because = element("p", "because", "");
      because.append(element("span", "", "because"), " ", element("q", "", row.sentence));
      what.append(because);
    }
    if (row.evidence.length) what.append(element("p", "behind", "like " + row.evidence.slice(0, 2).join(", ")));
    return item;
  };

  const show = (answer) => {
    list.replaceChildren(...answer.rows.map(draw));
    gone.textContent = answer.gone.length
      ? "No longer in the list: " + answer.gone.map((row) => row.title).join("; ") : "";
    const moved = answer.rows.filter((row) => row.direction !== "same").length;
    tag.hidden = !answer.changed;
    say(answer.changed ? "Preview: " + moved + (moved === 1 ? " place" : " places") + " changed. Not saved." : "");
  };

  const say = (words, bad = false) => {
    status.textContent = words;
    status.classList.toggle("bad", bad);
  };

  const preview = async () => {
    if (latest) latest.abort();
    const mine = latest = new AbortController();
    if (!text.value.trim()) { say("The profile is empty."); return; }
    const slow = setTimeout(() => say("Still waiting for the server…"), 1500);
    const late = setTimeout(() => mine.abort("late"), PATIENCE);
    list.setAttribute("aria-busy", "true");
    try {
      const answer = await fetch(form.dataset.preview, {
        method: "POST", body: new URLSearchParams({ text: text.value }), signal: mine.signal,
        headers: { accept: "application/json" },
      });
      const content = await answer.json().catch(() => null);
      if (mine !== latest) return;
      if (answer.ok && content) show(content);
      else say("No preview: " + (content?.error?.message ?? "the server failed") + ". Your text is still here.", true);
    } catch {
      if (mine !== latest) return;
      say(mine.signal.reason === "late" ? "No preview: the server is too slow. Your text is still here."
        : "No preview: the server does not answer. Your text is still here.", true);
    } finally {
      clearTimeout(slow);
      clearTimeout(late);
      if (mine === latest) list.removeAttribute("aria-busy");
    }
  };

  text.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(preview, PAUSE);
  });
  document.getElementById("preview").addEventListener("click", (event) => {
    event.preventDefault();
    clearTimeout(timer);
    preview();
  });
  let leaving = false;
  document.addEventListener("submit", () => { leaving = true; });
  document.getElementById("discard").addEventListener("click", () => { leaving = true; });
  window.addEventListener("beforeunload", (event) => {
    if (!leaving && text.value !== form.dataset.saved) event.preventDefault();
  });
})();

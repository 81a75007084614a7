// Shows, while one types, what the text would say and bring. Everything is set as text, never as markup.
(() => {
  "use strict";
  const find = (id) => document.getElementById(id);
  const SVG = "http://www.w3.org/2000/svg";
  const TONES = 6;
  const PAUSE = 250;
  const PATIENCE = 8000;
  const AGAIN = 1000;
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)");
  const form = find("editor");
  const text = find("text");
  const list = find("list");
  const status = find("status");
  let timer = 0;
  let latest = null;

  const letter = (tone) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[tone % 26];
  const fill = (node, selector, content) => { node.querySelector(selector).textContent = content; };
  const badge = (node, tone) => {
    if (tone === null) return;
    const mark = node.querySelector(".letter");
    mark.textContent = letter(tone);
    mark.className = "letter t" + (tone % TONES);
    node.className = "t" + (tone % TONES);
    node.dataset.tone = tone % TONES;
  };
  const copy = (id) => find(id).content.cloneNode(true).firstElementChild;
  const bare = (name, content) => {
    const made = document.createElement(name);
    made.textContent = content;
    return made;
  };

  const drawPlace = (row) => {
    const item = copy("place-form");
    item.dataset.item = row.item_id;
    badge(item, row.tone);
    item.querySelector(".because").hidden = row.tone === null;
    fill(item, ".rank", row.rank);
    fill(item, ".title", row.title);
    fill(item, ".about", row.about);
    fill(item, ".behind", row.evidence.length ? "like " + row.evidence.slice(0, 2).join("; ") : row.sentence);
    const move = item.querySelector(".move");
    move.className = "move " + row.direction;
    move.textContent = row.move;
    move.hidden = row.direction === "same";
    for (const button of item.querySelectorAll(".steer button")) {
      button.value = row.item_id;
      fill(button, ".hidden", (button.name === "more" ? " like " : ": ") + row.title);
    }
    return item;
  };

  const drawSentence = (sentence, tone) => {
    const item = copy("sentence-form");
    badge(item, tone);
    fill(item, ".words", sentence.text);
    item.querySelector(".away").hidden = sentence.wanted;
    item.querySelector(".kept").hidden = !sentence.locked;
    item.querySelector(".fresh").hidden = !sentence.new;
    item.querySelector(".label").hidden = !sentence.evidence.length;
    item.querySelector(".none").hidden = sentence.evidence.length > 0 || !sentence.wanted;
    item.querySelector(".unwanted").hidden = sentence.wanted;
    item.querySelector(".evidence ul").replaceChildren(...sentence.evidence.map((title) => bare("li", title)));
    const drop = item.querySelector(".drop");
    if (drop) {
      drop.value = tone;
      fill(drop, ".hidden", "Take sentence " + letter(tone) + " out, ");
    }
    return item;
  };

  const shape = (name, attributes, ...inside) => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...inside);
    return made;
  };
  const label = (name, content, attributes = {}) => {
    const made = shape(name, attributes);
    made.textContent = content;
    return made;
  };
  const drawMap = (points) => {
    if (!find("map")) return;
    const sentences = points.filter((point) => point.kind === "sentence");
    const found = points.filter((point) => point.kind === "recommended");
    find("map-lines").replaceChildren(...found.flatMap((point) => sentences
      .filter((own) => own.tone === point.tone)
      .map((own) => shape("line", { class: "t" + (point.tone % TONES), x1: own.x, y1: own.y, x2: point.x, y2: point.y }))));
    const own = (point) => point.tone === null ? {} : { "data-tone": point.tone % TONES };
    const mark = (point, kind, title, body, written) => shape("g", {
      ...own(point), class: point.tone === null ? kind : kind + " t" + (point.tone % TONES), "data-rank": point.n,
      transform: "translate(" + point.x + " " + point.y + ")",
    }, label("title", title), body, written);
    find("map-marks").replaceChildren(
      ...found.map((point) => mark(point, "recommended", point.n + ". " + point.label,
        shape("circle", { r: 10 }), label("text", point.n, { y: 3.8 }))),
      ...sentences.map((point) => mark(point, "sentence", point.label,
        shape("rect", { x: -10, y: -10, width: 20, height: 20, rx: 5 }), label("text", letter(point.tone), { y: 4.2 }))));
    find("map-text").textContent = found.length + " recommended, " + sentences.length
      + " sentences of the text in the editor; what is alike lies near.";
  };

  // The same item slides from its old place to the new one; what is new comes in.
  const move = (rows) => {
    const before = new Map([...list.children].map((item) => [item.dataset.item, item.getBoundingClientRect().top]));
    list.replaceChildren(...rows.map(drawPlace));
    if (calm.matches) return;
    for (const item of list.children) {
      const top = before.get(item.dataset.item);
      const way = top === undefined ? null : top - item.getBoundingClientRect().top;
      const timing = { duration: 420, easing: "cubic-bezier(.2,.7,.2,1)" };
      if (way === null) item.animate([{ opacity: 0, transform: "translateX(14px)" }, { opacity: 1, transform: "none" }], timing);
      else if (way) item.animate([{ transform: "translateY(" + way + "px)" }, { transform: "none" }], timing);
    }
  };

  const say = (words, bad = false) => {
    status.textContent = words;
    status.classList.toggle("bad", bad);
  };

  const show = (answer) => {
    move(answer.rows.map((row) => ({ ...row, sentence: answer.sentences[row.tone]?.text ?? "" })));
    find("nothing").hidden = answer.rows.length > 0;
    find("nothing").textContent = answer.nothing;
    find("sentences")?.replaceChildren(...answer.sentences.map(drawSentence));
    drawMap(answer.points);
    const gone = find("gone");
    if (gone) {
      gone.hidden = !answer.gone.length;
      gone.querySelector("ul").replaceChildren(...answer.gone.map((row) => bare("li", row.title)));
      for (const id of ["draft-tag", "says-tag", "savebar"]) find(id).hidden = !answer.changed;
    }
    if (find("keep")) {
      find("keep").hidden = false;
      find("keep-text").value = answer.text;
    }
    const places = answer.moved + (answer.moved === 1 ? " place" : " places");
    say(answer.changed ? "Preview: " + places + " changed. Not saved." : "");
  };

  // Sends the text and hands on what came back. Whatever goes wrong is said, and the text stays.
  const ask = async (address, content, what, use) => {
    if (latest) latest.abort();
    const mine = latest = new AbortController();
    const slow = setTimeout(() => say("Still waiting for the server…"), 1500);
    const giveUp = () => setTimeout(() => mine.abort("late"), PATIENCE);
    let late = giveUp();
    list.setAttribute("aria-busy", "true");
    try {
      let answer, found;
      for (;;) {
        answer = await fetch(address, {
          method: "POST", body: new URLSearchParams(content), signal: mine.signal, headers: { accept: "application/json" },
        });
        found = await answer.json().catch(() => null);
        if (mine !== latest) return;
        if (found?.error?.code !== "warming") break;
        // It has just started and answers: that is no reason to give up.
        clearTimeout(slow);
        clearTimeout(late);
        say("The server has just started and is loading its model…");
        await new Promise((done) => setTimeout(done, AGAIN));
        late = giveUp();
      }
      if (answer.ok && found) use(found);
      else say(what + ": " + (found?.error?.message ?? "the server failed") + ". Your text is still here.", true);
    } catch {
      if (mine !== latest) return;
      say(what + (mine.signal.reason === "late" ? ": the server is too slow." : ": the server does not answer.")
        + " Your text is still here.", true);
    } finally {
      clearTimeout(slow);
      clearTimeout(late);
      if (mine === latest) list.removeAttribute("aria-busy");
    }
  };

  const read = (address, content) => ask(address, content, "No preview", (found) => {
    if (found.text !== content.text) text.value = found.text;
    show(found);
  });

  const preview = () => {
    clearTimeout(timer);
    if (text.value.trim()) read(form.dataset.preview, { text: text.value });
    else {
      latest?.abort();
      say(form.dataset.free ? "" : "The profile is empty.");
    }
  };

  // Pointing at a sentence, a place or a point shows what belongs to the same sentence.
  const content = find("content");
  content.addEventListener("pointerover", (event) => {
    const tone = event.pointerType === "mouse" && event.target.closest("[data-tone]");
    if (tone) content.dataset.lit = tone.dataset.tone;
    else delete content.dataset.lit;
  });
  content.addEventListener("pointerleave", () => { delete content.dataset.lit; });

  if (!form) return;
  let leaving = false;
  text.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(preview, PAUSE);
  });
  find("preview").addEventListener("click", (event) => {
    event.preventDefault();
    preview();
  });
  const steer = async (button) => {
    const item = button.closest("[data-item]")?.dataset.item;
    await read(button.formAction, { text: text.value, [button.name]: button.value });
    // The list was drawn anew: whoever works with the keyboard goes on where they were.
    const same = item && list.querySelector('[data-item="' + CSS.escape(item) + '"] button[name="' + button.name + '"]');
    (same || find(item ? "list-title" : "profile-title")).focus({ preventScroll: true });
  };
  const save = () => ask(form.action, { text: text.value }, "Not saved", () => {
    leaving = true;
    location.assign(form.dataset.here + "?said=saved");
  });
  document.addEventListener("submit", (event) => {
    if (event.target !== form) {
      leaving = true;
      return;
    }
    event.preventDefault();
    clearTimeout(timer);
    if (!text.value.trim()) say("The profile is empty.", true);
    else if (event.submitter?.name) steer(event.submitter);
    else if (form.dataset.here) save();
    else preview();
  });
  // What was typed before this script was there, or kept by the browser when one came back, has told nobody.
  if (text.value !== text.defaultValue) preview();
  for (const link of document.querySelectorAll(".discard")) link.addEventListener("click", () => { leaving = true; });
  window.addEventListener("beforeunload", (event) => {
    if (!leaving && "saved" in form.dataset && text.value !== form.dataset.saved) event.preventDefault();
  });
})();

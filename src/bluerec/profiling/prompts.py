"""The one place where a request for a profile is worded.

Titles, categories and reviews come from strangers. They are quoted as data: one line each, cut, and without any mark
that a chat model could take for the end of a turn. What looks like an instruction to a model is withheld: an event with
such a title, or the review or category alone; it stays in the data, and the prompt says how many there were. Personal
data that people left in reviews (e-mail addresses, phone numbers, cards, ...) is taken out before a model reads it, and
out of what it wrote.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bluerec.config import ProfilerConfig
from bluerec.data.hidden_characters import strip_hidden
from bluerec.data.instructions import is_instruction
from bluerec.data.personal_data import strip_personal_data
from bluerec.errors import ConfigError, ModelError
from bluerec.types import Event, History, Item, Message, Prompt

MAX_TITLE_CHARACTERS = 100
MAX_REVIEW_CHARACTERS = 120
# What lies beyond in a review is not looked at: the rest is cut off in any case.
_MAX_READ_CHARACTERS = 1_000
MAX_CATEGORY_CHARACTERS = 40
MAX_CATEGORIES = 2
_END_OF_SENTENCE = re.compile(r"[.!?\u2026\u3002\uff01\uff1f][\"')\]]*$")
# After a full stop that is no abbreviation's, or before a comma or semicolon.
_END_OF_CLAUSE = re.compile(r"(?<=[.!?])(?<!\bDr\.)(?<!\bMr\.)(?<!\bMrs\.)(?<!\bSt\.)(?<!\bvs\.)(?<!\bVol\.)\s|[,;]\s")
_MIN_CLOSED_CHARACTERS = 30
# A member of a list that comes again at once; a longer one that begins alike ("Halo, Halo 2") is another member.
_REPEATED_MEMBER = re.compile(
    r"(?P<before>, )?(?<!\w)(?P<member>\w[^,.;]{3,80}?)"
    r"(?:(?P<between>,? and |,? or |, )(?P=member)(?= next\b|,| and | or |[.;]|$))+",
    re.IGNORECASE,
)
# Marks of chat formats (ChatML, Llama, Gemma, ...), whatever the tokenizer at hand knows.
_CHAT_MARK = re.compile(r"<\|[^|<>]{0,40}\|>|</?(?:s|bos|eos|pad|start_of_turn|end_of_turn)>|\[/?INST\]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Template:
    """A wording: what frames the list of events, and the first words of the answer."""

    system: str
    before: str
    after: str
    prefill: str


TEMPLATES = {
    # Asked for taste in general, small models answer in general; asked for names, they look for them in the list.
    "interests": Template(
        system="You describe the taste of shoppers.",
        before="A shopper took these items, oldest first:",
        after=(
            "In one short sentence, name the kind of product, the brand and the series that this shopper likes most, "
            "and what they will want next."
        ),
        prefill="This shopper likes",
    ),
    # Nothing put into the mouth of the model: for models of 1B parameters and more.
    "open": Template(
        system="You describe the taste of people from what they took.",
        before="Items one person took, oldest first:",
        after=(
            "Write a profile of this person's interests in at most four sentences, for finding what they will want "
            "next. Describe kinds, themes, makers and price; do not copy titles and do not invent personal facts."
        ),
        prefill="",
    ),
}


def render_prompt(
    history: History,
    config: ProfilerConfig,
    count_tokens: Callable[[str], int],
    *,
    withhold: Callable[[str], bool] = is_instruction,
) -> Prompt:
    """The request for a user's profile, within `config.max_prompt_tokens`; the oldest events are left out first.

    An item without a title is shown by its brand or category, and one without these only where no other is named: a
    model writes "untitled item" like any other name. `withhold` says which titles, reviews and categories no model
    shall read. The budget counts the text of the messages and the prefill; a chat format adds some ten tokens of its
    own. Raises `ConfigError` for an unknown template or a budget that the wording alone exceeds.
    """
    template = find_template(config.template)
    shown = leave_out_unnamed(history.events[-config.max_events :])
    rendered = [_render_event(event, withhold) for event in shown]
    lines = [line for line, _ in rendered if line is not None]
    fixed = count_tokens(" ".join((template.system, template.before, template.after, template.prefill)))
    budget = config.max_prompt_tokens - fixed
    if budget <= 0:
        raise ConfigError(
            f"profiler.max_prompt_tokens={config.max_prompt_tokens}: the wording of template {config.template!r} alone "
            f"takes {fixed} tokens; raise it"
        )
    kept: list[str] = []
    for line in reversed(lines):
        budget -= count_tokens(f"\n{line}")
        if budget < 0:
            break
        kept.insert(0, line)
    if not kept and lines:  # one event that is too long for the budget: its beginning is better than nothing
        kept = [lines[-1][:MAX_TITLE_CHARACTERS]]
    content = "\n".join([template.before, *kept, "", template.after])
    messages: tuple[Message, ...] = (
        {"role": "system", "content": template.system},
        {"role": "user", "content": content},
    )
    return Prompt(
        messages,
        template.prefill,
        config.template,
        n_events=len(kept),
        n_omitted=len(history.events) - len(kept),
        n_withheld=sum(is_withheld for _, is_withheld in rendered),
        n_cut=len(lines) - len(kept),
    )


def encode_prompt(prompt: Prompt, tokenizer: Any) -> list[int]:
    """Token ids of a prompt in the tokenizer's chat format, the prefill at the end.

    Raises `ModelError` if the chat format refuses the messages.
    """
    from jinja2 import TemplateError

    marks = sorted(tokenizer.get_added_vocab(), key=len, reverse=True)
    messages = [message | {"content": _remove(message["content"], marks)} for message in prompt.messages]
    try:
        rendered = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    except TemplateError as error:
        raise ModelError(f"the model's chat format refuses the prompt: {error}; choose another profiler") from error
    return [int(token) for token in tokenizer(rendered + prompt.prefill, add_special_tokens=False)["input_ids"]]


def join_profile(prefill: str, continuation: str) -> str:
    """The profile: what was put into the model's mouth and what it went on to say, on one line.

    Every profile that a model wrote passes here, in training, in batches and in the service. What stands twice in a row
    in a list stands once ("Halo 3 or Halo 3" is Halo 3): small models repeat themselves, and the second says nothing.
    """
    text = " ".join(strip_hidden(f"{prefill}{continuation}").split())
    return strip_personal_data(_REPEATED_MEMBER.sub(_name_once, text))


def _name_once(found: re.Match[str]) -> str:
    """The member, joined to those before it as the last one of them was: "A, B and B" is "A and B"."""
    before, between = found["before"] or "", found["between"]
    return (between if before else "") + found["member"]


def close_profile(profile: str) -> str:
    """A profile that the length limit cut off, up to its last whole sentence or clause, with a full stop.

    Half a word names nothing, and its reader takes it for a fault. A text that ends well, or has no such place after
    its first words, comes back as it is.
    """
    if _END_OF_SENTENCE.search(profile):
        return profile
    places = [match for match in _END_OF_CLAUSE.finditer(profile) if match.start() >= _MIN_CLOSED_CHARACTERS]
    if not places:
        return profile
    kept = profile[: places[-1].start()]
    return kept if _END_OF_SENTENCE.search(kept) else f"{kept}."


def find_template(name: str) -> Template:
    """Look up a wording. Raises `ConfigError` naming the known ones."""
    if name not in TEMPLATES:
        raise ConfigError(f"unknown template {name!r}; choose from {', '.join(TEMPLATES)}")
    return TEMPLATES[name]


def find_read_texts(event: Event) -> tuple[str, str]:
    """The title of an event, or the brand where it has none, and the review, as far as a prompt quotes them."""
    interaction = event.interaction
    review = read_review(interaction.review_title or interaction.review_text or "")
    return _quote(_find_name(event.item), MAX_TITLE_CHARACTERS), _quote(review, MAX_REVIEW_CHARACTERS)


def leave_out_unnamed(events: Sequence[Event]) -> Sequence[Event]:
    """The events without those of which neither title nor brand nor category is known; all where none is known."""
    return [event for event in events if _is_named(event.item)] or events


def _find_name(item: Item) -> str:
    return item.title if _quote(item.title, MAX_TITLE_CHARACTERS) else item.brand or ""


def _is_named(item: Item) -> bool:
    texts = (item.title, item.brand or "", *item.categories[-MAX_CATEGORIES:])
    return any(_quote(text, MAX_TITLE_CHARACTERS) for text in texts)


def count_withheld(events: Sequence[Event]) -> int:
    """Of how many of the latest events, as many as a prompt has by default, a text is left out as an instruction."""
    shown = leave_out_unnamed(events[-ProfilerConfig().max_events :])
    return sum(_render_event(event, is_instruction)[1] for event in shown)


def _render_event(event: Event, withhold: Callable[[str], bool]) -> tuple[str | None, bool]:
    """The line of an event, none where its title is withheld, and whether anything of it is."""
    item, interaction = event.item, event.interaction
    title, review = find_read_texts(event)
    if _is_withheld(_find_name(item), title, withhold):
        return None, True
    named = [(category, _quote(category, MAX_CATEGORY_CHARACTERS)) for category in item.categories[-MAX_CATEGORIES:]]
    categories = [quoted for category, quoted in named if quoted and not _is_withheld(category, quoted, withhold)]
    n_left_out = sum(bool(quoted) for _, quoted in named) - len(categories)
    if not title and n_left_out and not categories:  # what would have named it is withheld
        return None, True
    # The categories stand there a second time where one of them is the name: the shape of a line that models know.
    line = f"- {title or (categories[-1] if categories else 'untitled item')}"
    if categories:
        line += f" ({', '.join(categories)})"
    if interaction.rating is not None:
        line += f", rated {interaction.rating:g}"
    if review and _is_withheld(interaction.review_title or interaction.review_text or "", review, withhold):
        return line, True
    return f"{line}: {review}" if review else line, n_left_out > 0


def is_withheld(text: str, n_characters: int) -> bool:
    """Whether a title, brand or category, of which a prompt quotes so much, is withheld from it as an instruction."""
    return _is_withheld(text, _quote(text, n_characters), is_instruction)


def is_review_withheld(text: str) -> bool:
    """The same of a review."""
    return _is_withheld(text, _quote(read_review(text), MAX_REVIEW_CHARACTERS), is_instruction)


def _is_withheld(text: str, quoted: str, withhold: Callable[[str], bool]) -> bool:
    """Whether a text is to be withheld as it came, marks of a chat included, as far as it would be read."""
    if text == quoted:
        return withhold(text)
    return withhold(" ".join(text[:_MAX_READ_CHARACTERS].split())[: 2 * len(quoted)]) or withhold(quoted)


def read_review(text: str) -> str:
    """The beginning of a review without hidden characters and personal data."""
    return strip_personal_data(strip_hidden(text[:_MAX_READ_CHARACTERS])) if text else ""


def _quote(text: str, n_characters: int) -> str:
    """One printable line without chat marks, cut at a word."""
    text = _CHAT_MARK.sub(" ", text)
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    if len(text) <= n_characters:
        return text
    return text[:n_characters].rsplit(" ", 1)[0] + " ..."


def _remove(text: str, marks: Sequence[str]) -> str:
    for mark in marks:
        text = text.replace(mark, " ")
    return text

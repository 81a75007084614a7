"""Texts that try to run in a page: tags, handlers, breaks out of attributes, URLs, and the same in disguise."""

from collections.abc import Iterator

# What every payload does when it runs; the page under test must never have this name.
RAN = "bluerecRan"
_CALL = f"window.{RAN}=1"
_TAGS = (
    "img src=x", "svg", "body", "iframe src=javascript:0", "video src=x", "audio src=x", "input autofocus",
    "details open", "marquee", "object data=x", "embed src=x", "style", "link rel=stylesheet href=x", "math",
    "textarea autofocus", "select autofocus", "button autofocus", "isindex type=image src=1", "base href=//x",
    "a href=x",
)  # fmt: skip
_HANDLERS = ("onerror", "onload", "onfocus", "ontoggle", "onstart", "onpointerover")
_FRAMES = ("<{}>", '"><{}>', "'><{}>", "</textarea><{}>", "</title><{}>", "--><{}>", "`><{}>")
_WHOLE = (
    "<script>{}</script>",
    "<ScRiPt>{}</sCrIpT>",
    "</script><script>{}</script>",
    "<scr<script>ipt>{}</scr</script>ipt>",
    "<script src='data:text/javascript,{}'></script>",
    "<script type=module>{}</script>",
    "javascript:{}",
    "<a href='javascript:{}'>click</a>",
    "<form action='javascript:{}'><button>go</button></form>",
    "<meta http-equiv=refresh content='0;url=javascript:{}'>",
    '<svg><animate onbegin="{}" attributeName=x dur=1s>',
    "<svg><script>{}</script></svg>",
    "<math><mtext><table><mglyph><style><img src=x onerror={}>",
    "<noscript><p title='</noscript><img src=x onerror={}>'>",
    "{{{{constructor.constructor('{}')()}}}}",
    "${{{}}}",
    "{{% for x in ().__class__.__base__.__subclasses__() %}}{{{{x}}}}{{% endfor %}}",
    "\u202e<img src=x onerror={}>\u202c",
    "\x1b]8;;javascript:{}\x07click\x1b]8;;\x07",
    "&lt;script&gt;{}&lt;/script&gt;<script>{}</script>",
    "<img src=x onerror=&#119;indow.x=1>",
    "]]><script>{}</script>",
    "<!--><img src=x onerror={}>",
    "<template><script>{}</script></template>",
    "<img srcset='https://example.invalid/a 1x' src=https://example.invalid/b>",
    "<link rel=prefetch href=https://example.invalid/c>",
    "@import 'https://example.invalid/d';",
)


def build_payloads() -> list[str]:
    """More than 500 distinct texts."""
    return list(dict.fromkeys(_combine()))


def _combine() -> Iterator[str]:
    for whole in _WHOLE:
        yield whole.replace("{}", _CALL) if "{{" not in whole else whole.format(_CALL)
    for number, tag in enumerate(_TAGS):
        for place, handler in enumerate(_HANDLERS):
            for frame in _FRAMES[(number + place) % 2 :: 2] + _FRAMES[:1]:
                yield frame.format(f"{tag} {handler}={_CALL}")
                yield frame.format(f"{tag}/{handler}='{_CALL}'")

"""Sixty strings that would run, style, lead away or mislead if a page took them for its own.

Of our own making, after the places in a page that text can end up in (WHATWG HTML 13.2: data, tag,
attribute in three quotings, script, style, comment, URL, template). Each tries to call ``owned()``,
which :mod:`tests.browser.test_hostile_text` has every page define.
"""

from __future__ import annotations

STRINGS = (
    # elements
    "<script>owned(1)</script>",
    "</script><script>owned(2)</script>",
    "<img src=x onerror=owned(3)>",
    "<svg onload=owned(4)>",
    "<svg><script>owned(5)</script></svg>",
    "<svg><animate onbegin=owned(6) attributeName=x dur=1s>",
    "<math><mtext><script>owned(7)</script></mtext></math>",
    "<iframe srcdoc='<script>parent.owned(8)</script>'></iframe>",
    "<iframe src=javascript:parent.owned(9)></iframe>",
    "<object data=javascript:owned(10)></object>",
    "<embed src=javascript:owned(11)>",
    "<details open ontoggle=owned(12)>",
    "<video><source onerror=owned(13)></video>",
    "<audio src=x onerror=owned(14)>",
    "<body onload=owned(15)>",
    "<input autofocus onfocus=owned(16)>",
    "<marquee onstart=owned(17)>x</marquee>",
    "<link rel=stylesheet href=https://elsewhere.invalid/x.css>",
    "<meta http-equiv=refresh content='0;url=https://elsewhere.invalid/'>",
    "<base href=https://elsewhere.invalid/>",
    "<form action=https://elsewhere.invalid/><button>Approve</button></form>",
    "<template><img src=x onerror=owned(22)></template>",
    "<noscript><p title='</noscript><img src=x onerror=owned(23)>'>",
    "<textarea></textarea><img src=x onerror=owned(24)>",
    "<title></title><script>owned(25)</script>",
    "<xmp></xmp><script>owned(26)</script>",
    "<ScRiPt>owned(27)</sCrIpT>",
    "<scr<script>ipt>owned(28)</scr</script>ipt>",
    "<a href=javascript:owned(29) data-row>next</a>",
    "<dialog open>Type your password</dialog>",
    # out of an attribute, a comment, a section
    '" onmouseover=owned(31) x="',
    "' onmouseover=owned(32) x='",
    '" autofocus onfocus=owned(33) "',
    "x onpointerover=owned(34)",
    '"><script>owned(35)</script>',
    "'><script>owned(36)</script>",
    "--><script>owned(37)</script><!--",
    "]]><script>owned(38)</script>",
    "</style><script>owned(39)</script>",
    "</textarea></time></td></table><script>owned(40)</script>",
    # URLs
    "javascript:owned(41)",
    "JaVaScRiPt:owned(42)//https://example.com",
    "java\tscript:owned(43)",
    "data:text/html,<script>owned(44)</script>",
    "vbscript:owned(45)",
    "//elsewhere.invalid/46",
    "https://user:word@elsewhere.invalid/47",
    "/\\elsewhere.invalid/48",
    # templates and scripts
    "{{ ''.__class__.__mro__ }}{{ 7 * 19100129 }}",
    "{% for x in ().__class__.__base__.__subclasses__() %}{{ 7 * 19100129 }}{% endfor %}",
    "${owned(51)}`${owned(51)}`",
    "{{constructor.constructor('owned(52)')()}}",
    "'-owned(53)-'",
    "\\u003cscript\\u003eowned(54)\\u003c/script\\u003e",
    "&lt;script&gt;owned(55)&lt;/script&gt;",
    "&#60;img src=x onerror=owned(56)&#62;",
    # style
    "<style>main{display:none}</style>",
    "x;}*{background:url(https://elsewhere.invalid/58)}",
    # what is not seen, or turns what is read
    "\u202etxt.evorppa\u202c \u2066<b>\u2069 \u200bowned(59)",
    "<\x00script>owned(60)\u2028</script>",
)

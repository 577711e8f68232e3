"""The sign-in page: the one page that is there before anybody is known.

Free of everything the other pages need, so that it works when they do not. Whatever it shows of a
request or of an identity provider is foreign text. Used by :mod:`gitops.web.auth.routes`.
"""

from __future__ import annotations

from html import escape
from urllib.parse import quote

from starlette.responses import HTMLResponse, Response

from gitops.foreign import one_line
from gitops.model.serving import SignInSpec

STYLE_AT = "/sign-in.css"
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Sign in – gitops</title>
<link rel="stylesheet" href="{style}">
</head>
<body>
<main>
<h1>Sign in</h1>
{body}
</main>
</body>
</html>
"""
_LOCAL = """<form method="post" action="/sign-in">
<input type="hidden" name="next" value="{next}">
<label for="name">Name</label>
<input id="name" name="name" autocomplete="username" autocapitalize="none" required>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required>
<button>Sign in</button>
</form>
<p class="hint">No password yet, or lost? Whoever runs the controller sets one:
<code>gitops user add NAME</code></p>
"""
STYLE = """:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { margin: 0; background: light-dark(#f6f7f9, #14171a); color: light-dark(#1b1f24, #e6e8eb); }
main { max-width: 22rem; margin: 12vh auto 2rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; }
form { display: grid; gap: .4rem; margin: 1rem 0; }
input, button { font: inherit; padding: .5rem .6rem; border-radius: .4rem; }
input { border: 1px solid light-dark(#6a737d, #8b949e); background: light-dark(#fff, #1c2024);
  color: inherit; }
button, .provider { border: 0; background: #0b5cad; color: #fff; cursor: pointer; }
button { margin-top: .6rem; }
.provider { display: block; text-align: center; padding: .55rem; border-radius: .4rem;
  text-decoration: none; }
:focus-visible { outline: 3px solid #3b8eea; outline-offset: 2px; }
.hint { font-size: .85rem; color: light-dark(#57606a, #9aa4af); }
.said { border-left: 4px solid #b3261e; padding: .2rem .8rem; overflow-wrap: anywhere; }
"""


def page(spec: SignInSpec, next_: str, said: str = "", status: int = 200) -> HTMLResponse:
    """Every way to sign in that is configured, below what there is to say."""
    parts = [f'<p class="said" role="alert">{_safe(said)}</p>'] if said else []
    if spec.oidc is not None:
        at = f"/sign-in/begin?next={quote(next_, safe='')}"
        parts.append(f'<p><a class="provider" href="{at}">Sign in with {_safe(spec.oidc.name)}</a>')
    if spec.local:
        parts.append(_LOCAL.format(next=escape(next_)))
    if spec.oidc is None and not spec.local:
        parts.append("<p>Nobody can sign in here: the fleet file has no api: sign_in:.</p>")
    return HTMLResponse(_PAGE.format(style=STYLE_AT, body="\n".join(parts)), status)


def style() -> Response:
    return Response(STYLE, media_type="text/css", headers={"cache-control": "max-age=3600"})


def _safe(text: str) -> str:
    return escape(one_line(text, 500))

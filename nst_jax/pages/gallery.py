"""A page that shows ten thousand pictures: from the disk, without a network, a part of them at a time."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PAGE, DATA = "index.html", "gallery.js"
#: So many pictures are drawn at once.
SHOWN = 200
STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 1.5em; color: #222 }
form { position: sticky; top: 0; background: #fff; padding: .6em 0; display: flex; gap: 1em; flex-wrap: wrap;
  align-items: center; border-bottom: 1px solid #ddd }
#pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(200px, 1fr)); gap: 1em; padding: 1em 0 }
figure { margin: 0 } figure img { width: 100%; height: 192px; object-fit: contain; background: #f4f4f4 }
figcaption { font-size: 13px; overflow-wrap: anywhere } .failed { background: #fff3f0; padding: .5em }
.losses { color: #666 } select { max-width: 20em }
"""
SCRIPT = """
const form = document.forms[0], place = document.getElementById("pictures"), more = document.getElementById("more");
let found = [], drawn = 0;
function add(kind, parent, text, href) {
  const one = document.createElement(kind);
  if (text !== undefined) one.textContent = text;
  if (href !== undefined) one.href = href;
  parent.append(one);
  return one;
}
function figure(row) {
  const one = document.createElement("figure"), caption = document.createElement("figcaption");
  if (row.picture) {
    const image = document.createElement("img");
    image.loading = "lazy"; image.src = row.thumbnail; image.alt = row.content + " in the style of " + row.style;
    add("a", one, undefined, row.picture).append(image);
  } else one.className = "failed";
  one.append(caption);
  add("a", caption, row.content, row.files[0]); caption.append(" × "); add("a", caption, row.style, row.files[1]);
  add("br", caption);
  if (row.error) add("span", caption, row.error);
  else {
    add("span", caption, row.losses).className = "losses"; add("br", caption);
    add("a", caption, "report", row.report);
  }
  return one;
}
function draw() {
  const part = found.slice(drawn, drawn + SHOWN);
  place.append(...part.map(figure));
  drawn += part.length;
  more.hidden = drawn >= found.length;
}
function filter() {
  const style = form.style_.value, which = form.which.value, words = form.words.value.toLowerCase();
  found = ROWS.filter(row => (!style || row.style === style) && (!which || (which === "failed") === !!row.error)
    && (!words || (row.content + " " + row.style).toLowerCase().includes(words)));
  if (form.order.value === "loss") found = found.slice().sort((a, b) => (a.total ?? 1e99) - (b.total ?? 1e99));
  place.replaceChildren(); drawn = 0; draw();
  document.getElementById("count").textContent = found.length + " of " + ROWS.length;
}
for (const style of [...new Set(ROWS.map(row => row.style))].sort()) add("option", form.style_, style).value = style;
form.addEventListener("input", filter); form.addEventListener("submit", event => event.preventDefault());
more.addEventListener("click", draw);
new IntersectionObserver(seen => { if (seen[0].isIntersecting && !more.hidden) draw(); }).observe(more);
filter();
"""


def gallery(title: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The page's files, by their names, from the rows of ``results.jsonl``.

    Each has ``job``, ``content``, ``style`` (a list) and ``losses`` with ``picture``, or an ``error``. The page stands
    beside the folder of the results.
    """
    told = ",\n".join(json.dumps(_row(row)) for row in rows)
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title><style>{STYLE}</style></head><body>
<h1>{html.escape(title)}</h1>
<form><label>style <select name="style_"><option value="">all</option></select></label>
<label>show <select name="which"><option value="">all</option><option>done</option><option>failed</option></select>
</label><label>order <select name="order"><option>as given</option><option value="loss">by loss</option></select>
</label>
<label>name <input name="words" type="search"></label><span id="count"></span></form>
<div id="pictures"></div><button id="more">more</button>
<script src="{DATA}"></script><script>const SHOWN = {SHOWN};{SCRIPT}</script></body></html>
"""
    return {DATA: f"const ROWS = [\n{told}\n];\n", PAGE: page}


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the page needs of a row."""
    styles = [os.path.basename(style) for style in row["style"]]
    files = [row["content"], *row["style"][:1]]
    told = {
        "content": os.path.basename(row["content"]) or "no photograph",
        "style": " + ".join(styles) or "no painting",
        "files": [_address(file) for file in (files + ["", ""])[:2]],
    }
    if "error" in row:
        return told | {"error": row["error"]}
    folder = row["picture"].rpartition("/")[0]
    losses = {name: value for name, value in row["losses"].items() if value is not None}
    return told | {
        "picture": row["picture"],
        "thumbnail": f"{folder}/thumbnail.jpg",
        "report": f"{folder}/report.json",
        "losses": ", ".join(f"{name} {value:.3g}" for name, value in losses.items()),
        "total": losses.get("total"),
    }


def _address(file: str) -> str:
    """A file's address for a page on the same machine, or "" for no file."""
    return Path(os.path.abspath(file)).as_uri() if file else ""

"""A `Comparison` as one HTML page that needs no server, no network and no other file.

`runs`, `curves`, `predictions`, `classes`, `images` and `thumbnails` say what the page knows, each within limits of its
own, and `data` is all of it; `markup` writes the tables; `writing` puts everything into `page.html`, with `page.css`
and the scripts of `parts`.
"""

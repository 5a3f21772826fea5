"""A `Comparison` as one HTML page that needs no server, no network and no other file.

`runs` (with their curves), `predictions` and `thumbnails` say what the page knows, each within limits of its own;
`writing` puts that, the tables, plotly and our scripts into `page.html`.
"""

"""One self-contained HTML file of a run or a sweep: `page` puts it together, every other file draws one thing."""

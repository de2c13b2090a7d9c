"""A study as one page of HTML, which needs no network."""

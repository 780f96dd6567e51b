"""One campaign → one offline page, one text, one line of the index. Pure but for templates."""

"""Turn one campaign into one offline page, one text and one line of the index.

Pure, apart from the files that it reads and writes.
"""

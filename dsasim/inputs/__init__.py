"""The one door: every file a user names comes in here, and every text of it that is shown goes out through `printable`.

    source.Source           a file: opened only if it is a regular one, read with a bound, errors that name it
    stream.open_stream      a file or a pipe for readers that never hold it whole; a silent pipe is given up
    npy.map_npy             an array of NumPy's, its header read by a grammar of our own, its elements mapped
    strict_json.parse_json  JSON and nothing more: no NaN, no repeated keys, bounded depth and numbers
    checked.checked         a document as the object a schema makes of it; callers never see the document again
    printable.printable     text that cannot act on a terminal or a page
    path_text.path_text     a name or path that a caller in Python gave, as text

This file imports nothing: `dsasim --help` needs `printable` and must not wait for pydantic.
"""

"""The wire and the library, each turned into the other; nothing else knows both.

One module a proto. `read_x` makes a library value of a message and refuses with InvalidInput,
naming the field, what cannot be one; `write_x` makes a message. Law: read_x(write_x(value)) is the
value (tests/wire/test_laws.py). Whether media are what they say they are, `rankspace.media` finds
out.
"""

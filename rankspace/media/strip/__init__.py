"""Files without what they tell of their makers: no places, dates, names, comments, thumbnails.

`whole.py` takes a part; the others one container each. What is decoded stays the same.
"""

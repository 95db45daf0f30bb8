"""Why metadata could not be stripped."""


class Unsafe(Exception):
    """The file is damaged, or built so that what belongs to it cannot be told from what does not.

    The words go on after "the jpeg ".
    """

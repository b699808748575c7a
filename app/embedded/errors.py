"""What goes wrong with the embedded servers, said to the person who started them."""


class EmbeddedError(Exception):
    """The servers in the data folder cannot be used; the message is one sentence with the reason and the remedy."""

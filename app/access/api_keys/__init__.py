"""
API keys: credentials that Setpoint makes itself, for programs.

A key is `sp_<environment>_<id>_<secret><checksum>`. The checksum tells junk from keys before anything is looked up;
the id finds the row; of the secret only a digest is kept, keyed with a pepper that is not in the database. So whoever
reads the database can neither use its keys nor try secrets on it.
"""

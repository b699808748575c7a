"""
Revocation: credentials that are believed no longer, though they have not expired.

Revocations are rows, written through `/api/security/revocations`. Each worker keeps all of them in memory
(`standing.py`) and follows their changes (`follower.py`), so that looking costs a request no more than comparing two
numbers and a revocation holds everywhere within a second.
"""

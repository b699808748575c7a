"""
The audit: who changed what, kept so that nobody can change it unseen (docs/decisions/0013-audit.md).

Every change writes its record in its own transaction: without the record there is no change. Records of one tenant
form a chain, each holding a hash over itself and the one before. The role that serves may add records and not change
or remove any; who has more power than that leaves a chain that `verify` finds broken, at the first wrong record.
"""

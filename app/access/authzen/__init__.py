"""
AuthZEN 1.0: deciding for others, by the same policy that decides here (docs/decisions/0015-authzen.md).

Theory of operation. A question names a subject, an action and a resource. First all that is stored of what a request
names is read in one moment (`source`, filled in by app/settings/decisions). Then each question becomes what the gate
takes: the subject a principal (`subjects`), the resource one of our classes or of those that policy files declare
(`resources`), and the gate decides (`point`). What callers say of attributes is believed from those only who hold
`assert`. A search asks the same questions about candidates (`search`), so that a result is what an evaluation grants.

Whatever is not there, and whatever goes wrong, is a denial. Guarded by tests/access/authzen and
tests/guarantees/test_decisions.py.
"""

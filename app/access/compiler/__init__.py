"""
Compiles a policy: from rules that Oso's VM interprets to plain Python predicates.

Theory of operation. Oso can run a rule backwards: asked with principal *and* resource unbound, its partial evaluator
gives every way in which the rule can hold, as constraints over the two. That is the whole policy for one action and
one class, in disjunctive normal form (`partial`). It is checked against the Structs it speaks of (`attributes`),
factored so that what all alternatives share is asked once (`factor`), and written out as the source of one Python
function (`predicate`), which decides in well under a microsecond where the VM takes up to a millisecond. For lists, the
same tree becomes a condition of SQL once it is known who asks (`sql`). Nothing is guessed: what these files do not know
is refused with CannotCompile. Before a compiled policy is used, it is held against the VM on random and boundary cases
(`self_test`).

Guarded by tests/access/compiler.
"""

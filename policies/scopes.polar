# A credential that names scopes (OAuth's word: what it is good for) is good for nothing else, whatever its roles.

lacks(p: Principal, scope: String) if
    p.scoped = true and
    not (scope in p.scopes);

forbid(p: Principal, action: String, _s: Setting) if action in ["resolve", "read"] and lacks(p, "settings:read");
forbid(p: Principal, "write", _s: Setting) if lacks(p, "settings:write");

forbid(p: Principal, "read", _r: Definition) if lacks(p, "registry:read");
forbid(p: Principal, "write", _r: Definition) if lacks(p, "registry:write");

forbid(p: Principal, "read", _r: ScopeEntry) if lacks(p, "registry:read");
forbid(p: Principal, "write", _r: ScopeEntry) if lacks(p, "registry:write");

forbid(p: Principal, "read", _r: Tenant) if lacks(p, "registry:read");
forbid(p: Principal, "write", _r: Tenant) if lacks(p, "registry:write");

forbid(p: Principal, "read", _r: AuditTrail) if lacks(p, "audit:read");

forbid(p: Principal, "read", _r: ApiKey) if lacks(p, "keys:read");
forbid(p: Principal, "write", _r: ApiKey) if lacks(p, "keys:write");

forbid(p: Principal, "read", _r: Policy) if lacks(p, "policy:read");

forbid(p: Principal, "read", _r: Operations) if lacks(p, "operations:read");
forbid(p: Principal, "write", _r: Operations) if lacks(p, "operations:write");

forbid(p: Principal, "read", _r: Event) if lacks(p, "events:read");
forbid(p: Principal, "write", _r: Event) if lacks(p, "events:write");

# Whoever is believed about others may ask about them.
forbid(p: Principal, "read", _d: DecisionPoint) if lacks(p, "pdp:read") and lacks(p, "pdp:assert");

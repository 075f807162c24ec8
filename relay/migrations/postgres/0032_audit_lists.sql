-- What the list of administrators' deeds is narrowed by.
CREATE INDEX audit_of_kind ON audit (what, done_at, id);

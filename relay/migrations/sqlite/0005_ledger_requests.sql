-- What a ledger row was spent for: the turn, and the provider's own name for the request, by which its bill is compared.
ALTER TABLE ledger ADD COLUMN turn INTEGER;
ALTER TABLE ledger ADD COLUMN request_id TEXT;

-- Of which item an erased row was, and how much of it: where audio of that item was metered to. Rows from before do not say.
ALTER TABLE erased_rows ADD COLUMN item TEXT;
ALTER TABLE erased_rows ADD COLUMN quantity INTEGER;

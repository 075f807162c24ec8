-- Which relay's version of a turn this is, and which one of that relay's: a version that comes late does not replace a later one. NULL if a
-- relay of an earlier version wrote it.
ALTER TABLE turns ADD COLUMN epoch BIGINT;
ALTER TABLE turns ADD COLUMN revision BIGINT;

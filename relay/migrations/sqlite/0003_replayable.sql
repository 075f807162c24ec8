-- Samples in ledger rows that are not committed and were not played again yet: the next relay gets so many again without metering them.
ALTER TABLE sessions ADD COLUMN replayable_samples INTEGER NOT NULL DEFAULT 0;

-- The number of the newest migration that a relay has to know to serve this schema. A migration that only adds leaves it as it is, so that relays
-- from before go on, and start again, until all of them are replaced.
INSERT INTO revisions (name, number) VALUES ('oldest_relay', 13);

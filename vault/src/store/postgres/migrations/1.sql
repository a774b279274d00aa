-- The tables of rows are made beside this, from the list of tables in the code.

-- Versions that this database has been brought to.
CREATE TABLE volar.schema (version integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now());

-- Who writes, and the number of the last batch of theirs that was committed. Every batch moves this one row in its own
-- transaction: a vault whose database another has taken over moves nothing any more, and after a lost connection the
-- row tells whether the batch under way was committed.
CREATE TABLE volar.writer (
    id smallint PRIMARY KEY CHECK (id = 1),
    owner bytea NOT NULL,
    batch bigint NOT NULL
) WITH (fillfactor = 10);
INSERT INTO volar.writer (id, owner, batch) VALUES (1, '', 0);

-- One hot row for each gallery: room beside it for its next version.
ALTER TABLE volar.heads SET (fillfactor = 50);

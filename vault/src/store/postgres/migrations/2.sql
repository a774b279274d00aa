-- How far each writer came. Where several vaults write by turns, `volar.writer` tells the last batch of all, and this the
-- last of each: after a lost connection it says whether the batch under way was committed, whoever has written since.
CREATE TABLE volar.writers (
    owner bytea PRIMARY KEY,
    batch bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 10);

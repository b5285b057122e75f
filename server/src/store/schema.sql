-- Schema 1 of the SQLite store. Times are microseconds since the Unix epoch, ids are 16-byte blobs.
-- A newer version is refused, an older one is migrated step by step (PRAGMA user_version).
--
-- Leases are not stored: the lock on the data folder proves that every other server is dead, so a
-- lease never outlives its process. Only its fencing number does.

CREATE TABLE tasks (
    id               BLOB PRIMARY KEY,
    principal        TEXT NOT NULL,
    state            TEXT NOT NULL,
    create_time      INTEGER NOT NULL,
    end_time         INTEGER,
    -- Bounds of the log, as in `record`, so that a page of events needs no JSON.
    last_sequence    INTEGER NOT NULL,
    oldest_sequence  INTEGER NOT NULL,
    -- TaskRecord as JSON: the fold of the log, with `progress`.
    record           TEXT NOT NULL,
    -- Fencing number of the last lease; grows with each claim.
    epoch            INTEGER NOT NULL DEFAULT 0,
    -- Conversation generation now valid.
    generation       INTEGER NOT NULL DEFAULT 0,
    trimmed          INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX tasks_by_principal ON tasks (principal, create_time DESC, id);
CREATE INDEX tasks_live ON tasks (state, create_time, principal) WHERE state NOT IN ('succeeded', 'failed', 'cancelled');
CREATE INDEX tasks_ended ON tasks (end_time) WHERE end_time IS NOT NULL AND trimmed = 0;

CREATE TABLE events (
    task      BLOB NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    sequence  INTEGER NOT NULL,
    time      INTEGER NOT NULL,
    payload   TEXT NOT NULL,
    PRIMARY KEY (task, sequence)
) STRICT, WITHOUT ROWID;

CREATE TABLE conversation (
    task        BLOB NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    generation  INTEGER NOT NULL,
    position    INTEGER NOT NULL,
    body        BLOB NOT NULL,
    PRIMARY KEY (task, generation, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE messages (
    task    BLOB NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    number  INTEGER NOT NULL,
    text    TEXT NOT NULL,
    read    INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (task, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE requests (
    principal  TEXT NOT NULL,
    id         BLOB NOT NULL,
    hash       BLOB NOT NULL,
    task       BLOB NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    time       INTEGER NOT NULL,
    PRIMARY KEY (principal, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX requests_by_time ON requests (time);
CREATE INDEX requests_by_task ON requests (task);

CREATE TABLE artifacts (
    task    BLOB NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    name    TEXT NOT NULL,
    offset  INTEGER NOT NULL,
    data    BLOB NOT NULL,
    PRIMARY KEY (task, name, offset)
) STRICT;

CREATE TABLE memory (
    key    TEXT PRIMARY KEY,
    value  TEXT NOT NULL,
    time   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The read model. Every table can be emptied and is filled again from the topics; nothing here is the only copy.
-- Each of the tables asset, verdict, judgement and tag_set is written by one topic alone, so that stages never wait for each other's rows.
-- Documents are JSON kept as text: they are read whole, and parsing them on the way in would cost three times the write itself.

CREATE TABLE fact (
    kind      text        NOT NULL,
    key       text        NOT NULL,
    sequence  bigint      NOT NULL,
    at        timestamptz NOT NULL,
    trace_id  text        NOT NULL,
    doc       jsonb       NOT NULL,
    PRIMARY KEY (kind, key)
);
COMMENT ON TABLE fact IS 'Newest fact of each kind and key, for the topics that are small: sources, rules, outcomes of cloud writes';

CREATE TABLE asset (
    asset           text PRIMARY KEY,
    source          text        NOT NULL,
    sequence        bigint      NOT NULL,
    removed         boolean     NOT NULL,
    scan_id         text        NOT NULL,
    schema_name     text        NOT NULL,
    table_name      text        NOT NULL,
    kind            text        NOT NULL,
    owner           text        NOT NULL,
    rows_estimated  bigint,
    column_count    integer     NOT NULL,
    at              timestamptz NOT NULL,
    doc             text        NOT NULL,
    words           tsvector    NOT NULL
);
CREATE INDEX asset_by_source ON asset (source) WHERE NOT removed;
CREATE INDEX asset_by_word ON asset USING gin (words);

CREATE TABLE verdict (
    asset          text PRIMARY KEY,
    source         text        NOT NULL,
    sequence       bigint      NOT NULL,
    sensitivity    text        NOT NULL,
    classes        text[]      NOT NULL,
    class_counts   jsonb       NOT NULL,
    review_count   integer     NOT NULL,
    at             timestamptz NOT NULL,
    doc            text        NOT NULL,
    words          tsvector    NOT NULL
);
CREATE INDEX verdict_by_class ON verdict USING gin (classes);
CREATE INDEX verdict_by_word ON verdict USING gin (words);

CREATE TABLE judgement (
    asset         text PRIMARY KEY,
    source        text        NOT NULL,
    sequence      bigint      NOT NULL,
    risk          integer     NOT NULL,
    sensitivity   text        NOT NULL,
    regulations   text[]      NOT NULL,
    frameworks    text[]      NOT NULL,
    failing       text[]      NOT NULL,
    waived        text[]      NOT NULL,
    undeclared    text[]      NOT NULL,
    results       jsonb       NOT NULL,
    at            timestamptz NOT NULL,
    doc           text        NOT NULL
);
CREATE INDEX judgement_by_risk ON judgement (risk DESC, asset);
COMMENT ON COLUMN judgement.frameworks IS 'frameworks with a failing control';
COMMENT ON COLUMN judgement.undeclared IS 'fields of the source''s document that would settle what is unknown here';
COMMENT ON COLUMN judgement.results IS 'framework to result to count';

CREATE TABLE violation (
    violation    text PRIMARY KEY,
    asset        text        NOT NULL,
    source       text        NOT NULL,
    control      text        NOT NULL,
    sequence     bigint,
    framework    text        NOT NULL DEFAULT '',
    severity     text        NOT NULL DEFAULT '',
    message      text        NOT NULL DEFAULT '',
    facts        text        NOT NULL DEFAULT '[]',
    columns      text[]      NOT NULL DEFAULT '{}',
    opened_at    timestamptz,
    resolved_at  timestamptz,
    waived_at    timestamptz,
    waiver       jsonb
);
CREATE INDEX violation_by_asset ON violation (asset);

CREATE TABLE tag_set (
    target    text PRIMARY KEY,
    source    text        NOT NULL,
    asset     text        NOT NULL,
    resource  text        NOT NULL,
    provider  text        NOT NULL,
    sequence  bigint      NOT NULL,
    scan_id   text        NOT NULL,
    at        timestamptz NOT NULL,
    tags      text        NOT NULL
);
CREATE INDEX tag_set_by_asset ON tag_set (asset) WHERE asset <> '';
CREATE INDEX tag_set_by_source ON tag_set (source);

CREATE TABLE edge (
    asset    text   NOT NULL,
    sequence bigint NOT NULL,
    target   text   NOT NULL,
    kind     text   NOT NULL,
    name     text   NOT NULL,
    columns  text[] NOT NULL,
    target_columns text[] NOT NULL,
    PRIMARY KEY (asset, kind, target, name)
);
CREATE INDEX edge_by_target ON edge (target);

CREATE TABLE scan (
    scan_id       text PRIMARY KEY,
    source        text        NOT NULL,
    first_at      timestamptz NOT NULL,
    completed_at  timestamptz,
    failed_at     timestamptz,
    trace_id      text        NOT NULL DEFAULT '',
    doc           jsonb,
    failure       jsonb
);
CREATE INDEX scan_by_source ON scan (source, first_at DESC);

CREATE TABLE step (
    scan_id        text NOT NULL,
    asset          text NOT NULL,
    sequence       bigint,
    trace_id       text,
    discovered_at  timestamptz,
    classified_at  timestamptz,
    judged_at      timestamptz,
    tagged_at      timestamptz,
    PRIMARY KEY (scan_id, asset)
) WITH (fillfactor = 50);
COMMENT ON TABLE step IS 'How far each asset of each scan has come; sequence and trace are those of its schema.discovered';

CREATE TABLE set_aside (
    dead_letter  text PRIMARY KEY,
    service      text        NOT NULL,
    topic        text        NOT NULL,
    error_code   text        NOT NULL,
    asset        text        NOT NULL,
    scan_id      text        NOT NULL,
    at           timestamptz NOT NULL
);
CREATE INDEX set_aside_by_asset ON set_aside (asset);
CREATE INDEX set_aside_by_scan ON set_aside (scan_id) WHERE scan_id <> '';

CREATE TABLE timeline (
    number        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id      text        NOT NULL,
    type          text        NOT NULL,
    subject       text        NOT NULL,
    at            timestamptz NOT NULL,
    service       text        NOT NULL,
    causation_id  text        NOT NULL,
    trace_id      text        NOT NULL,
    summary       text        NOT NULL
);
CREATE INDEX timeline_by_subject ON timeline (subject, at);
CREATE INDEX timeline_by_trace ON timeline (trace_id);
CREATE INDEX timeline_by_time ON timeline USING brin (at);

CREATE VIEW live_violation AS
SELECT v.*,
       CASE
           WHEN v.control = ANY (j.waived) THEN 'waived'
           WHEN v.control <> ALL (j.failing) THEN 'resolved'
           WHEN v.waived_at > v.opened_at AND (v.waiver ->> 'expires')::timestamptz > now() THEN 'waived'
           ELSE 'open'
       END AS state
FROM violation v
JOIN asset a ON a.asset = v.asset AND NOT a.removed
JOIN judgement j ON j.asset = v.asset;
COMMENT ON VIEW live_violation IS
    'The newest compliance.evaluated decides what is open and what it says; the violation events say since when, and who waived it';

CREATE TABLE rebuild (
    one        boolean PRIMARY KEY DEFAULT true CHECK (one),
    wanted_at  timestamptz NOT NULL
);
COMMENT ON TABLE rebuild IS 'A row here asks the catalog to throw the read model away and hear everything again';
